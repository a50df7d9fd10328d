"""Train and pack the two churn models, and the broken third one for tests.

    uv run python models/churn/train.py            # models/churn/1.2.0 and 2.0.0
    uv run python models/churn/train.py --bad      # tests/artifacts/churn/2.1.0: golden rows that it does not give

SOURCE_DATE_EPOCH sets the time in the manifests; with it, the same versions of the libraries write the same manifest.
"""

import argparse
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import customers
import joblib
import msgspec
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelroll_server.packing import pack, writing

ROOT = Path(__file__).resolve().parents[2]
MODEL = "churn"
BAD_VERSION = "2.1.0"


def classifiers() -> dict[str, Any]:
    """The estimator of each version."""
    return {
        "1.2.0": LogisticRegression(max_iter=2000),
        "2.0.0": GradientBoostingClassifier(n_estimators=60, max_depth=3, random_state=customers.SEED),
    }


def pipeline(classifier: Any, inputs: pd.DataFrame) -> Pipeline:
    """Numbers imputed and scaled, categories one-hot; an unknown category is refused."""
    texts = [name for name in inputs.columns if not pd.api.types.is_numeric_dtype(inputs[name])]
    numbers = [name for name in inputs.columns if name not in texts]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("categories", OneHotEncoder(), texts),
        ]
    )
    return Pipeline([("columns", columns), ("classifier", classifier)])


def train(version: str) -> tuple[Pipeline, dict[str, float]]:
    """The fitted pipeline of a version, and its scores on the held-out fifth."""
    inputs, target = customers.load()
    train_x, test_x, train_y, test_y = train_test_split(
        inputs, target, test_size=customers.HELD_OUT, random_state=customers.SEED, stratify=target
    )
    fitted = pipeline(classifiers()[version], inputs).fit(train_x, train_y)
    probability = fitted.predict_proba(test_x)[:, 1]
    scores = {
        "held_out_accuracy": round(float(accuracy_score(test_y, fitted.predict(test_x))), 4),
        "held_out_roc_auc": round(float(roc_auc_score(test_y == "Yes", probability)), 4),
    }
    return fitted, scores


def make(version: str, out: Path, created: datetime | None, *, compiled: bool = True) -> pack.Packed:
    """Train a version and pack it under OUT/churn/<version>/, compiled unless that is not wanted."""
    fitted, scores = train(version)
    inputs, _ = customers.load()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "model.joblib")
        joblib.dump(fitted, file, compress=3)
        request = pack.Request(
            files=[file],
            model=MODEL,
            version=version,
            samples=inputs,
            metrics=scores,
            created=created,
            compile=compiled,
            require_compiled=compiled,
        )
        return pack.pack(request, out, replace=True)


def make_bad(out: Path, created: datetime | None) -> Path:
    """Pack 2.0.0 as 2.1.0 with golden rows that say the opposite: whole in every respect but what it answers."""
    with tempfile.TemporaryDirectory() as directory:
        packed = make("2.0.0", Path(directory), created)
        contents = {name: (packed.path / name).read_bytes() for name in packed.manifest.files}
    golden = packed.manifest.golden
    assert golden is not None
    opposite = {"Yes": "No", "No": "Yes"}
    lies = msgspec.structs.replace(golden, prediction=[opposite[label] for label in golden.prediction])
    manifest = msgspec.structs.replace(packed.manifest, version=BAD_VERSION, golden=lies)
    return writing.write(out, manifest, contents, replace=True)


def main() -> None:
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bad", action="store_true", help="the version that does not reproduce its golden rows")
    arguments.add_argument(
        "--no-compile", action="store_true", help="as scikit-learn runs them alone; takes seconds less"
    )
    arguments.add_argument("--out", type=Path, help="where <model>/<version>/ is written")
    options = arguments.parse_args()
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    created = datetime.fromtimestamp(int(epoch), UTC) if epoch else None
    if options.bad:
        print(make_bad(options.out or ROOT / "tests/artifacts", created))
        return
    for version in classifiers():
        packed = make(version, options.out or ROOT / "models", created, compiled=not options.no_compile)
        print(packed.path, packed.digest, packed.manifest.metrics)


if __name__ == "__main__":
    main()
