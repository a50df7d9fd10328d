"""`modelroll sign` and `modelroll verify --public-key`."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from key_pairs import Pair, library, openssl
from modelroll_server.artifact import catalog, opening
from modelroll_server.artifact.policy import Policy
from modelroll_server.cli import main

pytestmark = pytest.mark.needs("openssl")


def run(*arguments: Any, **more: Any) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], **more)


def test_a_signed_artifact_is_verified_by_both_command_lines(artifact: Path, pair: Pair) -> None:
    digest = catalog.read(artifact).digest
    result = run("sign", artifact, "--key", pair.private)
    assert result.exit_code == 0, result.output
    assert pair.keys.fingerprints[0] in result.output
    assert catalog.read(artifact).digest == digest
    result = run("verify", artifact, "--public-key", pair.public)
    assert result.exit_code == 0, result.output
    assert "holds                signature    by the key " + pair.keys.fingerprints[0] in result.output
    arguments = ("--public_key", pair.public, "--signature", artifact / "model.sig")
    assert library("verify", "key", artifact, *arguments).returncode == 0


def test_signing_again_replaces_the_signature(signed: Path, pair: Pair, stranger: Pair) -> None:
    assert run("sign", signed, "--key", stranger.private).exit_code == 0
    assert "SignatureInvalid" in run("verify", signed, "--public-key", pair.public).output
    opening.open_artifact(signed, policy=Policy.SIGNED, keys=stranger.keys).close()
    assert sorted(file.name for file in signed.iterdir()) == [
        "model.joblib",
        "model.onnx",
        "model.sig",
        "modelroll.json",
    ]


def test_verify_loads_nothing_that_the_key_did_not_sign(artifact: Path, pair: Pair) -> None:
    result = run("verify", artifact, "--public-key", pair.public)
    assert result.exit_code == 1
    assert "SignatureMissing" in result.output
    assert "model.joblib" not in result.output, "the first thing that is looked at is the signature"


def test_verify_without_a_key_does_not_speak_of_signatures(signed: Path) -> None:
    result = run("verify", signed, "--check-seconds", "1")
    assert "golden rows  20 reproduced" in result.output
    assert "signature" not in result.output


def test_a_key_that_cannot_check_is_refused_with_its_file(signed: Path, rsa: Pair) -> None:
    result = run("verify", signed, "--public-key", rsa.public)
    assert result.exit_code == 1
    assert f"{rsa.public}: the key's kind is RSA" in result.output


@pytest.fixture
def encrypted(pair: Pair, tmp_path: Path) -> Path:
    file = tmp_path / "encrypted.pem"
    openssl("ec", "-in", pair.private, "-aes256", "-passout", "pass:open sesame", "-out", file)
    return file


def test_the_passphrase_of_a_key_is_asked_for(artifact: Path, encrypted: Path) -> None:
    result = run("sign", artifact, "--key", encrypted, input="open sesame\n")
    assert result.exit_code == 0, result.output
    assert "open sesame" not in result.output


def test_or_it_comes_from_the_environment(artifact: Path, encrypted: Path) -> None:
    environment = {"MODELROLL_SIGNING_PASSPHRASE": "open sesame"}
    assert run("sign", artifact, "--key", encrypted, env=environment).exit_code == 0


def test_a_wrong_passphrase_signs_nothing(artifact: Path, encrypted: Path) -> None:
    result = run("sign", artifact, "--key", encrypted, env={"MODELROLL_SIGNING_PASSPHRASE": "sesame"})
    assert result.exit_code == 1
    assert "the passphrase is another" in result.output
    assert not (artifact / "model.sig").exists()


@pytest.mark.parametrize("which", ["rsa", "public", "garbage"])
def test_a_key_that_cannot_sign_is_refused(which: str, artifact: Path, pair: Pair, rsa: Pair, tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(b"\x00\xff")
    file, why = {
        "rsa": (rsa.private, "the key's kind is RSA"),
        "public": (pair.public, "it is no private key"),
        "garbage": (tmp_path / "garbage", "it is no private key"),
    }[which]
    result = run("sign", artifact, "--key", file)
    assert result.exit_code == 1
    assert f"{file}: {why}" in result.output
    assert not (artifact / "model.sig").exists()


def test_a_bare_file_and_a_models_directory_are_not_signed(artifact: Path, pair: Pair) -> None:
    result = run("sign", artifact / "model.joblib", "--key", pair.private)
    assert "an artifact is what is signed" in result.output
    result = run("sign", artifact.parent, "--key", pair.private)
    assert (result.exit_code, "no modelroll.json" in result.output) == (1, True)


def test_what_does_not_hash_to_its_manifest_is_not_signed(artifact: Path, pair: Pair) -> None:
    content = bytearray((artifact / "model.onnx").read_bytes())
    content[-1] ^= 1
    (artifact / "model.onnx").write_bytes(content)
    result = run("sign", artifact, "--key", pair.private)
    assert "model.onnx is not the file that was packed" in result.output
    assert not (artifact / "model.sig").exists()


def test_signing_needs_nothing_that_packing_does(artifact: Path, pair: Pair) -> None:
    command = f"""
import sys
from modelroll_server.cli import main
main(["sign", {str(artifact)!r}, "--key", {str(pair.private)!r}], standalone_mode=False)
print([name for name in ("sklearn", "pandas", "onnx", "onnxruntime", "sigstore") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_copy_of_a_signed_artifact_under_another_name_holds(signed: Path, pair: Pair, tmp_path: Path) -> None:
    other = shutil.copytree(signed, tmp_path / "elsewhere")
    opening.open_artifact(other, policy=Policy.SIGNED, keys=pair.keys).close()
