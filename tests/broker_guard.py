"""What keeps a broker: an authority of its own, a certificate by it, a user and a password."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER = "modelroll"
PASSWORD = "p@ss/word:1%2F"


@dataclass(frozen=True)
class Guard:
    """PEM files.

    Attributes:
        authority: Who signed the certificate.
        certificate: Of 127.0.0.1, to be shown by broker and client alike.
        key: That one's.
        stranger: An authority that signed nothing.
    """

    authority: Path
    certificate: Path
    key: Path
    stranger: Path


def guard(directory: Path) -> Guard:
    """One whose files are in a directory."""
    now = dt.datetime.now(dt.UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])

    def build(name: str, issuer: str, key: ec.EllipticCurvePrivateKey, *, signs: bool) -> x509.CertificateBuilder:
        subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer))
        return (
            x509.CertificateBuilder(by, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=12))
            .add_extension(x509.BasicConstraints(ca=signs, path_length=None), critical=True)
        )

    def write(name: str, *blocks: bytes) -> Path:
        (directory / name).write_bytes(b"".join(blocks))
        return directory / name

    pem = serialization.Encoding.PEM
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    authority, stranger = (
        build(name, name, key, signs=True).sign(key, hashes.SHA256()) for name, key in zip("ab", keys, strict=False)
    )
    own = build("broker", "a", keys[2], signs=False).add_extension(host, critical=False).sign(keys[0], hashes.SHA256())
    private = keys[2].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Guard(
        write("ca.pem", authority.public_bytes(pem)),
        write("tls.pem", own.public_bytes(pem)),
        write("key.pem", private),
        write("stranger.pem", stranger.public_bytes(pem)),
    )
