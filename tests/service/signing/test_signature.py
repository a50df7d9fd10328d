"""The policy `signed`: what a trusted key vouched for is opened, and nothing else, whatever happened to it since."""

import hashlib
import json
import os
import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from key_pairs import Pair, ec_pair, library
from modelroll_server import errors
from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact import opening, signature
from modelroll_server.artifact.policy import Policy
from modelroll_server.artifact.signature import PublicKeys
from modelroll_server.packing import signing

pytestmark = pytest.mark.needs("openssl")

CHURN = Path(__file__).parents[3] / "models/churn"


def opened(place: Path, pair: Pair, **more: Any) -> opening.OpenArtifact:
    return opening.open_artifact(place, policy=Policy.SIGNED, keys=pair.keys, **more)


def refused(place: Path, pair: Pair) -> errors.LoadError:
    with pytest.raises(errors.LoadError) as caught:
        opened(place, pair)
    return caught.value


def test_what_was_signed_is_opened_and_says_by_whom(signed: Path, pair: Pair) -> None:
    with opened(signed, pair) as found, found.reading("model.joblib") as file:
        assert found.signed_by == pair.keys.fingerprints[0]
        assert file.read() == (CHURN / "1.2.0/model.joblib").read_bytes()


def test_the_digest_stays_as_it_is_and_is_compared_as_well(signed: Path, pair: Pair) -> None:
    with opening.open_artifact(CHURN / "1.2.0") as plain, opened(signed, pair, digest=plain.digest) as found:
        assert found.digest == plain.digest
    with pytest.raises(errors.DigestMismatch):
        opened(signed, pair, digest="sha256:" + "0" * 64)


def test_code_may_run_without_a_digest(signed: Path, pair: Pair) -> None:
    with opened(signed, pair) as found:
        found.require_trust("joblib")


def test_a_fingerprint_is_the_sha256_of_the_key_file(pair: Pair) -> None:
    assert pair.keys.fingerprints == [hashlib.sha256(pair.public.read_bytes()).hexdigest()]


# --- Both directions with the format's own library -------------------------------------------------------------------


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_what_the_library_signs_is_accepted(curve: str, artifact: Path, tmp_path: Path) -> None:
    pair = ec_pair(tmp_path, curve)
    done = library("sign", "key", artifact, "--private_key", pair.private, "--signature", artifact / "model.sig")
    assert done.returncode == 0, done.stderr
    opened(artifact, pair).close()


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_what_is_signed_here_the_library_accepts(curve: str, artifact: Path, tmp_path: Path) -> None:
    pair = ec_pair(tmp_path, curve)
    pair.sign(artifact)
    opened(artifact, pair).close()
    arguments = ("verify", "key", artifact, "--public_key", pair.public, "--signature", artifact / "model.sig")
    done = library(*arguments)
    assert done.returncode == 0, done.stderr
    with (artifact / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert library(*arguments).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "place"),
    [((), ".."), (("--ignore-paths", "modelroll.json"), ".")],
    ids=["the directory above", "without the manifest"],
)
def test_a_signature_that_does_not_cover_the_manifest_is_refused(
    arguments: tuple[str, ...], place: str, artifact: Path, pair: Pair
) -> None:
    options = [
        str(artifact / one) if previous == "--ignore-paths" else one
        for previous, one in zip(("", *arguments), arguments, strict=False)
    ]
    signing = ("sign", "key", (artifact / place).resolve(), "--private_key", pair.private)
    done = library(*signing, "--signature", artifact / "model.sig", *options)
    assert done.returncode == 0, done.stderr
    error = refused(artifact, pair)
    assert error.reason == "SignatureMismatch"
    assert "does not cover modelroll.json" in error.message


# --- Refusals, each with its reason ----------------------------------------------------------------------------------


def test_an_unsigned_artifact_is_refused_with_what_to_do(artifact: Path, pair: Pair) -> None:
    error = refused(artifact, pair)
    assert error.reason == "SignatureMissing"
    assert "modelroll sign" in error.message


@pytest.mark.parametrize("name", ["model.joblib", "model.onnx"])
def test_a_bare_file_is_refused_beside_a_signature_too(name: str, signed: Path, pair: Pair) -> None:
    error = refused(signed / name, pair)
    assert error.reason == "SignatureMissing"
    assert "bare file" in error.message


