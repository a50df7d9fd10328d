"""`modelroll sign`: vouching for an artifact with a private key.

Owns the way from a complete artifact to the file `model.sig` beside its manifest. The format is `artifact.signature`'s.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact import signature as signatures
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.errors import KeyInvalid, SignFailed
from modelroll_server.packing import writing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


def read_key(data: bytes, passphrase: Callable[[], str]) -> "EllipticCurvePrivateKey":
    """A private key in PEM, as `openssl ecparam -name prime256v1 -genkey -noout` writes one.

    Args:
        data: The file's bytes.
        passphrase: Asked for what the key is encrypted with, if it is.

    Raises:
        KeyInvalid: It is none, of a kind that the format does not know, or the passphrase is another.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        try:
            key = serialization.load_pem_private_key(data, None)
        except TypeError:  # it is encrypted
            key = serialization.load_pem_private_key(data, passphrase().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyInvalid("it is no private key in PEM, or the passphrase is another") from error
    signatures.checked(key.public_key())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def sign(place: Path, key: "EllipticCurvePrivateKey") -> str:
    """Sign an artifact after hashing all of it; its manifest, and so its digest, stay as they are.

    Args:
        place: Its directory. A signature that lies there is replaced.
        key: Signs.

    Returns:
        The fingerprint of the key.

    Raises:
        LoadError: The artifact is not complete, or its files are not what its manifest says.
        SignFailed: It is a bare file, or cannot be written.
    """
    with open_artifact(place, policy=Policy.ANY) as opened:
        if opened.manifest is None:
            raise SignFailed(f"{place} is a file, and an artifact is what is signed: modelroll pack makes one of it")
        for name in opened.manifest.files:
            opened.check(name)
        contents = {name: entry.sha256 for name, entry in opened.manifest.files.items()}
        contents[manifests.NAME] = opened.digest.partition(":")[2]
        directory = opened.path
    bundle = _signed(msgspec.json.encode(signatures.statement(directory.name, contents)), key)
    try:
        writing.write_file(directory / signatures.NAME, msgspec.json.encode(bundle))
    except OSError as error:
        raise SignFailed(f"{directory / signatures.NAME} cannot be written: {error.strerror}") from error
    return signatures.fingerprint(key.public_key())


def _signed(payload: bytes, key: "EllipticCurvePrivateKey") -> signatures.Bundle:
    public = key.public_key()
    signature = key.sign(signatures.to_sign(payload), signatures.algorithm_of(public))
    envelope = signatures.Envelope(payload, [signatures.RawSignature(signature)])
    named = signatures.KeyIdentifier(signatures.fingerprint(public))
    return signatures.Bundle(signatures.Material(named), envelope)
