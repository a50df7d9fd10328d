"""What `helm test` runs in the cluster, in the server's image: asks the Services, and fails with a sentence.

Over TLS it trusts what the Secret holds, whatever names are in it: those are for clients elsewhere. Where clients must
show a certificate it has none, and sees that it is refused.

The model's fields are not known here, so `/predict` is asked with an empty object: an answer is right whether it is a
prediction or a refusal that names a field, as long as the server gave it.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path


def ask(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of one request (a POST when there is a body), whatever the status is."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
    if "TOKENS" in os.environ and url.startswith(os.environ["SERVICE"]):
        request.add_header("Authorization", f"Bearer {token(Path(os.environ['TOKENS']))}")
    try:
        with urllib.request.urlopen(request, timeout=30, context=context()) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()
    except OSError as error:
        sys.exit(f"{url} cannot be reached: {error}")


def token(directory: Path) -> str:
    """Any token that there is."""
    files = [one for one in sorted(directory.iterdir()) if one.is_file()]
    return next(line for one in files for line in one.read_text(encoding="ascii").split())


def context() -> ssl.SSLContext | None:
    """What is trusted: the certificate in the Secret; None where there is none."""
    if "TRUSTED" not in os.environ:
        return None
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname = False
    found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it is trusted itself, and not only who signed it
    found.load_verify_locations(os.environ["TRUSTED"])
    return found


def is_refused(url: str) -> bool:
    """Whether this client is refused as one that shows no certificate."""
    try:
        urllib.request.urlopen(url, timeout=30, context=context()).close()  # noqa: S310
    except urllib.error.HTTPError:
        return False
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError | ConnectionRefusedError | TimeoutError):
            sys.exit(f"{url} cannot be reached: {error}")
        print(f"{url}: {error}")
        return True
    return False


def main() -> None:
    """Ask readiness, health and a prediction."""
    service, management = os.environ["SERVICE"], os.environ["MANAGEMENT"]
    status, body = ask(f"{management}/readyz")
    if status != 200:
        sys.exit(f"{management}/readyz: {status} {body!r}")
    if "WANTS_CERTIFICATES" in os.environ:
        if not is_refused(f"{service}/health"):
            sys.exit(f"{service} answers clients that show no certificate")
        return
    status, body = ask(f"{service}/health")
    health = json.loads(body)
    print(f"/health: {status} {health}")
    if status != 200:
        sys.exit("no model is loaded")
    status, body = ask(f"{service}/predict", b"{}")
    answer = json.loads(body)
    print(f"/predict: {status} {answer}")
    if status not in {200, 400} or not {"prediction", "code"} & set(answer):
        sys.exit("/predict gave neither a prediction nor a refusal that says why")


if __name__ == "__main__":
    main()
