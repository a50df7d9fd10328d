"""What `helm test` runs in the cluster, in the server's image: asks the Services, and fails with a sentence.

The model's fields are not known here, so `/predict` is asked with an empty object: an answer is right whether it is a
prediction or a refusal that names a field, as long as the server gave it.
"""

import json
import os
import sys
import urllib.error
import urllib.request


def ask(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of one request (a POST when there is a body), whatever the status is."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()
    except OSError as error:
        sys.exit(f"{url} cannot be reached: {error}")


def main() -> None:
    """Ask readiness, health and a prediction."""
    service, management = os.environ["SERVICE"], os.environ["MANAGEMENT"]
    status, body = ask(f"{management}/readyz")
    if status != 200:
        sys.exit(f"{management}/readyz: {status} {body!r}")
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
