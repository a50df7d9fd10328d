"""Bodies of the Open Inference Protocol over HTTP: JSON, and JSON followed by the bytes of tensors.

Source: the protocol's inference API and its binary tensor extension, in which the header
`Inference-Header-Content-Length` says where JSON ends. Knows neither models nor routes.
"""

import re
from typing import Any

import msgspec

from modelroll_server import errors
from modelroll_server.http.asgi import JSON, Header, Heads, Response
from modelroll_server.openinference import answers as outputs
from modelroll_server.openinference import tensors
from modelroll_server.openinference.tensors import Tensor
from modelroll_server.registry.version import Version
from modelroll_server.schema.checks import MAX_INT64
from modelroll_server.schema.json import JsonDecoder, check_values, document
from modelroll_server.tensors import Answers

HEADER_LENGTH = b"inference-header-content-length"
_BINARY: Header = (b"content-type", b"application/octet-stream")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`\Z")


class _InputParameters(msgspec.Struct, gc=False):
    binary_data_size: int | None = None


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: _InputParameters | None = None


class _OutputParameters(msgspec.Struct, gc=False):
    binary_data: bool | None = None
    classification: Any = None
    shared_memory_region: Any = None


class _Requested(msgspec.Struct):
    name: str
    parameters: _OutputParameters | None = None


class _Parameters(msgspec.Struct, gc=False):
    binary_data_output: bool = False
    timeout: int | None = None


class _Document(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Requested] | None = None
    parameters: _Parameters | None = None


class _Output(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: Any
    data: list[Any]


class _BinaryOutput(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: Any
    parameters: dict[str, int]


class _Answer(msgspec.Struct, omit_defaults=True, gc=False):
    model_name: str
    model_version: str
    outputs: list[_Output | _BinaryOutput]
    id: str | None = None


_DECODER = msgspec.json.Decoder(_Document)
_ENCODER = msgspec.json.Encoder()


class InferRequest:
    """One request.

    Attributes:
        tensors: Its inputs.
        selected: Names of the outputs it asks for; None for all.
    """

    __slots__ = ("_binary", "_document", "selected", "tensors")

    def __init__(self, heads: Heads, body: bytes, json: JsonDecoder | None = None) -> None:
        """Read a body.

        Args:
            heads: The request's headers.
            body: Its bytes.
            json: Of the model, which bounds how many values a large body may have; None if it is small.

        Raises:
            errors.RequestError: it is not one.
        """
        split = heads.get(HEADER_LENGTH)
        end = len(body) if split is None else _length(split, len(body))
        head = body if end == len(body) else body[:end]
        most = MAX_INT64
        if json is not None:
            check_values(head, json.most_values)
            most = json.schema.most_values()
        found = self._document = _decoded(head)
        self.tensors = _tensors(found.inputs, memoryview(body)[end:], most)
        self.selected: list[str] | None = None
        everything = found.parameters is not None and found.parameters.binary_data_output
        self._binary: dict[str, bool] | bool = everything
        if found.outputs:
            self.selected = [output.name for output in found.outputs]
            binary = {output.name: _is_binary(output, everything) for output in found.outputs}
            self._binary = binary if any(binary.values()) else False

    @property
    def timeout(self) -> float | None:
        """Seconds that the answer may take; None when the request does not say.

        Raises:
            errors.InvalidField: it is negative.
        """
        parameters = self._document.parameters
        if parameters is None or not parameters.timeout:
            return None
        if parameters.timeout < 0:
            raise errors.InvalidField("timeout is a negative number of microseconds", field="parameters.timeout")
        return parameters.timeout / 1e6

    def response(self, answers: Answers, version: Version) -> Response:
        """The answer, with bytes for the tensors that were asked for so.

        Raises:
            errors.InvalidField: an output is asked for that there is not.
        """
        described: list[_Output | _BinaryOutput] = []
        parts: list[bytes] = []
        binary = self._binary
        if binary is False:
            described.extend(map(_output, outputs.json_tensors(answers, self.selected)))
        else:
            raw = outputs.tensors(answers, self.selected)
            names = [one.name for one in raw if binary is not True and not binary[one.name]]
            listed = {one.name: one for one in outputs.json_tensors(answers, names)} if names else {}
            for one in raw:
                if one.name in listed:
                    described.append(_output(listed[one.name]))
                    continue
                parts.append(tensors.to_bytes(one))
                size = {"binary_data_size": len(parts[-1])}
                described.append(_BinaryOutput(one.name, one.datatype, one.shape, size))
        head = _ENCODER.encode(_Answer(version.model, version.number, described, self._document.id))
        if not parts:
            return Response(200, head, [JSON])
        length = (HEADER_LENGTH, b"%d" % len(head))
        return Response(200, b"".join((head, *parts)), [_BINARY, length])

    def lost(self, answers: Answers) -> int:
        """How many numbers of the answer are null, being not finite."""
        return answers.lost() if self._binary is False else 0


def _output(tensor: Tensor) -> _Output:
    assert isinstance(tensor.values, list)
    return _Output(tensor.name, tensor.datatype, tensor.shape, tensor.values)


def _length(header: bytes, size: int) -> int:
    if not (header.isdigit() and len(header) < 12 and int(header) <= size):
        raise errors.InvalidRequest("Inference-Header-Content-Length is not a number of bytes that the body has")
    return int(header)


def _decoded(data: bytes) -> _Document:
    try:
        return _DECODER.decode(data)
    except msgspec.ValidationError as error:
        message = str(error)
        place = _PLACE.search(message)
        if place is None or not place[1]:
            raise errors.InvalidRequest(f"the body is no inference request: {message}") from error
        sentence = f"{place[1]}: {message[: place.start()]}"
        raise errors.InvalidField(sentence, field=place[1]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError) as error:
        document(data, len(data))  # says what is wrong with it
        raise errors.InvalidJson("the body is not an inference request") from error


def _tensors(inputs: list[_Input], binary: memoryview, most: int) -> list[Tensor]:
    found = []
    at = 0
    for one in inputs:
        size = None if one.parameters is None else one.parameters.binary_data_size
        if size is None:
            if one.data is None:
                raise tensors.wrong(one.name, "has no data")
            found.append(tensors.from_json(one.name, one.datatype, one.shape, one.data, most))
            continue
        if one.data is not None or size < 0 or at + size > len(binary):
            raise tensors.wrong(one.name, f"has {size} bytes by its binary_data_size, which are not there")
        found.append(tensors.from_bytes(one.name, one.datatype, one.shape, binary[at : at + size], most))
        at += size
    if at != len(binary):
        raise errors.InvalidRequest(f"{len(binary) - at} bytes follow the JSON that belong to no tensor")
    return found


def _is_binary(output: _Requested, default: bool) -> bool:
    parameters = output.parameters
    if parameters is None:
        return default
    if parameters.classification is not None or parameters.shared_memory_region is not None:
        name = errors.shortened(output.name)
        raise errors.InvalidField(f"{name}: neither classification nor shared memory is offered here", field=name)
    return default if parameters.binary_data is None else parameters.binary_data
