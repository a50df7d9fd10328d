"""Print real rows and what scikit-learn answers to them, one JSON object a line; the server has no part in it.

    uv run python models/churn/rows.py --count 500

Each line: {"row": {name: value}, "expected": {"1.2.0": {"prediction": label, "probability": [numbers]}, "2.0.0": …}}
"""

import argparse
import json
from pathlib import Path
from typing import Any

import customers
import joblib

HERE = Path(__file__).resolve().parent


def expected(versions: list[str], count: int) -> list[dict[str, Any]]:
    """The first `count` rows, each with the answer of every version."""
    inputs, _ = customers.load()
    asked = inputs.head(count)
    lines: list[dict[str, Any]] = [{"row": row, "expected": {}} for row in customers.rows(count)]
    for version in versions:
        estimator = joblib.load(HERE / version / "model.joblib")
        answers = zip(lines, estimator.predict(asked), estimator.predict_proba(asked), strict=True)
        for line, prediction, probability in answers:
            line["expected"][version] = {"prediction": str(prediction), "probability": probability.tolist()}
    return lines


def main() -> None:
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=500, help="how many rows (500)")
    arguments.add_argument("--version", action="append", help="only these (1.2.0 and 2.0.0)")
    options = arguments.parse_args()
    for line in expected(options.version or ["1.2.0", "2.0.0"], options.count):
        print(json.dumps(line, separators=(",", ":")))


if __name__ == "__main__":
    main()
