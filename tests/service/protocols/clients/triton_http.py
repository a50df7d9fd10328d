"""Asks rows through tritonclient over HTTP: triton_http.py ADDRESS ROWS binary|json, prints the answers as JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as triton

address, rows_file, form = sys.argv[1:]
binary = form == "binary"
rows = json.loads(Path(rows_file).read_text())
client = triton.InferenceServerClient(address)
assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready("churn")
assert client.is_model_ready("churn", "1.2.0")
assert not client.is_model_ready("churn", "9.9.9")
assert client.get_server_metadata()["name"] == "modelroll"

DTYPES = {"BYTES": np.object_, "INT64": np.int64, "FP64": np.float64}


def tensors(some: list[dict[str, object]]) -> list[triton.InferInput]:
    """One tensor a column, as the metadata says."""
    found = []
    for column in client.get_model_metadata("churn")["inputs"]:
        values = [[np.nan if row[column["name"]] is None else row[column["name"]]] for row in some]
        tensor = triton.InferInput(column["name"], [len(some), 1], column["datatype"])
        tensor.set_data_from_numpy(np.array(values, DTYPES[column["datatype"]]), binary_data=binary)
        found.append(tensor)
    return found


outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("prediction", "probability")]
answers = []
for start in range(0, len(rows), 100):
    result = client.infer("churn", tensors(rows[start : start + 100]), outputs=outputs, request_id=f"r{start}")
    assert result.get_response()["id"] == f"r{start}"
    labels = result.as_numpy("prediction")
    for label, probability in zip(labels, result.as_numpy("probability"), strict=True):
        answers.append([label.decode() if isinstance(label, bytes) else str(label), probability.tolist()])
try:
    client.infer("churn", tensors(rows[:1])[:2])
except triton.InferenceServerException as error:
    assert "missing" in str(error.message()), error
else:
    raise AssertionError("half of the columns were answered")
print(json.dumps(answers))
