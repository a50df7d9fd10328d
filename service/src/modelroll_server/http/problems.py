"""Errors as HTTP: the one table from error classes to statuses, and the one body.

A class without a row is a fault of this module, and a test says so.
"""

from typing import Any

import msgspec

from modelroll_server import errors
from modelroll_server.http.asgi import JSON, Response

STATUS: dict[type[errors.RequestError], int] = {
    errors.RequestError: 400,
    errors.InvalidRequest: 400,
    errors.InvalidJson: 400,
    errors.InvalidField: 400,
    errors.InvalidFields: 400,
    errors.Unauthorized: 401,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.PayloadTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.Overloaded: 429,
    errors.InferenceFailed: 500,
    errors.NotReady: 503,
    errors.DeadlineExceeded: 504,
}

INTERNAL = "internal"  # the code of what is the server's own fault
UNKNOWN = "the server failed on this request; its log has the reason under the request id"


def response(error: errors.RequestError, request_id: str) -> Response:
    """The answer to a request that was refused."""
    body: dict[str, Any] = {"error": error.message, "code": error.code, "message": error.message}
    if error.field is not None:
        body["field"] = error.field
    if isinstance(error, errors.InvalidFields):
        body["errors"] = [{"field": one.field, "code": one.code, "message": one.message} for one in error.errors]
    body["request_id"] = request_id
    headers = [JSON]
    if isinstance(error, errors.MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    if isinstance(error, errors.Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, errors.Overloaded):
        headers.append((b"retry-after", b"%d" % error.retry_after))
    return Response(STATUS[type(error)], msgspec.json.encode(body), headers)


def unknown(request_id: str) -> Response:
    """The answer when the server itself is at fault: nothing of the exception leaves the process."""
    body = {"error": UNKNOWN, "code": INTERNAL, "message": UNKNOWN, "request_id": request_id}
    return Response(500, msgspec.json.encode(body), [JSON])
