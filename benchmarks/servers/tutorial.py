"""What tutorials show: FastAPI, a pydantic model of the features, a DataFrame of one row, scikit-learn.

python tutorial.py MODEL.joblib ROWS.json PORT

The one liberty: the pydantic model is made from a row, so that one file serves every model. LOAD=request reads the
file anew for every request, as the shortest of the tutorials do; LOAD=lazy for the first one.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model

FILE, ROWS, PORT = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3])
LOAD = os.environ.get("LOAD", "preload")


def features() -> type[BaseModel]:
    """The pydantic model of one request."""
    if ROWS["call"] == "array":
        return create_model("Features", features=(list[float], ...))
    fields: dict[str, Any] = {}
    for name in ROWS["rows"][0]:
        values = [row[name] for row in ROWS["rows"] if row[name] is not None]
        kind = str if isinstance(values[0], str) else float
        fields[name] = (kind | None, ...)
    return create_model("Features", **fields)


Features = features()
app = FastAPI()
loaded: list[Any] = [joblib.load(FILE)] if LOAD == "preload" else []


def model() -> Any:
    """The estimator, loaded when the strategy says so."""
    if LOAD == "request":
        return joblib.load(FILE)
    if not loaded:
        loaded.append(joblib.load(FILE))
    return loaded[0]


@app.get("/health")
def health() -> dict[str, str]:
    """It is up."""
    return {"status": "healthy"}


@app.post("/predict")
def predict(asked: Features) -> dict[str, Any]:  # type: ignore[valid-type]  # made from a row
    """One row in, its label and probabilities out."""
    fields = asked.model_dump()  # type: ignore[attr-defined]  # the same
    rows = [fields["features"]] if ROWS["call"] == "array" else pd.DataFrame([fields])
    estimator = model()
    prediction, probability = estimator.predict(rows), estimator.predict_proba(rows)
    return {"prediction": prediction.tolist()[0], "probability": probability[0].tolist(), "model_version": "1.0.0"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, access_log=False, log_level="warning")
