"""Subjects that speak gRPC: rows as messages, unary or as a stream, and the label within an answer."""

import abc
import base64
from pathlib import Path
from typing import Any, ClassVar

import grpc
from google.protobuf import json_format, message

from benchmarks import ghz, models, places, process, results
from benchmarks.subjects import base, v2
from modelroll_server.grpc import open_inference_pb2, prediction_pb2

PROTOS = places.ROOT / "service" / "src" / "modelroll_server" / "grpc"
STREAMED = 200
"""Messages of one stream: many, so that what a stream costs to open is not what is measured."""


class GrpcSubject(base.Subject):
    """One that speaks gRPC: it says what a row is as a message, and where the label stands in the answer."""

    proto: ClassVar[Path]
    """Describes the messages to the load generator."""
    service: ClassVar[str]
    """`package.Service`."""
    method: ClassVar[str]
    stream: ClassVar[bool] = False
    asked: ClassVar[type[message.Message]]
    answered: ClassVar[type[message.Message]]

    def absent(self, model: models.Model) -> str | None:
        """See Subject."""
        return super().absent(model) or (None if ghz.tool().exists() else ghz.HOW_TO)

    def port(self, ports: process.Ports) -> int:
        """See Subject."""
        return ports.grpc

    @abc.abstractmethod
    def message(self, model: models.Model, row: models.Row) -> dict[str, Any]:
        """The message for one row, as protobuf's JSON."""

    @abc.abstractmethod
    def label(self, answer: Any) -> Any:
        """The label within an answer."""

    def ask(self, port: int, model: models.Model, number: int) -> Any:
        """See Subject."""
        asked = json_format.ParseDict(self.message(model, model.rows[number]), self.asked()).SerializeToString()
        path = f"/{self.service}/{self.method}"
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                if self.stream:
                    answer = next(channel.stream_stream(path)(iter([asked]), timeout=60, wait_for_ready=True))
                else:
                    answer = channel.unary_unary(path)(asked, timeout=60, wait_for_ready=True)
            except grpc.RpcError as error:
                raise base.WrongAnswer(f"row {number}: {error}") from error
        return self.label(self.answered.FromString(answer))

    def load(self, port: int, model: models.Model, connections: int, seconds: float, scratch: Path) -> results.Load:
        """See Subject."""
        messages = [self.message(model, row) for row in model.rows]
        if self.stream:
            messages *= STREAMED // len(messages)
        call = ghz.Call(self.proto, f"{self.service}/{self.method}", messages, self.stream)
        return ghz.run(port, call, connections, seconds, scratch)


class Prediction(GrpcSubject):
    """PredictionService: numbers in order, or mixed columns by name."""

    proto = PROTOS / "prediction.proto"
    service = "modelroll.v1.PredictionService"
    method = "Predict"
    asked = prediction_pb2.PredictRequest
    answered = prediction_pb2.PredictResponse

    def message(self, model: models.Model, row: models.Row) -> dict[str, Any]:
        """By name only where it must be."""
        if model.texts:
            return {"named": {name: _value(value) for name, value in row.items()}}
        return {"values": list(row.values())}

    def label(self, answer: Any) -> Any:
        """The label itself, whatever its type."""
        kind = answer.label.WhichOneof("kind")
        return getattr(answer.label, kind) if kind else None


def _value(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"text": value}
    return {"integer": value} if isinstance(value, int) else {"number": value}


class OpenInference(GrpcSubject):
    """GRPCInferenceService: one tensor of numbers, or a tensor a column."""

    proto = PROTOS / "open_inference.proto"
    service = "inference.GRPCInferenceService"
    method = "ModelInfer"
    asked = open_inference_pb2.ModelInferRequest
    answered = open_inference_pb2.ModelInferResponse

    def message(self, model: models.Model, row: models.Row) -> dict[str, Any]:
        """As over HTTP, with the values where the message has them."""
        found = v2.tensor_a_column(model, row) if model.texts else v2.one_tensor(model, row)
        return {"model_name": model.name, "inputs": [_tensor(tensor) for tensor in found["inputs"]]}

    def label(self, answer: Any) -> Any:
        """The first value of the first output."""
        contents = answer.outputs[0].contents
        texts = contents.bytes_contents
        return texts[0].decode() if texts else (contents.int64_contents or contents.fp64_contents)[0]


def _tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    datatype, data = tensor["datatype"], tensor["data"]
    if datatype == "BYTES":
        contents = {"bytes_contents": [base64.b64encode(text.encode()).decode() for text in data]}
    else:
        contents = {"int64_contents" if datatype == "INT64" else "fp64_contents": data}
    return {"name": tensor["name"], "datatype": datatype, "shape": tensor["shape"], "contents": contents}
