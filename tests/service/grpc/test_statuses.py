"""Every error has a status code, and every code is counted."""

from modelroll_server import errors
from modelroll_server.grpc import statuses


def every(kind: type[errors.RequestError]) -> set[type[errors.RequestError]]:
    return {kind}.union(*(every(child) for child in kind.__subclasses__()))


def test_every_error_has_a_status() -> None:
    assert every(errors.RequestError) == set(statuses.STATUS)


def test_every_status_is_counted() -> None:
    assert set(statuses.STATUS.values()) <= set(statuses.COUNTED)
