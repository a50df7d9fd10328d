"""Ray Serve with batching: one replica behind its HTTP proxy.

python serve_ray.py MODEL.joblib PORT
"""

import sys
from typing import Any

import joblib
import numpy as np
import pandas as pd
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=512, ray_actor_options={"num_cpus": 0})
class Predictor:
    """Labels of rows: objects of named features, or `features` with a list."""

    def __init__(self, file: str) -> None:
        self.estimator = joblib.load(file)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)
    async def predict(self, rows: list[Any]) -> list[Any]:
        table = pd.DataFrame(rows) if isinstance(rows[0], dict) else np.asarray(rows)
        labels: list[Any] = self.estimator.predict(table).tolist()
        return labels

    async def __call__(self, request: Request) -> dict[str, Any]:
        row = await request.json()
        return {"prediction": await self.predict(row.get("features", row))}


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    deployment: Any = Predictor  # what the decorator made of the class
    serve.run(deployment.bind(sys.argv[1]), route_prefix="/predict", blocking=True)
