"""How a broker and this process know each other: certificates, user and password, and what it means to be refused.

Owns what is made of them for the brokers' clients, and which of their errors no further try would mend.
"""

import dataclasses
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelroll_server import errors

if TYPE_CHECKING:
    from faststream.security import BaseSecurity

# By name: a broker's client is imported only where that broker is.
_NOT_KNOWN = {
    "AuthenticationError",  # Redis
    "AuthorizationError",  # NATS
    "AuthenticationFailedError",  # Kafka, and below
    "SaslAuthenticationFailed",
    "UnsupportedSaslMechanismError",
}
_NOT_ALLOWED = {"NoPermissionError"}


class Refused(errors.ModelrollError):
    """The broker does not take this client, or this client does not trust the broker."""


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """What a broker is shown, and what is asked of it.

    Attributes:
        tls: Whether it is spoken to over TLS.
        authority: PEM file of those whose certificates are trusted; None: those that the system trusts.
        certificate: PEM file of this client's own certificate; None where the broker asks for none.
        key: PEM file of that certificate's key.
        user: None where there is none, or the address has it.
        password: The same.
        mechanism: How Kafka is shown the two.
    """

    tls: bool = False
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    user: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    mechanism: str | None = None

    def context(self) -> ssl.SSLContext | None:
        """The files as they are now; None without TLS.

        Raises:
            OSError: one cannot be read.
            ssl.SSLError: one is not what it should be.
        """
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.authority)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def security(self) -> "BaseSecurity":
        """The same as FastStream takes it.

        Raises:
            OSError: a file cannot be read.
            ssl.SSLError: one is not what it should be.
        """
        from faststream import security

        context = self.context()
        if self.password is None:
            return security.BaseSecurity(context, use_ssl=self.tls)
        kinds: Mapping[str | None, Callable[..., BaseSecurity]] = {
            "scram-sha-256": security.SASLScram256,
            "scram-sha-512": security.SASLScram512,
        }
        return kinds.get(self.mechanism, security.SASLPlaintext)(self.user, self.password, context, use_ssl=self.tls)


def refusal(error: BaseException, shown: str) -> Refused | None:
    """What to do about an error that no further try would mend; None for any other.

    Args:
        error: Of a broker's client, or of a file that one was to read.
        shown: The broker's address, as it may be logged.
    """
    for one in _chain(error):
        names = {kind.__name__ for kind in type(one).__mro__}
        said = " ".join(str(one).split())
        if names & _NOT_KNOWN:
            return Refused(
                f"the broker at {shown} refuses the user or the password ({said}): set STREAM_USER and STREAM_PASSWORD"
            )
        if names & _NOT_ALLOWED:
            return Refused(f"the broker at {shown} does not allow this user what is needed ({said})")
        if isinstance(one, ssl.SSLCertVerificationError):
            return Refused(
                f"the certificate of the broker at {shown} is not trusted ({one.verify_message}): set STREAM_CA to the"
                " PEM file of who signed it"
            )
        if isinstance(one, ssl.SSLError):
            return Refused(
                f"there is no TLS with the broker at {shown} ({said}): look at the scheme of STREAM_URL, and whether"
                " the broker asks for a certificate (STREAM_CERTIFICATE and STREAM_KEY)"
            )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came of; some clients keep that in an attribute, or among others."""
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
        left += one.exceptions if isinstance(one, BaseExceptionGroup) else []
