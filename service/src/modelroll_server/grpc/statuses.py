"""Errors as gRPC: the one table from error classes to status codes.

A class without a row is a fault of this module, and a test says so.
"""

from grpc import StatusCode

from modelroll_server import errors

STATUS: dict[type[errors.RequestError], StatusCode] = {
    errors.RequestError: StatusCode.INVALID_ARGUMENT,
    errors.InvalidRequest: StatusCode.INVALID_ARGUMENT,
    errors.InvalidJson: StatusCode.INVALID_ARGUMENT,
    errors.InvalidField: StatusCode.INVALID_ARGUMENT,
    errors.InvalidFields: StatusCode.INVALID_ARGUMENT,
    errors.Unauthorized: StatusCode.UNAUTHENTICATED,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.MethodNotAllowed: StatusCode.UNIMPLEMENTED,
    errors.PayloadTooLarge: StatusCode.OUT_OF_RANGE,
    errors.UnsupportedMediaType: StatusCode.INVALID_ARGUMENT,
    errors.Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    errors.InferenceFailed: StatusCode.INTERNAL,
    errors.NotReady: StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
}

# Metrics count every transport in HTTP's numbers, so that one alert is of all of them.
COUNTED: dict[StatusCode, int] = {
    StatusCode.OK: 200,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.NOT_FOUND: 404,
    StatusCode.UNIMPLEMENTED: 405,
    StatusCode.OUT_OF_RANGE: 413,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}

UNKNOWN = "the server failed on this request; its log has the reason under the request id"
