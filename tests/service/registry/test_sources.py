"""Reading the projected volume, and a model's directory as it grows."""

import json
import os
import shutil
from pathlib import Path

from modelroll_server.registry.sources import Directory, Files
from modelroll_server.registry.target import Content

CHURN = Path(__file__).parents[3] / "models" / "churn"


def project(volume: Path, generation: int, **files: dict[str, object]) -> None:
    """Write a volume as the kubelet does: a new directory, and the link `..data` renamed onto it."""
    fresh = volume / f"..generation_{generation}"
    fresh.mkdir(parents=True)
    for name, document in files.items():
        (fresh / name).write_text(json.dumps(document))
        link = volume / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
    (volume / "..data_tmp").symlink_to(fresh.name)
    (volume / "..data_tmp").replace(volume / "..data")


def test_the_three_files_of_one_generation_are_read_together(tmp_path: Path) -> None:
    source = Files(tmp_path, None)
    for generation in range(3):
        document = {"path": "churn/1.0.0", "revision": generation}
        project(tmp_path, generation, settled=document, target=document)
        snapshot = source.snapshot()
        assert snapshot.settled is not None
        assert snapshot.target is not None
        assert snapshot.settled.revision == snapshot.target.revision == generation


def test_plain_files_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "settled").write_text('{"path":"churn/1.0.0","revision":4}')
    snapshot = Files(tmp_path, None).snapshot()
    assert snapshot.settled is not None
    assert snapshot.settled.revision == 4
    assert snapshot.target is None


def test_a_file_that_does_not_parse_says_nothing_and_is_reported(tmp_path: Path) -> None:
    (tmp_path / "move").write_text("{")
    snapshot = Files(tmp_path, None).snapshot()
    assert snapshot.move is None
    assert snapshot.invalid
    assert snapshot.invalid[0].startswith("move:")


def test_env_is_what_model_path_says(tmp_path: Path) -> None:
    (tmp_path / "settled").write_text('{"env":true,"revision":4}')
    snapshot = Files(tmp_path, Content(path="churn/1.2.0", env=True)).snapshot()
    assert snapshot.settled is not None
    assert snapshot.settled.content == Content(path="churn/1.2.0", env=True)


async def test_a_directory_is_followed_to_its_highest_complete_version(tmp_path: Path) -> None:
    source = Directory(tmp_path)
    shutil.copytree(CHURN / "1.2.0", tmp_path / "1.2.0")
    first = (await source.read()).env
    (tmp_path / "2.0.0").mkdir()
    for name in ("model.joblib", "model.onnx"):
        shutil.copy(CHURN / "2.0.0" / name, tmp_path / "2.0.0")
    half = (await source.read()).env
    shutil.copy(CHURN / "2.0.0" / "modelroll.json", tmp_path / "2.0.0")
    second = (await source.read()).env
    assert first is not None
    assert second is not None
    assert half == first
    assert (first.content.version, second.content.version) == ("1.2.0", "2.0.0")
    assert second.revision > first.revision
    assert os.fspath(tmp_path / "2.0.0") == second.content.path
