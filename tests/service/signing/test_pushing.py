"""A signature is carried to the volume with its version, or after it."""

import io
import shutil
from pathlib import Path

import pytest

from key_pairs import Pair
from modelroll_server.artifact import catalog, opening
from modelroll_server.artifact.policy import Policy
from modelroll_server.errors import SignatureMissing
from modelroll_server.pushing import archive, receive

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume"


def push(artifact: Path, volume: Path) -> str:
    stream = io.BytesIO()
    archive.write([catalog.read(artifact)], stream, lambda _: None)
    stream.seek(0)
    [received] = receive.receive(stream, volume)
    return received.outcome


def is_trusted(volume: Path, pair: Pair) -> bool:
    try:
        opening.open_artifact("churn/1.2.0", root=volume, policy=Policy.SIGNED, keys=pair.keys).close()
    except SignatureMissing:
        return False
    return True


def test_a_signed_version_arrives_with_its_signature(signed: Path, volume: Path, pair: Pair) -> None:
    assert push(signed, volume) == "written"
    assert is_trusted(volume, pair)
    assert push(signed, volume) == "present"


def test_a_signature_may_come_after_its_version(artifact: Path, volume: Path, pair: Pair) -> None:
    assert push(artifact, volume) == "written"
    assert not is_trusted(volume, pair)
    pair.sign(artifact)
    assert push(artifact, volume) == "signed"
    assert is_trusted(volume, pair)
    assert (volume / "churn/1.2.0/model.sig").stat().st_mode & 0o777 == 0o644


def test_one_signature_takes_the_place_of_another(signed: Path, volume: Path, stranger: Pair) -> None:
    push(signed, volume)
    stranger.sign(signed)
    assert push(signed, volume) == "signed"
    assert is_trusted(volume, stranger)


def test_a_push_without_a_signature_takes_none_away(signed: Path, volume: Path, pair: Pair, tmp_path: Path) -> None:
    push(signed, volume)
    unsigned = Path(shutil.copytree(signed, tmp_path / "1.2.0"))
    (unsigned / "model.sig").unlink()
    assert push(unsigned, volume) == "present"
    assert is_trusted(volume, pair)


def test_nothing_else_comes_to_lie_there(signed: Path, volume: Path) -> None:
    push(signed, volume)
    push(signed, volume)
    names = sorted(str(path.relative_to(volume)) for path in volume.rglob("*") if path.is_file())
    assert names == [f"churn/1.2.0/{name}" for name in ("model.joblib", "model.onnx", "model.sig", "modelroll.json")]
