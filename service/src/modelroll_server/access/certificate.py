"""The server's certificate: a chain and its key, checked before they are shown to anybody.

Both ports of predictions take it from here: HTTP as a context that each connection is begun with, gRPC as PEM.
"""

import contextlib
import dataclasses
import datetime as dt
import os
import ssl
from pathlib import Path
from typing import Any

from modelroll_server import errors
from modelroll_server.access import mounted

CHAIN, KEY = "tls.crt", "tls.key"  # as a Secret of the type kubernetes.io/tls names them


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate that may be shown.

    Attributes:
        chain: It, and those that it was signed with, as PEM.
        key: Its key, as PEM.
        client_ca: Who signs the certificates that clients show, as PEM; None where none is asked for.
        serial: Its number, in hexadecimal.
        expires: When it is not valid any more.
        context: What connections of HTTP are begun with.
    """

    chain: bytes
    key: bytes = dataclasses.field(repr=False)
    client_ca: bytes | None
    serial: str
    expires: dt.datetime
    context: ssl.SSLContext = dataclasses.field(repr=False, compare=False)


def read(directory: Path, client_ca: Path | None = None) -> Pair:
    """The pair that lies in a directory.

    Args:
        directory: It has the files tls.crt and tls.key.
        client_ca: A file of certificates that those of clients are signed with; None: clients show none.

    Raises:
        errors.CredentialsUnusable: it cannot be read, or shown.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    chain, key = mounted.read(directory, (CHAIN, KEY))
    authority = None if client_ca is None else mounted.read(client_ca.parent, (client_ca.name,))[0]
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise errors.CredentialsUnusable(f"{directory / CHAIN} holds no certificate in PEM") from error
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:  # the latter: it is encrypted
        raise errors.CredentialsUnusable(f"{directory / KEY} holds no key in PEM that is not encrypted") from error
    except UnsupportedAlgorithm as error:
        raise errors.CredentialsUnusable(f"{directory / KEY} holds a key that is not known here: {error}") from error
    try:
        is_pair = private.public_key() == certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise errors.CredentialsUnusable(f"{directory / CHAIN} has a key that is not known here: {error}") from error
    if not is_pair:
        raise errors.CredentialsUnusable(f"{directory / KEY} is not the key of the certificate in {directory / CHAIN}")
    now = dt.datetime.now(dt.UTC)
    begins, expires = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now < expires:
        raise errors.CredentialsUnusable(
            f"the certificate in {directory / CHAIN} is valid from {begins.isoformat()} to {expires.isoformat()}, and"
            f" it is {now.isoformat(timespec='seconds')}"
        )
    try:
        context = _context(chain, key, authority)
    except (ssl.SSLError, ValueError) as error:
        where = f" or {client_ca}" if client_ca is not None else ""
        raise errors.CredentialsUnusable(f"OpenSSL refuses what is in {directory}{where}: {error}") from error
    return Pair(chain, key, authority, f"{certificate.serial_number:x}", expires, context)


def again(chain: bytes, key: bytes, client_ca: bytes | None) -> Pair:
    """A pair that another process of this server shows, whatever lies in the directory by now."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificates(chain)[0]
    context = _context(chain, key, client_ca)
    return Pair(chain, key, client_ca, f"{certificate.serial_number:x}", certificate.not_valid_after_utc, context)


class _Parting(ssl.SSLObject):
    """It says goodbye, and does not wait to hear the same (RFC 8446, 6.1).

    A client that idles does not read: its connection would keep a server that leaves for half a minute.
    """

    def unwrap(self) -> None:
        """Say goodbye."""
        with contextlib.suppress(ssl.SSLWantReadError):
            super().unwrap()


def _context(chain: bytes, key: bytes, client_ca: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = _Parting
    # It takes paths alone, and the files may be others by now than those that were checked.
    descriptor = os.memfd_create("modelroll-certificate", os.MFD_CLOEXEC)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - it has no path
        file.write(key.rstrip() + b"\n" + chain)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    if client_ca is not None:
        context.load_verify_locations(cadata=client_ca.decode("ascii"))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Current(ssl.SSLContext):
    """A context that begins each connection with another one: the latest.

    A context cannot forget a client authority, and is left with half of a pair if its other half does not fit. So each
    pair has its own, and connections keep the one that they began with.

    Attributes:
        pair: The latest.
    """

    pair: Pair

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection."""
        return self.pair.context.wrap_bio(*arguments, **named)


def current(pair: Pair) -> Current:
    """A context that begins with this one."""
    found = Current(ssl.PROTOCOL_TLS_SERVER)
    found.pair = pair
    return found
