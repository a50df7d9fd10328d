"""KServe's model server with a predictor for scikit-learn, by KServe's own functions for what goes in and out.

python serve_kserve.py MODEL.joblib PORT
"""

import sys
from typing import Any

import joblib
from kserve import Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response


class Predictor(Model):
    """Labels of whatever was asked, V1 or V2."""

    def __init__(self, file: str) -> None:
        super().__init__("model")
        self.estimator = joblib.load(file)
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        rows = get_predict_input(payload)
        return get_predict_response(payload, self.estimator.predict(rows), self.name)


if __name__ == "__main__":
    server = ModelServer(
        http_port=int(sys.argv[2]),
        workers=1,
        enable_grpc=False,
        enable_docs_url=False,
        enable_latency_logging=False,
    )
    server.start([Predictor(sys.argv[1])])
