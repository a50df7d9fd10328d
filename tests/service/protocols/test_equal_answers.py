"""The same 500 real rows over every protocol, by the ecosystem's own clients and by ours: the same answers."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

import server_process
from modelroll_server.grpc import prediction_pb2 as pb

Answered = tuple[list[dict[str, Any]], list[tuple[str, list[float]]]]
CLIENTS = Path(__file__).with_name("clients")
ROOT = Path(__file__).parents[3]
TOLERANCE = 1e-6


def check(found: list[Any], expected: list[tuple[str, list[float]]]) -> None:
    """Equal labels, and probabilities within the tolerance where there are any."""
    assert [label for label, _ in found] == [label for label, _ in expected]
    for (_, probability), (_, right) in zip(found, expected, strict=True):
        if probability is not None:
            assert probability == pytest.approx(right, abs=TOLERANCE)


def run(python: str, script: str, *arguments: str) -> list[Any]:
    said = subprocess.run(
        [python, str(CLIENTS / script), *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert said.returncode == 0, said.stderr[-3000:]
    answers: list[Any] = json.loads(said.stdout.splitlines()[-1])
    return answers


@pytest.mark.parametrize("form", ["binary", "json"])
def test_tritonclient_over_http(
    churn: server_process.ServerProcess, answered: Answered, rows_file: Path, form: str
) -> None:
    if form == "json":  # it writes missing values as NaN, which is not JSON
        rows, expected = zip(
            *[pair for pair in zip(*answered, strict=True) if None not in pair[0].values()], strict=True
        )
        rows_file = rows_file.with_name("complete.json")
        rows_file.write_text(json.dumps(rows))
    else:
        expected = tuple(answered[1])
    found = run(sys.executable, "triton_http.py", churn.url.removeprefix("http://"), str(rows_file), form)
    check(found, list(expected))


def test_tritonclient_over_grpc(grpc_address: str, answered: Answered, rows_file: Path) -> None:
    check(run(sys.executable, "triton_grpc.py", grpc_address, str(rows_file)), answered[1])


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_kserve_over_http(
    churn: server_process.ServerProcess, kserve_python: str, answered: Answered, rows_file: Path, protocol: str
) -> None:
    check(run(kserve_python, "kserve_clients.py", churn.url, str(rows_file), protocol), answered[1])


def test_kserve_over_grpc(grpc_address: str, kserve_python: str, answered: Answered, rows_file: Path) -> None:
    check(run(kserve_python, "kserve_clients.py", grpc_address, str(rows_file), "grpc"), answered[1])


def test_the_endpoints_of_tutorials(churn: server_process.ServerProcess, answered: Answered) -> None:
    rows, expected = answered
    with httpx.Client(base_url=churn.url, timeout=60) as client:
        one_by_one = [client.post("/predict", json=row).json() for row in rows]
        check([(one["prediction"], one["probability"]) for one in one_by_one], expected)
        together = client.post("/batch_predict", json=rows).json()
        check(list(zip(together["predictions"], together["probabilities"], strict=True)), expected)
        body = "\n".join(json.dumps(row) for row in rows)
        streamed = client.post("/predict/stream", content=body.encode()).text.splitlines()
        lines = [json.loads(line) for line in streamed]
        check([(one["prediction"], one["probability"]) for one in lines], expected)


def _request(row: dict[str, Any]) -> pb.PredictRequest:
    request = pb.PredictRequest()
    for name, value in row.items():
        kind = {str: "text", int: "integer", float: "number"}.get(type(value))
        if kind is None:
            request.named[name].SetInParent()
        else:
            setattr(request.named[name], kind, value)
    return request


async def test_the_prediction_service(grpc_address: str, answered: Answered) -> None:
    rows, expected = answered
    requests = [_request(row) for row in rows]
    prefix = "/modelroll.v1.PredictionService"

    async def stream() -> AsyncIterator[bytes]:
        for request in requests:
            yield request.SerializeToString()

    async with grpc.aio.insecure_channel(grpc_address) as channel:
        predict = channel.unary_unary(f"{prefix}/Predict", response_deserializer=pb.PredictResponse.FromString)
        one_by_one = await asyncio.gather(*(predict(request.SerializeToString()) for request in requests))
        batch = channel.unary_unary(f"{prefix}/BatchPredict", response_deserializer=pb.BatchPredictResponse.FromString)
        together = await batch(pb.BatchPredictRequest(requests=requests).SerializeToString())
        streaming = channel.stream_stream(
            f"{prefix}/PredictStream", response_deserializer=pb.PredictResponse.FromString
        )(stream())
        streamed = [answer async for answer in streaming]
    for answers in (one_by_one, together.responses, streamed):
        check([(one.label.text, list(one.probability)) for one in answers], expected)
        assert [one.prediction for one in answers] == [int(label == "Yes") for label, _ in expected]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_a_batch_job(answered: Answered, tmp_path: Path, suffix: str) -> None:
    rows, expected = answered
    table = pa.Table.from_pylist(rows)
    source = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        table.to_pandas().to_csv(source, index=False)
    elif suffix == "arrow":
        feather.write_feather(table, source)
    else:
        pq.write_table(table, source)
    command = [sys.executable, "-m", "modelroll_server", "batch", str(source), str(tmp_path / "out.parquet")]
    subprocess.run([*command, "--artifact", "models/churn/1.2.0", "--per-class"], cwd=ROOT, check=True)
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    check([(row["prediction"], [row["probability_No"], row["probability_Yes"]]) for row in found], expected)