def test_another_key_is_refused_and_both_are_named(artifact: Path, pair: Pair, stranger: Pair) -> None:
    made_with = stranger.sign(artifact)
    error = refused(artifact, pair)
    assert error.reason == "SignatureInvalid"
    assert (error.expected, error.found) == (pair.keys.fingerprints, made_with)


def test_another_key_that_calls_itself_the_trusted_one_is_refused(artifact: Path, pair: Pair, stranger: Pair) -> None:
    stranger.sign(artifact)
    edit(artifact, lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint=pair.keys.fingerprints[0]))
    error = refused(artifact, pair)
    assert error.reason == "SignatureInvalid"
    assert "changed after it was made" in error.message


@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_a_signature_cut_short_is_refused(left: int, signed: Path, pair: Pair) -> None:
    file = signed / "model.sig"
    file.write_bytes(file.read_bytes()[:left])
    error = refused(signed, pair)
    assert error.reason == "SignatureInvalid"
    assert "not whole" in error.message


def test_a_signature_that_is_too_large_is_refused_unread(signed: Path, pair: Pair) -> None:
    (signed / "model.sig").write_bytes(b" " * (signature.MAX_BYTES + 1))
    assert "more than 1 MiB" in refused(signed, pair).message


def test_the_signature_of_another_artifact_is_refused(signed: Path, tmp_path: Path, pair: Pair) -> None:
    other = Path(shutil.copytree(CHURN / "2.0.0", tmp_path / "2.0.0"))
    shutil.copy(signed / "model.sig", other)
    error = refused(other, pair)
    assert error.reason == "SignatureMismatch"
    assert "modelroll.json is not what was signed" in error.message


def test_a_manifest_changed_after_signing_is_refused(signed: Path, pair: Pair) -> None:
    with (signed / "modelroll.json").open("ab") as file:
        file.write(b" ")
    assert refused(signed, pair).reason == "SignatureMismatch"


def test_a_manifest_that_was_not_signed_is_not_even_parsed(signed: Path, pair: Pair) -> None:
    (signed / "modelroll.json").write_bytes(b"{")
    assert refused(signed, pair).reason == "SignatureMismatch"


def test_a_file_changed_after_signing_is_refused_when_it_is_read(signed: Path, pair: Pair) -> None:
    content = bytearray((signed / "model.joblib").read_bytes())
    content[-1] ^= 1
    (signed / "model.joblib").write_bytes(content)
    with opened(signed, pair) as found:
        with pytest.raises(errors.DigestMismatch), found.reading("model.joblib"):
            pass
        with found.reading("model.onnx"):
            pass


def test_a_file_changed_between_packing_and_signing_is_not_vouched_for(artifact: Path, pair: Pair) -> None:
    content = bytearray((artifact / "model.joblib").read_bytes())
    content[-1] ^= 1
    (artifact / "model.joblib").write_bytes(content)
    with pytest.raises(errors.DigestMismatch):
        pair.sign(artifact)
    assert not (artifact / "model.sig").exists()
    library("sign", "key", artifact, "--private_key", pair.private, "--signature", artifact / "model.sig")
    error = refused(artifact, pair)
    assert error.reason == "SignatureMismatch"
    assert "model.joblib is not what was signed" in error.message


def test_a_file_added_after_signing_harms_nobody_as_nothing_opens_it(signed: Path, pair: Pair) -> None:
    (signed / "extra.py").write_bytes(b"raise SystemExit")
    with opened(signed, pair) as found, pytest.raises(KeyError), found.reading("extra.py"):
        pass


def test_a_manifest_cannot_list_its_signature(signed: Path) -> None:
    document = json.loads((signed / "modelroll.json").read_bytes())
    document["files"]["model.sig"] = {"sha256": "0" * 64, "bytes": 1}
    with pytest.raises(errors.ManifestInvalid, match=r"'model.sig' is not a plain file name"):
        manifests.decode(json.dumps(document).encode())


def test_a_signature_that_is_a_link_is_not_followed(signed: Path, tmp_path: Path, pair: Pair) -> None:
    (signed / "model.sig").rename(tmp_path / "elsewhere")
    (signed / "model.sig").symlink_to(tmp_path / "elsewhere")
    assert refused(signed, pair).reason == "PathRefused"


def test_a_signature_that_is_a_pipe_does_not_block(artifact: Path, pair: Pair) -> None:
    os.mkfifo(artifact / "model.sig")
    assert refused(artifact, pair).reason == "PathRefused"


def test_under_other_policies_the_signature_is_not_looked_at(artifact: Path) -> None:
    (artifact / "model.sig").write_bytes(b"garbage")
    with opening.open_artifact(artifact, policy=Policy.DIGEST) as found:
        assert found.signed_by is None


