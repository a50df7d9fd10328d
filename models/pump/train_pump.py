"""Train and pack the pump model: which pump will fail soon, by what its sensors say. The readings are simulated.

    uv run python models/pump/train_pump.py             # models/pump/1.0.0

SOURCE_DATE_EPOCH sets the time in the manifest; with it, the same versions of the libraries write the same manifest.
"""

import argparse
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import joblib
import readings
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from modelroll_server.packing import pack

ROOT = Path(__file__).resolve().parents[2]
MODEL, VERSION = "pump", "1.0.0"
ROWS = 6_000


def make(out: Path, created: datetime | None) -> pack.Packed:
    """Train it and pack it, compiled, under OUT/pump/1.0.0/."""
    table, state = readings.table(ROWS)
    train_x, test_x, train_y, test_y = train_test_split(table, state, test_size=0.2, random_state=readings.SEED)
    estimator = GradientBoostingClassifier(n_estimators=40, max_depth=2, random_state=readings.SEED)
    estimator.fit(train_x, train_y)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "model.joblib")
        joblib.dump(estimator, file, compress=3)
        accuracy = float(accuracy_score(test_y, estimator.predict(test_x)))
        request = pack.Request(
            files=[file],
            model=MODEL,
            version=VERSION,
            samples=table,
            metrics={"held_out_accuracy": round(accuracy, 4)},
            created=created,
            compile=True,
            require_compiled=True,
        )
        return pack.pack(request, out, replace=True)


def main() -> None:
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, default=ROOT / "models", help="where pump/1.0.0/ is written")
    options = arguments.parse_args()
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    packed = make(options.out, datetime.fromtimestamp(int(epoch), UTC) if epoch else None)
    print(packed.path, packed.digest, packed.manifest.metrics)


if __name__ == "__main__":
    main()
