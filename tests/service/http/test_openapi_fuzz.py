"""Requests made of the server's own OpenAPI document, good and bad: no fault, no answer that it does not describe."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import stand_in
import stand_in_server
from modelroll_server.http import stream
from modelroll_server.tensors import Outputs, Table

CHECKS: list[Any] = [status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 60  # of each operation and kind


class Zero(stand_in.Echo):
    """Answers with a label that its manifest names."""

    def predict(self, table: Table) -> Outputs:
        outputs = super().predict(table)
        return Outputs(np.zeros(table.rows, np.int64), outputs.probability)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with stand_in_server.in_a_thread(stand_in.version("1.1.0", Zero())) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_operation_answers_as_it_is_described(address: str, mode: GenerationMode) -> None:
    document = httpx.get(f"{address}/openapi.json").json()
    seen: Counter[tuple[str, int]] = Counter()
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # of a document that is not valid there is none
        if operation.path == stream.PATH:
            continue  # lines are no media type that it writes
        if not operation.body and mode is GenerationMode.NEGATIVE:
            continue  # nothing can be wrong about it

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
        def check(case: schemathesis.Case[Any]) -> None:
            answer = case.call(base_url=address)
            seen[case.path, answer.status_code] += 1
            assert answer.status_code < 500, (case.body, answer.text)
            case.validate_response(answer, checks=CHECKS)

        check()
    assert {path for path, _ in seen} >= {"/predict", "/batch_predict"}
    if mode is GenerationMode.POSITIVE:
        assert seen["/predict", 200] > 0
