"""LitServe with batching.

python serve_litserve.py MODEL.joblib PORT
"""

import sys
from typing import Any

import joblib
import litserve
import numpy as np
import pandas as pd


class Predictor(litserve.LitAPI):
    """Labels of rows: objects of named features, or `features` with a list."""

    def setup(self, device: Any) -> None:
        self.estimator = joblib.load(sys.argv[1])

    def decode_request(self, request: dict[str, Any]) -> Any:
        return request.get("features", request)

    def batch(self, inputs: list[Any]) -> Any:
        return pd.DataFrame(inputs) if isinstance(inputs[0], dict) else np.asarray(inputs)

    def predict(self, x: Any) -> Any:
        return self.estimator.predict(x).tolist()

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any) -> Any:
        return {"prediction": output}


if __name__ == "__main__":
    server = litserve.LitServer(
        Predictor(max_batch_size=64, batch_timeout=0.002), accelerator="cpu", workers_per_device=1, timeout=60
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False, log_level="warning",
        access_log=False,
    )  # fmt: skip
