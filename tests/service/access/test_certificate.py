"""Which pairs may be shown: only those that a client could take."""

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import credentials
from modelroll_server import errors
from modelroll_server.access import certificate

AUTHORITY = credentials.Authority()
GOOD = AUTHORITY.issue()
OTHER = AUTHORITY.issue()


def encrypted() -> bytes:
    """The same key, under a password."""
    command = ["openssl", "pkcs8", "-topk8", "-passout", "pass:secret"]
    return subprocess.run(command, input=GOOD.key, check=True, capture_output=True).stdout


BAD: list[tuple[str, Callable[[], dict[str, bytes]]]] = [
    ("tls.crt cannot be read: No such file", lambda: {"tls.key": GOOD.key}),
    ("tls.key cannot be read: No such file", lambda: {"tls.crt": GOOD.chain}),
    ("tls.crt holds no certificate in PEM", lambda: {**GOOD.files, "tls.crt": b""}),
    ("tls.crt holds no certificate in PEM", lambda: {**GOOD.files, "tls.crt": GOOD.chain[:200]}),
    ("tls.crt holds no certificate in PEM", lambda: {**GOOD.files, "tls.crt": b"\xff\x00"}),
    ("tls.key holds no key in PEM that is not encrypted", lambda: {**GOOD.files, "tls.key": GOOD.key[:100]}),
    ("tls.key holds no key in PEM that is not encrypted", lambda: {**GOOD.files, "tls.key": encrypted()}),
    ("tls.key is not the key of the certificate", lambda: {**GOOD.files, "tls.key": OTHER.key}),
    ("is valid from", lambda: AUTHORITY.issue(begins=-3, ends=-1).files),
    ("is valid from", lambda: AUTHORITY.issue(begins=1, ends=3).files),
    ("has more than 1048576 bytes", lambda: {**GOOD.files, "tls.crt": b"\n" * (2**20 + 1)}),
]


@pytest.mark.parametrize(("said", "files"), BAD)
def test_a_pair_that_clients_would_refuse_is_refused_with_the_reason(
    said: str, files: Callable[[], dict[str, bytes]], tmp_path: Path
) -> None:
    place = credentials.Mounted(tmp_path / "tls", files()).place
    with pytest.raises(errors.CredentialsUnusable) as refused:
        certificate.read(place)
    assert said in refused.value.message
    assert "PRIVATE" not in refused.value.message


def test_a_key_of_a_kind_that_is_not_known_is_refused(tmp_path: Path) -> None:
    for curve in ("secp160k1", "brainpoolP160r1"):
        key, chain = str(tmp_path / "tls.key"), str(tmp_path / "tls.crt")
        subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", key], check=True)
        command = ["openssl", "req", "-x509", "-new", "-key", key, "-days", "3", "-subj", "/CN=x", "-out", chain]
        subprocess.run(command, check=True)
        with pytest.raises(errors.CredentialsUnusable, match=r"tls\.key holds a key that is not known here"):
            certificate.read(tmp_path)
        Path(key).write_bytes(GOOD.key)
        with pytest.raises(errors.CredentialsUnusable, match=r"tls\.crt has a key that is not known here"):
            certificate.read(tmp_path)


def test_authorities_of_clients_that_are_none_are_refused(tmp_path: Path) -> None:
    place = credentials.Mounted(tmp_path / "tls", {**GOOD.files, "ca.crt": b"none"}).place
    with pytest.raises(errors.CredentialsUnusable, match=r"OpenSSL refuses what is in .*ca\.crt"):
        certificate.read(place, place / "ca.crt")


def test_what_no_kubelet_mounted_is_read_too_and_the_key_is_not_shown(tmp_path: Path) -> None:
    for name, data in GOOD.files.items():
        (tmp_path / name).write_bytes(data)
    pair = certificate.read(tmp_path)
    assert int(pair.serial, 16) == GOOD.serial
    assert "PRIVATE" not in repr(pair)
    assert pair.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert pair.context.verify_mode == ssl.CERT_NONE
