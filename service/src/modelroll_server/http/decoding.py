"""Bodies of `/predict` and `/batch_predict` on the way in: JSON to the rows that a schema checks."""

from typing import Any

import msgspec

from modelroll_server import errors
from modelroll_server.inference import MAX_ROWS
from modelroll_server.schema import Schema
from modelroll_server.tensors import Table

_DECODER = msgspec.json.Decoder(Any)


def document(body: bytes) -> Any:
    """The JSON value of a body.

    Raises:
        errors.InvalidJson: it is none, or one that no schema could take (nested without end, integers without end).
    """
    if not body.strip():
        raise errors.InvalidJson("the body is empty; a JSON object was expected")
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.InvalidJson(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise errors.InvalidJson("the body is nested too deeply") from error
    except (OverflowError, ValueError) as error:
        raise errors.InvalidJson("the body has a number that is too long") from error


def row(value: Any, schema: Schema) -> Table:
    """One row: an object of named values, or under `features` (an array, also) unless an input has that name."""
    if not isinstance(value, dict):
        raise errors.InvalidRequest('the body is not an object such as {"name": value} or {"features": …}')
    prefix = ""
    if set(value) == {"features"} and "features" not in schema.names:
        value, prefix = value["features"], "features"
    return schema.table([schema.decode_row(value, prefix)])


def rows(value: Any, schema: Schema) -> Table:
    """Many rows: `{"instances": […]}`, or the bare list."""
    if isinstance(value, dict):
        extra = next((name for name in value if name != "instances"), None)
        if extra is not None:
            raise errors.InvalidField(f"{extra} is not a field of this request; instances is", field=extra)
        if "instances" not in value:
            raise errors.InvalidField("instances is missing", field="instances")
        value = value["instances"]
    if not isinstance(value, list):
        raise errors.InvalidField("instances is not a list of objects or arrays", field="instances")
    if len(value) > MAX_ROWS:
        raise errors.PayloadTooLarge(f"{len(value)} rows; one request may have {MAX_ROWS}")
    return schema.decode_rows(value, "instances[{}]".format)
