"""Certificates made by an authority of the tests, and Secrets mounted and replaced as the kubelet does it."""

import datetime as dt
import ipaddress
import shutil
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as PEM."""

    chain: bytes
    key: bytes
    serial: int

    @property
    def files(self) -> dict[str, bytes]:
        """What a Secret of the type kubernetes.io/tls holds."""
        return {"tls.crt": self.chain, "tls.key": self.key}


class Authority:
    """Somebody who signs certificates."""

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(signs=True), critical=True)
        own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self.certificate = builder.add_extension(own, critical=False).sign(self._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(PEM)

    def issue(self, *names: str, begins: int = -1, ends: int = 24) -> Issued:
        """A certificate for this machine and these names; `begins` and `ends` are in hours from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, ("localhost", *names))]
        builder = _builder(_name("server"), self._name, key.public_key(), begins, ends)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(signer, critical=False)
        found = builder.sign(self._key, hashes.SHA256())
        secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Issued(found.public_bytes(PEM), secret, found.serial_number)

    def trust(self, client: Issued | None = None, place: Path | None = None) -> ssl.SSLContext:
        """A client's context that trusts this authority; with `client`, it shows that one, written to `place`."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if client is not None and place is not None:
            place.write_bytes(client.key + client.chain)
            context.load_cert_chain(place)
        return context


class Mounted:
    """A Secret, mounted: its names are links through `..data`, which is replaced whole."""

    def __init__(self, place: Path, files: Mapping[str, bytes]) -> None:
        self.place = place
        self._number = 0
        place.mkdir()
        self.replace(files)

    def replace(self, files: Mapping[str, bytes]) -> None:
        """Have it hold these files, and no others, from one moment to the next."""
        self._number += 1
        new = self.place / f"..{self._number}"
        new.mkdir()
        for name, data in files.items():
            (new / name).write_bytes(data)
        link = self.place / "..data_tmp"
        link.symlink_to(new.name)
        link.rename(self.place / "..data")
        for one in self.place.iterdir():
            if not one.name.startswith("..") and one.name not in files:
                one.unlink()
        for name in files:
            if not (self.place / name).is_symlink():
                (self.place / name).symlink_to(f"..data/{name}")
        shutil.rmtree(self.place / f"..{self._number - 1}", ignore_errors=True)


def shown(port: int, *protocols: str) -> int:
    """The serial number of the certificate that a port shows, whoever signed it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as secured:
        found = secured.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: int = -1, ends: int = 24
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(hours=begins))
        .not_valid_after(now + dt.timedelta(hours=ends))
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
