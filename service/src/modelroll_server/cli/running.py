"""A running server as `modelroll predict` asks it: its answers, its refusals, and what it tells of its model."""

import functools
import http.client
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import click

from modelroll_server.cli.rows import Columns

_INSTANCE = re.compile(r"\binstances\[(\d+)\]")
_OTHER_NAME = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH and …_IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h


class RunningServer:
    """The server at one address."""

    def __init__(self, url: str, timeout: float, *, authority: str | None = None, token: str | None = None) -> None:
        """A server.

        Args:
            url: Its address.
            timeout: Seconds for each request.
            authority: File of certificates that its own is signed with; None: the system's.
            token: What each request shows; None: nothing.
        """
        base = url if "://" in url else f"http://{url}"
        self._base = base.rstrip("/")
        self._timeout = timeout
        self._authority = authority
        self._token = token

    def predictions(self, rows: list[Any], start: int) -> dict[str, Any]:
        """What `/batch_predict` answers to these rows, the first of which has the number `start`.

        Raises:
            click.ClickException: It refuses them, or does not answer.
        """
        found: dict[str, Any] = self._ask("/batch_predict", rows, start)
        return found

    def columns(self) -> Columns:
        """Its inputs; nothing where it does not document them."""
        try:
            kinds = {name: column.get("type") for name, column in self._inputs().items()}
        except click.ClickException:
            return {}
        return {
            name: frozenset([kind] if isinstance(kind, str) else kind) if kind else None for name, kind in kinds.items()
        }

    def classes(self) -> list[Any]:
        """Whose probabilities it gives, in this order; empty where it does not document them."""
        try:
            return list(self._schemas["Prediction"]["properties"]["prediction"]["enum"])
        except (click.ClickException, LookupError, TypeError):
            return []

    def example(self) -> dict[str, Any]:
        """The row that its documentation shows.

        Raises:
            click.ClickException: It shows none.
        """
        values = {name: column.get("example") for name, column in self._inputs().items()}
        if all(value is None for value in values.values()):
            raise click.ClickException("the server has no example, for its file was not packed: give ROWS")
        return values

    def _inputs(self) -> dict[str, dict[str, Any]]:
        try:
            return {name: dict(column) for name, column in self._schemas["Row"]["properties"].items()}
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise click.ClickException(f"{self._base}/openapi.json does not tell the model's inputs") from error

    @functools.cached_property
    def _schemas(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("/openapi.json", None)["components"]["schemas"]
        return found

    def _ask(self, path: str, body: Any, start: int = 0) -> Any:
        url = self._base + path
        data = None if body is None else json.dumps(body).encode()
        if not url.startswith(("http://", "https://")):
            raise click.ClickException(f"{url} is not an address of HTTP")
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - checked above
        if self._token is not None:  # which another server that this one names is not shown
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            context = self._context if url.startswith("https://") else None
            with urllib.request.urlopen(request, timeout=self._timeout, context=context) as answer:  # noqa: S310 - as above
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise click.ClickException(self._refusal(error.code, error.read(), start)) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise click.ClickException(f"{url}: {reason}{self._hint(reason)}") from error

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._authority)
        except OSError as error:
            raise click.ClickException(f"{self._authority} holds no certificates in PEM: {error}") from error

    def _hint(self, reason: object) -> str:
        """What to try where nothing was answered."""
        if isinstance(reason, ssl.SSLCertVerificationError):
            if reason.verify_code in _OTHER_NAME:
                return "; ask by a name that its certificate has"
            return "; name who signed it by --cacert FILE"
        # A server that speaks TLS hangs up on what is none; which of these is seen is a matter of time.
        closed = isinstance(reason, http.client.RemoteDisconnected | ConnectionResetError)
        if closed and self._base.startswith("http://"):
            return f"; does it speak TLS? try https://{self._base.removeprefix('http://')}"
        return ""

    def _refusal(self, status: int, body: bytes, start: int) -> str:
        """What the server says, or what is known when it is another server that says it."""
        try:
            problem = json.loads(body)
            field = f" (at {problem['field']})" if "field" in problem else ""
            said = _INSTANCE.sub(lambda at: f"instances[{int(at[1]) + start}]", f"{problem['message']}{field}")
        except (ValueError, KeyError, TypeError):
            said = f"the server answered {status}"
        if status == 404 and (path := urllib.parse.urlsplit(self._base).path):
            return f"{said}; give the server's address only, without {path}"
        if status == 401:
            return f"{said}; give one of this server's by --token, or by the variable MODELROLL_TOKEN"
        if "got null" in said and None in self.columns().values():
            return f"{said}; the file was not packed: `modelroll pack` with samples learns what may be missing"
        return said
