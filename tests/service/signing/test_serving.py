"""A server under the policy `signed`: gates, the trial in a process of its own, workers, keys that are no use."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from key_pairs import Pair
from modelroll_server import errors
from modelroll_server.artifact.policy import Policy
from modelroll_server.registry.loader import Loader
from modelroll_server.registry.target import Content
from modelroll_server.registry.terms import Terms
from modelroll_server.registry.trial import Trial
from server_process import COMMAND, ServerProcess, serving

pytestmark = pytest.mark.needs("openssl")

CHURN = Path(__file__).parents[3] / "models/churn"
PATH = "churn/1.2.0"


def load(root: Path, pair: Pair, content: Content) -> str:
    return Loader(Terms(root, Policy.SIGNED, pair.keys)).load(content).number


def without_onnx(place: Path) -> None:
    manifest = json.loads((place / "modelroll.json").read_bytes())
    manifest["runtimes"] = [one for one in manifest["runtimes"] if one["kind"] == "sklearn"]
    (place / "modelroll.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("prepare", [None, without_onnx], ids=["compiled", "joblib"])
def test_a_signed_version_passes_the_gates_without_a_digest(
    prepare: Callable[[Path], None] | None, artifact: Path, pair: Pair, tmp_path: Path
) -> None:
    if prepare is not None:
        prepare(artifact)
    pair.sign(artifact)
    assert load(tmp_path / "root", pair, Content("1.2.0", PATH)) == "1.2.0"


def test_a_compiled_version_needs_a_signature_as_well(artifact: Path, pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(errors.SignatureMissing):
        load(tmp_path / "root", pair, Content("1.2.0", PATH))


def test_a_digest_is_no_substitute_for_a_signature(artifact: Path, pair: Pair, tmp_path: Path) -> None:
    digest = Loader(Terms(CHURN.parent, Policy.ANY)).load(Content(path=PATH)).digest
    with pytest.raises(errors.SignatureMissing):
        load(tmp_path / "root", pair, Content("1.2.0", PATH, digest))


def test_an_old_signed_version_does_not_pass_for_a_new_one(signed: Path, pair: Pair, tmp_path: Path) -> None:
    shutil.copytree(signed, tmp_path / "root/churn/2.0.0")
    with pytest.raises(errors.VersionMismatch):
        load(tmp_path / "root", pair, Content("2.0.0", "churn/2.0.0"))


# --- The trial -------------------------------------------------------------------------------------------------------


async def attempt(root: Path, pair: Pair, content: Content) -> None:
    await Trial(Terms(root, Policy.SIGNED, pair.keys))(content, None, 120.0)


async def test_a_signed_version_passes_its_trial(signed: Path, pair: Pair, tmp_path: Path) -> None:
    await attempt(tmp_path / "root", pair, Content("1.2.0", PATH))


async def test_what_is_refused_in_a_trial_has_the_same_reason_and_keys(
    artifact: Path, pair: Pair, stranger: Pair, tmp_path: Path
) -> None:
    with pytest.raises(errors.SignatureMissing):
        await attempt(tmp_path / "root", pair, Content("1.2.0", PATH))
    made_with = stranger.sign(artifact)
    with pytest.raises(errors.SignatureInvalid) as caught:
        await attempt(tmp_path / "root", pair, Content("1.2.0", PATH))
    assert (caught.value.expected, caught.value.found) == (pair.keys.fingerprints, made_with)
    pair.sign(artifact)
    with (artifact / "modelroll.json").open("ab") as file:
        file.write(b" ")
    with pytest.raises(errors.SignatureMismatch):
        await attempt(tmp_path / "root", pair, Content("1.2.0", PATH))


class Touches:
    """Unpickled, it leaves a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.place),)


def planted(place: Path, mark: Path) -> None:
    """Make of it an artifact that is whole by its own manifest, and runs code when it is loaded."""
    content = pickle.dumps(Touches(mark))
    (place / "model.joblib").write_bytes(content)
    manifest = json.loads((place / "modelroll.json").read_bytes())
    manifest["runtimes"] = [one for one in manifest["runtimes"] if one["kind"] == "sklearn"]
    manifest["files"] = {"model.joblib": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}}
    (place / "modelroll.json").write_text(json.dumps(manifest))


async def test_no_code_runs_that_was_not_signed(signed: Path, pair: Pair, tmp_path: Path) -> None:
    root, mark = tmp_path / "root", tmp_path / "code-ran"
    planted(signed, mark)
    with pytest.raises(errors.SignatureMismatch):
        load(root, pair, Content("1.2.0", PATH))
    with pytest.raises(errors.SignatureMismatch):
        await attempt(root, pair, Content("1.2.0", PATH))
    assert not mark.exists()
    with pytest.raises(errors.LoadFailed):
        Loader(Terms(root, Policy.ANY)).load(Content("1.2.0", PATH))
    assert mark.exists(), "nothing else would have kept it out"


# --- A server --------------------------------------------------------------------------------------------------------


def environment(root: Path, pair: Pair, targets: Path, **more: str) -> dict[str, str]:
    targets.mkdir(exist_ok=True)
    return {
        "MODEL_ROOT": str(root),
        "MODEL_PATH": PATH,
        "TARGET_DIR": str(targets),
        "ARTIFACT_POLICY": "signed",
        "SIGNING_PUBLIC_KEY": str(pair.public),
        **more,
    }


