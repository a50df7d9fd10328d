"""The signature `model.sig` beside a manifest: whether somebody who is trusted vouches for an artifact's content.

Owns the format, that of OpenSSF model signing 1.0 (a Sigstore bundle with a DSSE envelope around an in-toto statement:
https://github.com/sigstore/model-transparency), and the keys it is checked with. Reads no file: `opening` hands over
the bytes, and compares what was signed with what it read. Importing this module does not import cryptography; a key
does. docs/design/0011-signing.md says why the format's own library is not called here.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from modelroll_server.errors import KeyInvalid, SignatureInvalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey

NAME = "model.sig"
MAX_BYTES = 1 << 20

_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_PUBLIC_KEY = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
# The curves of the format, each with the hash that goes with it.
_CURVES: Mapping[str, str] = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}

# --- The documents, as far as they are needed ------------------------------------------------------------------------


class KeyIdentifier(msgspec.Struct, frozen=True):
    """Which key it was: a hint, which nothing rests on."""

    hint: str | None = None


class Material(msgspec.Struct, frozen=True, rename="camel"):
    """What a verifier is told besides. Without a public key, it was signed by certificate or by an identity."""

    public_key: KeyIdentifier | None = None
    tlog_entries: list[Any] = []


class RawSignature(msgspec.Struct, frozen=True):
    """One signature; as text it is base64."""

    sig: bytes
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """A payload, and who signed it (https://github.com/secure-systems-lab/dsse)."""

    payload: bytes
    signatures: list[RawSignature]
    payload_type: Literal["application/vnd.in-toto+json"] = _PAYLOAD_TYPE


class Bundle(msgspec.Struct, frozen=True, rename="camel"):
    """The file `model.sig`."""

    verification_material: Material
    dsse_envelope: Envelope
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = _MEDIA_TYPE


class Resource(msgspec.Struct, frozen=True):
    """One file, or part of one, and its digest in hexadecimal."""

    name: str
    algorithm: str
    digest: str


class Subject(msgspec.Struct, frozen=True):
    """The directory, by the sha256 of its resources' digests in the order of their names."""

    name: str
    digest: dict[str, str]


class Predicate(msgspec.Struct, frozen=True):
    """What is said of the subject, and how a directory became resources, for those who hash it anew."""

    resources: list[Resource]
    serialization: dict[str, Any]


class Statement(msgspec.Struct, frozen=True, rename={"kind": "_type", "predicate_type": "predicateType"}):
    """What is signed (https://github.com/in-toto/attestation)."""

    subject: list[Subject]
    predicate: Predicate
    kind: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
    predicate_type: Literal["https://model_signing/signature/v1.0"] = "https://model_signing/signature/v1.0"


_BY_FILES = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [NAME]}
_BUNDLES = msgspec.json.Decoder(Bundle)
_STATEMENTS = msgspec.json.Decoder(Statement)


def statement(name: str, contents: Mapping[str, str]) -> Statement:
    """What is signed of a directory of that name: its files, each with its sha256 in hexadecimal."""
    resources = [Resource(file, "sha256", sha256) for file, sha256 in sorted(contents.items())]
    root = hashlib.sha256(b"".join(bytes.fromhex(one.digest) for one in resources)).hexdigest()
    return Statement([Subject(name, {"sha256": root})], Predicate(resources, _BY_FILES))


def to_sign(payload: bytes) -> bytes:
    """The bytes that a signature is over: DSSE's pre-authentication encoding of a payload."""
    return b"DSSEv1 %d %b %d %b" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)


# --- Keys ------------------------------------------------------------------------------------------------------------


def fingerprint(key: "EllipticCurvePublicKey") -> str:
    """The sha256, in hexadecimal, of a key's PEM text: what `sha256sum` says of the file that openssl writes."""
    from cryptography.hazmat.primitives import serialization

    encoding, shape = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(encoding, shape)).hexdigest()


def checked(key: object) -> "EllipticCurvePublicKey":
    """A key, if the format knows its kind.

    Raises:
        KeyInvalid: It does not.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in _CURVES:
            return key
        kind = key.curve.name
    else:
        kind = type(key).__name__.removesuffix("PublicKey")
    raise KeyInvalid(
        f"the key's kind is {kind}, and may be an EC key on one of the curves {', '.join(_CURVES)}:"
        " openssl ecparam -name prime256v1 -genkey -noout -out key.pem makes one"
    )


def algorithm_of(key: "EllipticCurvePublicKey") -> "ECDSA":
    """How a key signs: its curve decides the hash."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(getattr(hashes, _CURVES[key.curve.name])())


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature that holds says.

    Attributes:
        contents: The sha256 in hexadecimal of each file that was signed whole, by name.
        key: Fingerprint of the key that signed.
    """

    contents: Mapping[str, str]
    key: str


class PublicKeys:
    """The keys that are trusted: whatever one of them signed may be served."""

    def __init__(self, pem: str) -> None:
        """Read them.

        Args:
            pem: One public key, or several one after the other, as while one takes the place of another.

        Raises:
            KeyInvalid: There is none, or one that cannot be used.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        self.pem = pem
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        for block in _PUBLIC_KEY.findall(pem):
            try:
                key = checked(serialization.load_pem_public_key(block.encode()))
            except (ValueError, UnsupportedAlgorithm) as error:
                raise KeyInvalid("what stands between BEGIN PUBLIC KEY and END PUBLIC KEY is no public key") from error
            self._keys[fingerprint(key)] = key
        if not self._keys:
            raise KeyInvalid(
                "no public key is there: it begins with -----BEGIN PUBLIC KEY-----, as"
                " openssl ec -in key.pem -pubout writes it"
            )

    @property
    def fingerprints(self) -> list[str]:
        """Of each key."""
        return list(self._keys)

    def verify(self, data: bytes) -> Signed:
        """What a signature vouches for.

        Args:
            data: The bytes of `model.sig`.

        Raises:
            SignatureInvalid: It is none, or no trusted key made it, or it was changed.
        """
        bundle = _decoded(data)
        key = self._key_of(bundle.dsse_envelope)
        if key is None:
            raise self._not_ours(bundle)
        try:
            signed = _STATEMENTS.decode(bundle.dsse_envelope.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise SignatureInvalid(f"{NAME} signs something else than a model: {error}") from error
        resources = signed.predicate.resources
        return Signed({one.name: one.digest for one in resources if one.algorithm == "sha256"}, key)

    def _key_of(self, envelope: Envelope) -> str | None:
        from cryptography.exceptions import InvalidSignature

        message = to_sign(envelope.payload)
        for name, key in self._keys.items():
            for one in envelope.signatures:
                try:
                    key.verify(one.sig, message, algorithm_of(key))
                except InvalidSignature:
                    continue
                return name
        return None

    def _not_ours(self, bundle: Bundle) -> SignatureInvalid:
        named = bundle.verification_material.public_key
        if named is None:
            return SignatureInvalid(f"{NAME} was made with a certificate or an identity; a key's is wanted")
        if named.hint in self._keys:
            return SignatureInvalid(f"{NAME} does not hold: it was changed after it was made")
        return SignatureInvalid(
            f"{NAME} was made with another key than is trusted here; keys are named by the sha256 of their file",
            expected=self.fingerprints,
            found=named.hint,
        )


def _decoded(data: bytes) -> Bundle:
    try:
        return _BUNDLES.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SignatureInvalid(f"{NAME} is no signature, or not whole: {error}") from error
