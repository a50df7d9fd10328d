"""A gRPC client that takes turns over the pods of a release by itself, set up as docs/traffic.md says."""

import json
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import grpc

from modelroll_server.grpc import prediction_pb2 as pb

METHOD = "/modelroll.v1.PredictionService/Predict"
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
}
OPTIONS = [
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
]
DEADLINE = 5.0  # seconds of one call


class Calls:
    """One channel to all pods of a headless Service."""

    def __init__(self, target: str, row: Mapping[str, Any]) -> None:
        """A channel; it connects when it is first used."""
        self._channel = grpc.insecure_channel(target, options=OPTIONS)
        self._predict = self._channel.unary_unary(
            METHOD,
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictResponse.FromString,
        )
        self._request = pb.PredictRequest(named={name: value(one) for name, one in row.items()})
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._call)
        self.versions: list[str] = []
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._channel.close()

    def once(self) -> str:
        """Call once; the version that answered."""
        return str(self._predict(self._request, timeout=DEADLINE).model_version)

    def begin(self) -> None:
        """Call twenty times a second from now on, to the end of the block."""
        self._thread.start()

    def _call(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self.versions.append(self.once())
            except grpc.RpcError as error:
                self.failed.append(f"{time.strftime('%H:%M:%S')} {error}")


def value(one: float | str) -> pb.Value:
    """A value of JSON as the protocol spells it."""
    if isinstance(one, str):
        return pb.Value(text=one)
    return pb.Value(integer=one) if isinstance(one, int) else pb.Value(number=one)
