"""The peers: each from PyPI in an environment of its own, set up as its documentation says for speed on one core.

They answer with the label alone, as is usual with them: less work than the tutorial server and modelroll do.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from benchmarks import models, process
from benchmarks.subjects import base, v2


class Peer(base.HttpSubject):
    """A server that is started as `python script MODEL PORT`."""

    script: str
    ready_path: str
    variables: ClassVar[dict[str, str]] = {}

    def command(self, model: models.Model, ports: process.Ports, scratch: Path) -> process.Command:
        """See Subject."""
        words = [self.python, str(base.SERVERS / self.script), str(model.file), str(ports.main)]
        return process.Command(words, ports.main, self.ready_path, self.environment(**self.variables))

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """Named features."""
        return base.Request("/predict", base.named_or_listed(model, row))

    def label(self, answer: Any) -> Any:
        """As in the tutorials."""
        return answer["prediction"]


class KServeV1(Peer):
    """KServe, its own protocol."""

    name = "KServe V1"
    says = "its model server and its functions for scikit-learn; rows of numbers as lists, mixed rows as objects"
    peer = "kserve"
    script = "serve_kserve.py"
    ready_path = "/v2/health/ready"

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """Its DataFrames are made of objects of lists."""
        instance = {name: [value] for name, value in row.items()} if model.texts else list(row.values())
        return base.Request("/v1/models/model:predict", msgspec.json.encode({"instances": [instance]}))

    def label(self, answer: Any) -> Any:
        """The first prediction."""
        return answer["predictions"][0]


class KServeV2(KServeV1):
    """KServe, the Open Inference Protocol."""

    name = "KServe V2"
    says = "the same over the Open Inference Protocol: one tensor of numbers, or a tensor a column"

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """See v2."""
        return base.Request("/v2/models/model/infer", v2.body(model, row))

    def label(self, answer: Any) -> Any:
        """See v2."""
        return v2.label(answer)


class MLServer(KServeV2):
    """MLServer with its runtime for scikit-learn."""

    name = "MLServer V2"
    says = "its runtime for scikit-learn, one worker in the server's own process, no adaptive batching, its default"
    peer = "mlserver"
    settings: ClassVar[dict[str, Any]] = {}

    def command(self, model: models.Model, ports: process.Ports, scratch: Path) -> process.Command:
        """It reads two files."""
        server = {
            "http_port": ports.main,
            "grpc_port": ports.management,
            "host": "127.0.0.1",
            "metrics_endpoint": None,
            "parallel_workers": 0,
            "debug": False,
        }
        served = {
            "name": "model",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": str(model.file)},
            **self.settings,
        }
        (scratch / "settings.json").write_text(json.dumps(server))
        (scratch / "model-settings.json").write_text(json.dumps(served))
        words = [str(Path(self.python).with_name("mlserver")), "start", str(scratch)]
        return process.Command(words, ports.main, "/v2/health/ready", self.environment())


class MLServerBatching(MLServer):
    """MLServer with adaptive batching."""

    name = "MLServer V2, batching"
    says = "the same with adaptive batching: up to 64 rows within 5 ms"
    tuned = True
    settings: ClassVar[dict[str, Any]] = {"max_batch_size": 64, "max_batch_time": 0.005}


class BentoML(Peer):
    """BentoML with adaptive batching."""

    name = "BentoML"
    says = "one worker, a batchable API of up to 64 rows, no access log"
    peer = "bentoml"

    def command(self, model: models.Model, ports: process.Ports, scratch: Path) -> process.Command:
        """By its command."""
        words = [str(Path(self.python).with_name("bentoml")), "serve", "serve_bentoml:Predictor"]
        words += ["--working-dir", str(base.SERVERS), "--host", "127.0.0.1", "--port", str(ports.main)]
        environment = self.environment(MODEL=str(model.file), BENTOML_HOME=str(scratch), BENTOML_DO_NOT_TRACK="True")
        return process.Command(words, ports.main, "/readyz", environment)

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """A batch of one."""
        one = row if model.named else list(row.values())
        return base.Request("/predict", msgspec.json.encode({"rows": [one]}))

    def label(self, answer: Any) -> Any:
        """A batch of one."""
        return answer[0]


class LitServe(Peer):
    """LitServe with batching."""

    name = "LitServe"
    says = "one API server, one worker, batches of up to 64 within 2 ms"
    peer = "litserve"
    script = "serve_litserve.py"
    ready_path = "/health"


class MLflow(Peer):
    """`mlflow models serve`."""

    name = "MLflow"
    says = "mlflow models serve with one worker; rows as dataframe_split, or inputs without names"
    peer = "mlflow"

    def command(self, model: models.Model, ports: process.Ports, scratch: Path) -> process.Command:
        """It wants a directory of its own."""
        words = [self.python, str(base.SERVERS / "serve_mlflow.py"), str(model.file), str(scratch / "saved")]
        environment = self.environment(MLFLOW_DISABLE_TELEMETRY="true")
        return process.Command([*words, str(ports.main)], ports.main, "/ping", environment)

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """See `says`."""
        values = [list(row.values())]
        document = {"dataframe_split": {"columns": list(row), "data": values}} if model.named else {"inputs": values}
        return base.Request("/invocations", msgspec.json.encode(document))

    def label(self, answer: Any) -> Any:
        """The first prediction."""
        return answer["predictions"][0]


class RayServe(Peer):
    """Ray Serve with batching."""

    name = "Ray Serve"
    says = "one replica behind its HTTP proxy, batches of up to 64 within 2 ms"
    peer = "ray"
    script = "serve_ray.py"
    ready_path = "/-/healthz"
    # Below `uv run`, as in `make bench`, it would start its workers by uv in the project's environment.
    variables: ClassVar[dict[str, str]] = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
