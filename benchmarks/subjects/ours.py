"""modelroll, as it is run: a packed artifact, `modelroll serve`, every default."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from benchmarks import models, process
from benchmarks.subjects import base, rpc, v2


def serve(
    subject: base.Subject, artifact: Path | None, ports: process.Ports, *flags: str, **settings: str
) -> process.Command:
    """`modelroll serve` with every default but the ports, and what the subject is about."""
    words = [subject.python, "-m", "modelroll_server", "serve", str(artifact), "--host", "127.0.0.1"]
    words += ["--port", str(ports.main), "--management-port", str(ports.management), "--grpc-port", str(ports.grpc)]
    return process.Command([*words, *flags], ports.management, "/readyz", subject.environment(**settings))


NOT_COMPILED = "modelroll pack made no compiled model of it"


class Modelroll(base.HttpSubject):
    """The artifact that scikit-learn computes, over /predict with named features."""

    name = "modelroll uncompiled"
    says = "scikit-learn, rows gathered into batches; POST /predict with named features"
    flags: tuple[str, ...] = ()
    variables: ClassVar[dict[str, str]] = {}

    def artifact(self, model: models.Model) -> Path | None:
        """The artifact that is served."""
        return model.uncompiled

    def absent(self, model: models.Model) -> str | None:
        """See Subject."""
        return None if self.artifact(model) else NOT_COMPILED

    def command(self, model: models.Model, ports: process.Ports, _scratch: Path) -> process.Command:
        """See Subject."""
        command = serve(self, self.artifact(model), ports, *self.flags)
        return dataclasses.replace(command, environment={**command.environment, **self.variables})

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """Named features."""
        return base.Request("/predict", base.named_or_listed(model, row))

    def label(self, answer: Any) -> Any:
        """The tutorials' word."""
        return answer["prediction"]


class Compiled(Modelroll):
    """The artifact that ONNX Runtime computes."""

    name = "modelroll compiled"
    says = "ONNX Runtime, the model checked equal to scikit-learn; POST /predict with named features"

    def artifact(self, model: models.Model) -> Path | None:
        """The artifact that is served."""
        return model.compiled


class Cached(Modelroll):
    """Every answer from this process's cache: the rows are few, and were all asked before."""

    name = "modelroll cached"
    says = "scikit-learn behind the cache in the process (CACHE_SIZE=64Mi), all rows in it; POST /predict"
    variables: ClassVar[dict[str, str]] = {"CACHE_SIZE": "64Mi", "CACHE_TTL": "3600"}


class Lazy(Modelroll):
    """Ready before it has read the model."""

    name = "modelroll uncompiled, lazy"
    says = "ready at once, loads for the first request"
    flags = ("--load", "lazy")


class Following(Modelroll):
    """A server that follows the files of a target directory, as a pod does: see `reloads`."""

    name = "modelroll, reloading"
    says = "compiled where there is a compiled model; two versions of it under one mount, `move` says which is live"
    versions = (models.VERSION, "1.0.1")

    def artifact(self, model: models.Model) -> Path | None:
        """The artifact that is served."""
        return model.compiled or model.uncompiled

    def command(self, model: models.Model, ports: process.Ports, scratch: Path) -> process.Command:
        """Lay out the mount under `scratch`: <model>/<version>, targets."""
        artifact = self.artifact(model)
        assert artifact is not None
        for version in self.versions:
            place = scratch / model.name / version
            shutil.copytree(artifact, place)
            manifest = json.loads((place / "modelroll.json").read_text())
            (place / "modelroll.json").write_text(json.dumps({**manifest, "version": version}))
        (scratch / "targets").mkdir()
        environment = self.environment(
            MODEL_ROOT=str(scratch),
            MODEL_PATH=f"{model.name}/{self.versions[0]}",
            TARGET_DIR=str(scratch / "targets"),
            KEEP_PREVIOUS="false",  # each reload is one
            ARTIFACT_POLICY="any",
            HOST="127.0.0.1",
            PORT=str(ports.main),
            MANAGEMENT_PORT=str(ports.management),
            GRPC_PORT=str(ports.grpc),
        )
        return process.Command(
            [self.python, "-m", "modelroll_server", "serve"], ports.management, "/readyz", environment
        )


class KServeV1(Compiled):
    """The protocol of KServe V1 and TensorFlow Serving."""

    name = "modelroll compiled, V1"
    says = "KServe's own protocol: instances in, predictions out"

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """An object of named features, or a list."""
        instance = row if model.named else list(row.values())
        return base.Request(f"/v1/models/{model.name}:predict", msgspec.json.encode({"instances": [instance]}))

    def label(self, answer: Any) -> Any:
        """The first prediction."""
        return answer["predictions"][0]


class OpenInferenceJson(Compiled):
    """The Open Inference Protocol over HTTP."""

    name = "modelroll compiled, V2 JSON"
    says = "the Open Inference Protocol over HTTP: one tensor of numbers, or a tensor a column"

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """See v2."""
        return base.Request(f"/v2/models/{model.name}/infer", v2.body(model, row))

    def label(self, answer: Any) -> Any:
        """See v2."""
        return v2.label(answer)


class OpenInferenceBinary(OpenInferenceJson):
    """The same with its binary tensor extension."""

    name = "modelroll compiled, V2 binary"
    says = "the same, the tensor of numbers as raw bytes behind the JSON"

    def absent(self, model: models.Model) -> str | None:
        """See Subject."""
        return "measured with one tensor of numbers only" if model.texts else super().absent(model)

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """See v2."""
        body, head = v2.binary(row)
        headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(head)}
        return base.Request(f"/v2/models/{model.name}/infer", body, headers)


class GrpcPrediction(rpc.Prediction):
    """PredictionService, unary."""

    name = "modelroll gRPC"
    says = "compiled; PredictionService.Predict, a unary call"

    def absent(self, model: models.Model) -> str | None:
        """See Subject."""
        return super().absent(model) or (None if model.compiled else NOT_COMPILED)

    def command(self, model: models.Model, ports: process.Ports, _scratch: Path) -> process.Command:
        """See Subject."""
        return serve(self, model.compiled, ports)


class GrpcStream(GrpcPrediction):
    """PredictionService, a stream in both directions."""

    name = "modelroll gRPC, stream"
    says = f"compiled; PredictionService.PredictStream, {rpc.STREAMED} messages a stream"
    method = "PredictStream"
    stream = True


class GrpcOpenInference(rpc.OpenInference):
    """The Open Inference Protocol over gRPC."""

    name = "modelroll gRPC V2"
    says = "compiled; GRPCInferenceService.ModelInfer: one tensor of numbers, or a tensor a column"

    def absent(self, model: models.Model) -> str | None:
        """See Subject."""
        return super().absent(model) or (None if model.compiled else NOT_COMPILED)

    def command(self, model: models.Model, ports: process.Ports, _scratch: Path) -> process.Command:
        """See Subject."""
        return serve(self, model.compiled, ports)
