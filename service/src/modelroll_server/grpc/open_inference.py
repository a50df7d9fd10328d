"""`inference.GRPCInferenceService`: the Open Inference Protocol over gRPC."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelroll_server import errors
from modelroll_server.grpc import open_inference_pb2 as pb
from modelroll_server.grpc.calls import Call, Calls
from modelroll_server.openinference import answers as outputs
from modelroll_server.openinference import metadata, requests, tensors
from modelroll_server.openinference.tensors import Tensor
from modelroll_server.registry.version import Version
from modelroll_server.tensors import Answers

SERVICE = "inference.GRPCInferenceService"

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class OpenInferenceService:
    """The methods of the service."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def handlers(self) -> Mapping[str, Any]:
        """Each method's handler, by its name."""
        unary = self._calls.unary
        return {
            "ServerLive": unary(pb.ServerLiveRequest, self._server_live),
            "ServerReady": unary(pb.ServerReadyRequest, self._server_ready),
            "ModelReady": unary(pb.ModelReadyRequest, self._model_ready, f"{SERVICE}/ModelReady"),
            "ServerMetadata": unary(pb.ServerMetadataRequest, self._server_metadata, f"{SERVICE}/ServerMetadata"),
            "ModelMetadata": unary(pb.ModelMetadataRequest, self._model_metadata, f"{SERVICE}/ModelMetadata"),
            "ModelInfer": unary(pb.ModelInferRequest, self._calls.counted(self._model_infer), f"{SERVICE}/ModelInfer"),
        }

    async def _server_live(self, _: pb.ServerLiveRequest, __: Call) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, _: pb.ServerReadyRequest, __: Call) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._calls.registry.is_ready)

    async def _model_ready(self, request: pb.ModelReadyRequest, call: Call) -> pb.ModelReadyResponse:
        live = call.version = self._calls.registry.live
        if live is not None:
            metadata.check_names(live, request.name, request.version or None)
        return pb.ModelReadyResponse(ready=live is not None)

    async def _server_metadata(self, _: pb.ServerMetadataRequest, __: Call) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(
            name=metadata.SERVER, version=metadata.SERVER_VERSION, extensions=metadata.EXTENSIONS
        )

    async def _model_metadata(self, request: pb.ModelMetadataRequest, call: Call) -> pb.ModelMetadataResponse:
        version = await self._calls.pin(call)
        metadata.check_names(version, request.name, request.version or None)
        described = metadata.model(version)
        return pb.ModelMetadataResponse(
            name=described["name"],
            versions=described["versions"],
            platform=described["platform"],
            inputs=_described(described["inputs"]),
            outputs=_described(described["outputs"]),
        )

    async def _model_infer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        version = await self._calls.pin(call)
        metadata.check_names(version, request.model_name, request.model_version or None)
        decoder = requests.decoder(version)
        rows = await call.read(lambda: decoder.rows(_tensors(request, version.schema.most_values())))
        answers = await self._calls.predict(version, rows, call)
        return _answer(request, answers, call.answered(answers, version))


def _described(found: Sequence[metadata.Described]) -> list[pb.ModelMetadataResponse.TensorMetadata]:
    return [
        pb.ModelMetadataResponse.TensorMetadata(name=one.name, datatype=one.datatype, shape=one.shape) for one in found
    ]


def _tensors(request: pb.ModelInferRequest, most: int) -> list[Tensor]:
    """The tensors of a request.

    Raises:
        errors.InvalidField: one does not fit its datatype and shape.
        errors.PayloadTooLarge: one has more than `most` elements.
    """
    raw = request.raw_input_contents
    if not raw:
        return [_tensor(one, most) for one in request.inputs]
    if len(raw) != len(request.inputs):
        sentence = f"there are {len(raw)} raw contents for {len(request.inputs)} inputs"
        raise errors.InvalidField(sentence, field="raw_input_contents")
    found = []
    for one, data in zip(request.inputs, raw, strict=True):
        if one.HasField("contents"):
            raise tensors.wrong(one.name, "has contents, and raw ones too")
        found.append(tensors.from_bytes(one.name, one.datatype, tuple(one.shape), memoryview(data), most))
    return found


def _tensor(one: pb.ModelInferRequest.InferInputTensor, most: int) -> Tensor:
    contents = _CONTENTS.get(one.datatype)
    if contents is None:
        raise tensors.wrong(one.name, f"has the datatype {one.datatype[:20]}, which is not read from contents")
    return tensors.from_values(one.name, one.datatype, tuple(one.shape), getattr(one.contents, contents), most)


def _answer(request: pb.ModelInferRequest, answers: Answers, version: Version) -> pb.ModelInferResponse:
    """The answer: raw if the request was."""
    selected = [output.name for output in request.outputs] or None
    is_raw = bool(request.raw_input_contents)
    response = pb.ModelInferResponse(model_name=version.model, model_version=version.number, id=request.id)
    for one in outputs.tensors(answers, selected):
        output = response.outputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
        if is_raw:
            response.raw_output_contents.append(tensors.to_bytes(one))
            continue
        values: Any = one.values if isinstance(one.values, list) else one.values.ravel().tolist()
        if one.datatype == "BYTES":
            values = ["" if value is None else value for value in values]
            values = [value.encode() for value in values]
        getattr(output.contents, _CONTENTS[one.datatype]).extend(values)
    return response
