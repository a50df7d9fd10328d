"""The gRPC port of a real process: ready waits for it, it leaves with the server, and it is taken by nobody else."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import server_process
from modelroll_server.grpc import prediction_pb2 as pb

CHURN = Path(__file__).parents[3] / "models" / "churn"
SERVICE = "/modelroll.v1.PredictionService"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[server_process.ServerProcess]:
    environment = {"GRPC_PORT": "0", "SHUTDOWN_TIMEOUT": "10"}
    with server_process.serving(tmp_path / "log", str(CHURN / "1.2.0"), environment=environment) as found:
        found.wait_for(lambda: True if found.get("/readyz").status_code == 200 else None)
        yield found


def address(server: server_process.ServerProcess) -> str:
    """It listens when the server is ready."""
    return next(f"127.0.0.1:{line['grpc_port']}" for line in server.lines() if "grpc_port" in line)


def request() -> pb.PredictRequest:
    found = pb.PredictRequest()
    for name, value in json.loads((CHURN / "row.json").read_bytes()).items():
        kind = {str: "text", int: "integer", float: "number"}[type(value)]
        setattr(found.named[name], kind, value)
    return found


async def test_a_leaving_server_ends_streams_and_then_itself(server: server_process.ServerProcess) -> None:
    async with grpc.aio.insecure_channel(address(server)) as channel:
        call: Any = channel.stream_stream(
            f"{SERVICE}/PredictStream",
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictResponse.FromString,
        )()
        await call.write(request())
        assert (await call.read()).model_version == "1.2.0"
        server.process.send_signal(signal.SIGTERM)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert "leaving" in await call.details()
    assert server.process.wait(60) == 0


def test_a_port_that_is_taken_ends_the_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with server_process.serving(tmp_path / "log", str(CHURN / "1.2.0"), environment={"GRPC_PORT": port}) as server:
            assert server.process.wait(60) == 1
    assert f"cannot listen on port {port}" in (tmp_path / "log").read_text()