def test_without_a_key_nothing_is_opened(signed: Path) -> None:
    with pytest.raises(errors.PolicyRefused):
        opening.open_artifact(signed, policy=Policy.SIGNED)


# --- The document, bent ----------------------------------------------------------------------------------------------


def edit(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    bundle = json.loads((place / "model.sig").read_bytes())
    change(bundle)
    (place / "model.sig").write_text(json.dumps(bundle))


def with_payload(bundle: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> None:
    statement = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    bundle["dsseEnvelope"]["payload"] = b64encode(json.dumps(statement).encode()).decode()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, pair: Pair) -> bytes:
    """A signature that holds."""
    place = Path(shutil.copytree(CHURN / "1.2.0", tmp_path_factory.mktemp("good") / "1.2.0"))
    pair.sign(place)
    return (place / "model.sig").read_bytes()


def by_certificate(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": ""}}
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = ""


BENT: dict[str, Callable[[dict[str, Any]], object]] = {
    "no signature": lambda bundle: bundle["dsseEnvelope"].update(signatures=[]),
    "an empty signature": lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(sig=""),
    "another payload": lambda bundle: with_payload(bundle, lambda found: found["predicate"]["resources"].pop()),
    "the same payload, written otherwise": lambda bundle: with_payload(bundle, lambda found: None),
    "another type of payload": lambda bundle: bundle["dsseEnvelope"].update(payloadType="text/plain"),
    "another type of document": lambda bundle: bundle.update(mediaType="application/json"),
    "a certificate": by_certificate,
    "no envelope": lambda bundle: bundle.pop("dsseEnvelope"),
}


@pytest.mark.parametrize("name", BENT)
def test_a_document_that_was_bent_is_refused(name: str, signed: Path, pair: Pair) -> None:
    edit(signed, BENT[name])
    assert refused(signed, pair).reason == "SignatureInvalid"


def test_a_good_signature_over_something_else_than_a_model_is_refused(signed: Path, pair: Pair) -> None:
    payload = b'{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1"}'
    key = signing.read_key(pair.private.read_bytes(), lambda: "")
    sig = key.sign(signature.to_sign(payload), ec.ECDSA(hashes.SHA256()))
    edit(
        signed,
        lambda bundle: bundle["dsseEnvelope"].update(
            payload=b64encode(payload).decode(), signatures=[{"sig": b64encode(sig).decode()}]
        ),
    )
    error = refused(signed, pair)
    assert error.reason == "SignatureInvalid"
    assert "something else than a model" in error.message


EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2), st.binary(max_size=2)), min_size=1, max_size=3)


@given(edits=EDITS)
def test_no_bent_bytes_pass_for_the_signature_of_other_content(
    edits: list[tuple[float, int, bytes]], good: bytes, pair: Pair
) -> None:
    content = bytearray(good)
    for where, removed, added in edits:
        start = int(where * len(content))
        content[start : start + removed] = added
    try:
        vouched = pair.keys.verify(bytes(content))
    except errors.SignatureInvalid:
        return
    assert vouched == pair.keys.verify(good)


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_while_one_key_takes_the_place_of_another_both_count(artifact: Path, pair: Pair, stranger: Pair) -> None:
    both = PublicKeys(f"# the old one\n{stranger.public.read_text()}\n{pair.public.read_text()}")
    for signer in (pair, stranger):
        made_with = signer.sign(artifact)
        with opening.open_artifact(artifact, policy=Policy.SIGNED, keys=both) as found:
            assert found.signed_by == made_with


@pytest.mark.parametrize("text", ["", "garbage", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_garbage_is_no_key(text: str) -> None:
    with pytest.raises(errors.KeyInvalid, match="no public key"):
        PublicKeys(text)


def test_a_private_key_is_not_taken_for_its_public_half(pair: Pair) -> None:
    with pytest.raises(errors.KeyInvalid, match="-pubout"):
        PublicKeys(pair.private.read_text())


def test_an_rsa_key_is_refused_by_its_kind(rsa: Pair) -> None:
    with pytest.raises(errors.KeyInvalid, match="the key's kind is RSA, and may be an EC key"):
        PublicKeys(rsa.public.read_text())


def test_a_key_on_another_curve_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(errors.KeyInvalid, match="the key's kind is secp256k1"):
        ec_pair(tmp_path, "secp256k1").keys  # noqa: B018 - reading it is what is tested