def target(file: Path, version: str, revision: int, **more: Any) -> None:
    document = {"schema": 1, "version": version, "path": f"churn/{version}", "revision": revision, **more}
    (file.parent / "new").write_text(json.dumps(document))
    (file.parent / "new").replace(file)


def wait_refused(server: ServerProcess, targets: Path, revision: int, reason: str) -> None:
    target(targets / "target", "2.0.0", revision)
    status = server.wait_for_status(lambda found: (found["failure"] or {}).get("revision") == revision)
    assert (status["failure"]["reason"], status["live"]["version"]) == (reason, "1.2.0")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_rolls_to_what_was_signed_and_refuses_the_rest(
    workers: str, signed: Path, pair: Pair, stranger: Pair, tmp_path: Path
) -> None:
    root, targets = tmp_path / "root", tmp_path / "targets"
    new = Path(shutil.copytree(CHURN / "2.0.0", root / "churn/2.0.0"))
    variables = environment(root, pair, targets, WORKERS=workers)
    with serving(tmp_path / "log", environment=variables) as server:
        server.wait_for_live("1.2.0")
        wait_refused(server, targets, 1, "SignatureMissing")
        stranger.sign(new)
        wait_refused(server, targets, 2, "SignatureInvalid")
        shutil.copy(signed / "model.sig", new)
        wait_refused(server, targets, 3, "SignatureMismatch")
        pair.sign(new)
        target(targets / "target", "2.0.0", 9)
        server.wait_for_live("2.0.0", 9)
        row = json.loads((CHURN / "row.json").read_bytes())
        assert httpx.post(f"{server.url}/predict", json=row).json()["model_version"] == "2.0.0"
        assert server.end() == 0


def test_a_pod_that_waits_for_a_signature_serves_when_it_has_come(artifact: Path, pair: Pair, tmp_path: Path) -> None:
    variables = environment(tmp_path / "root", pair, tmp_path / "targets")
    with serving(tmp_path / "log", environment=variables) as server:
        status = server.wait_for_status(lambda found: found["failure"] is not None)
        assert (status["ready"], status["failure"]["reason"]) == (False, "SignatureMissing")
        pair.sign(artifact)
        server.wait_for_live("1.2.0")


def test_the_key_may_stand_in_the_variable_itself(signed: Path, pair: Pair, tmp_path: Path) -> None:
    variables = environment(tmp_path / "root", pair, tmp_path / "targets", SIGNING_PUBLIC_KEY=pair.public.read_text())
    with serving(tmp_path / "log", environment=variables) as server:
        server.wait_for_live("1.2.0")


def test_a_person_serves_a_signed_artifact_by_flags(signed: Path, pair: Pair, tmp_path: Path) -> None:
    flags = ("--artifact-policy", "signed", "--signing-public-key", str(pair.public))
    with serving(tmp_path / "log", str(signed), *flags) as server:
        server.wait_for_live("1.2.0")


def started(tmp_path: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    fixed = {"MODEL_ROOT": str(tmp_path), "MODEL_PATH": PATH, "ARTIFACT_POLICY": "signed", "GRPC_PORT": "off"}
    ports = {"HOST": "127.0.0.1", "PORT": "0", "MANAGEMENT_PORT": "0"}
    return subprocess.run(
        COMMAND,
        env={**os.environ, **fixed, **ports, **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("", "ARTIFACT_POLICY is signed, and SIGNING_PUBLIC_KEY does not say whose signatures count"),
        ("absent.pub", "SIGNING_PUBLIC_KEY is 'absent.pub', and may be a PEM file, or what is in one: No such file"),
        ("garbage", "no public key is there"),
        ("bytes", "it is no text"),
        ("rsa", "the key's kind is RSA, and may be an EC key on one of the curves secp256r1"),
        ("private", "openssl ec -in key.pem -pubout"),
    ],
)
def test_a_server_does_not_start_with_a_key_that_it_cannot_use(
    key: str, sentence: str, tmp_path: Path, pair: Pair, rsa: Pair
) -> None:
    (tmp_path / "garbage").write_text("garbage")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    places = {name: tmp_path / name for name in ("garbage", "bytes")} | {"rsa": rsa.public, "private": pair.private}
    done = started(tmp_path, SIGNING_PUBLIC_KEY=str(places.get(key, key)))
    assert done.returncode in {1, 2}
    assert done.stderr.startswith("modelroll: ")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1, "no traceback, and nothing of the key"


def test_nor_does_one_of_several_workers(tmp_path: Path, rsa: Pair) -> None:
    done = started(tmp_path, SIGNING_PUBLIC_KEY=str(rsa.public), WORKERS="2")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "the key's kind is RSA" in done.stderr


def test_a_key_under_another_policy_is_refused_as_it_would_protect_nobody(tmp_path: Path, pair: Pair) -> None:
    done = started(tmp_path, ARTIFACT_POLICY="any", SIGNING_PUBLIC_KEY=str(pair.public))
    assert done.returncode == 2
    assert "looked at only where ARTIFACT_POLICY is signed" in done.stderr


def test_under_other_policies_no_cryptography_is_imported() -> None:
    command = (
        "import sys, pathlib; from modelroll_server.registry.loader import Content, Loader;"
        "from modelroll_server.registry.terms import Policy, Terms;"
        f"Loader(Terms(pathlib.Path({str(CHURN.parent)!r}), Policy.ANY)).load(Content(path={PATH!r}));"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
