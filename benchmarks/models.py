"""The models on disk: what scikit-learn wrote, the same packed, and rows with scikit-learn's own answers.

Owns when they are made again: when how they are trained or packed has changed. The file `model.joblib` is one and the
same for every subject; the artifacts are made from it by `modelroll pack`, as a user would.
"""

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import places

NAMES = ("logistic", "forest", "deep", "churn", "wide")
ROWS = 100
"""Rows that a subject is asked, one after another and then again."""
VERSION = "1.0.0"
Row = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        name: One of NAMES.
        named: Whether it was fitted on named columns; else on an array.
        file: What joblib wrote.
        rows: What is asked: value by column, null where missing.
        expected: The label that scikit-learn gives to each.
        texts: The columns that hold text.
        uncompiled: The artifact that scikit-learn serves.
        compiled: The artifact that ONNX Runtime serves, None when `pack` shipped none.
    """

    name: str
    named: bool
    file: Path
    rows: list[Row]
    expected: list[Any]
    texts: frozenset[str]
    uncompiled: Path
    compiled: Path | None


def open_model(name: str) -> Model:
    """The model of that name, made first if it is not there as it would be made today."""
    place = places.cache() / "models" / f"{name}-{_key_of_training()}"
    if not (place / "rows.json").exists():
        print(f"training {name} into {place}", flush=True)
        _train(name, place)
    asked = json.loads((place / "rows.json").read_text())
    uncompiled, compiled = _packed(name, place)
    first = asked["rows"][0]
    return Model(
        name=name,
        named=asked["call"] == "frame",
        file=place / "model.joblib",
        rows=asked["rows"],
        expected=asked["expected"],
        texts=frozenset(column for column in first if any(isinstance(row[column], str) for row in asked["rows"])),
        uncompiled=uncompiled,
        compiled=compiled,
    )


def _train(name: str, place: Path) -> None:
    import joblib  # here, like training: a run whose models are there has no use for scikit-learn

    from benchmarks import training

    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    trained = training.train(name, ROWS)
    joblib.dump(trained.estimator, place / "model.joblib")
    trained.samples.to_parquet(place / "samples.parquet")
    asked = trained.asked if trained.call == "frame" else trained.asked.to_numpy()
    rows = json.loads(trained.asked.to_json(orient="records", double_precision=15))
    document = {"call": trained.call, "rows": rows, "expected": trained.estimator.predict(asked).tolist()}
    (place / "rows.json").write_text(json.dumps(document))


def _packed(name: str, place: Path) -> tuple[Path, Path | None]:
    """The artifact without a compiled model, and the one with it where there is one."""
    first = _pack(name, place, "as-packed")
    if not (first / "model.onnx").exists():
        return first, None
    return _pack(name, place, "uncompiled", "--no-compile"), first


def _pack(name: str, place: Path, kind: str, *flags: str) -> Path:
    out = place / f"{kind}-{_key_of_packing()}"
    artifact = out / name / VERSION
    if not (artifact / "modelroll.json").exists():
        command = [sys.executable, "-m", "modelroll_server", "pack", str(place / "model.joblib"), "--model", name]
        command += ["--version", VERSION, "--samples", str(place / "samples.parquet"), "--out", str(out), *flags]
        print(f"packing {name} ({kind}): {' '.join(command)}", flush=True)
        said = subprocess.run(command, cwd=places.ROOT, capture_output=True, text=True, check=False)
        if said.returncode:
            raise RuntimeError(f"modelroll pack failed:\n{said.stderr}")
        (out / "packed.txt").write_text(said.stdout)
    return artifact


def _key_of_training() -> str:
    return _digest([places.BENCHMARKS / "training.py", places.ROOT / "models/churn/2.0.0/model.joblib"])


def _key_of_packing() -> str:
    source = places.ROOT / "service/src/modelroll_server"
    return _digest(sorted(path for part in ("packing", "artifact") for path in (source / part).rglob("*.py")))


def _digest(files: Iterable[Path]) -> str:
    content = b"\0".join(path.read_bytes() for path in files)
    return hashlib.sha256(content + f"{importlib.metadata.version('scikit-learn')} {ROWS}".encode()).hexdigest()[:12]
