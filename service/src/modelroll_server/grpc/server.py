"""The gRPC port: its services, limits, and how it leaves."""

import asyncio

import grpc
from grpc_reflection.v1alpha import reflection

from modelroll_server.access.access import Access
from modelroll_server.access.certificate import Current, Pair
from modelroll_server.grpc import health, open_inference, prediction
from modelroll_server.grpc.calls import Calls
from modelroll_server.grpc.guard import Guard
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.traces import Traces

CONNECTION_SECONDS = 300.0
"""After which, give or take a tenth, a client is asked to connect anew: so it comes to hear of pods that were added."""


class PortTaken(OSError):
    """The port cannot be listened on."""


class GrpcServer:
    """One gRPC server, on the event loop of the HTTP ports."""

    def __init__(
        self,
        registry: Registry,
        inference: Inference,
        metrics: Metrics,
        leaving: asyncio.Event,
        *,
        max_message: tuple[int, int],
        traces: Traces | None = None,
        access: Access | None = None,
    ) -> None:
        """A server.

        Args:
            registry: What is live.
            inference: What predicts.
            metrics: Where it is counted.
            leaving: Set when streams are to end, after what was read of them is answered.
            max_message: Bytes that a message may have, coming in and going out.
            traces: Where traces go; None: there are none.
            access: What guards the port, loaded.
        """
        options = [
            ("grpc.max_receive_message_length", max_message[0]),
            ("grpc.max_send_message_length", max_message[1]),
            ("grpc.so_reuseport", 0),  # else a second server would take the port, and half of the requests
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_connection_age_ms", round(1000 * CONNECTION_SECONDS)),  # calls on it have all the time they need
        ]
        callers = None if access is None else access.callers
        self._server = grpc.aio.server(options=options, interceptors=[] if callers is None else [Guard(callers)])
        self._tls = None if access is None else access.tls
        calls = Calls(registry, inference, metrics, traces)
        names = frozenset({open_inference.SERVICE, prediction.SERVICE})
        services = {
            open_inference.SERVICE: open_inference.OpenInferenceService(calls).handlers(),
            prediction.SERVICE: prediction.PredictionService(calls, leaving).handlers(),
            health.SERVICE: health.HealthService(calls, leaving, names).handlers(),
        }
        for name, handlers in services.items():
            self._server.add_registered_method_handlers(name, dict(handlers))
        reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], self._server)

    async def start(self, host: str, port: int) -> int:
        """Listen, and say on which port.

        Raises:
            PortTaken: it cannot.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._tls is None:
                found: int = self._server.add_insecure_port(address)
            else:
                found = self._server.add_secure_port(address, _credentials(self._tls))
        except RuntimeError as error:
            raise PortTaken(str(error)) from error
        await self._server.start()
        return found

    async def terminated(self) -> None:
        """Wait until it has stopped."""
        await self._server.wait_for_termination()

    async def stop(self, grace: float) -> None:
        """Take no more calls; those that run get so many seconds."""
        await self._server.stop(grace)


def _credentials(tls: Current) -> grpc.ServerCredentials:
    """Credentials that ask for the latest certificate at each handshake; grpc speaks TLS 1.2 and later."""
    given = tls.pair

    def fetch() -> grpc.ServerCertificateConfiguration | None:  # from threads of grpc
        nonlocal given
        if given is tls.pair:
            return None
        given = tls.pair
        return _configuration(given)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given), fetch, require_client_authentication=given.client_ca is not None
    )


def _configuration(pair: Pair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)], root_certificates=pair.client_ca)
