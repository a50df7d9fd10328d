"""The servers that do nothing: what is left after them is the price of the work."""

from pathlib import Path
from typing import Any

from benchmarks import models, process
from benchmarks.subjects import base, rpc


class BareUvicorn(base.HttpSubject):
    """The limit of HTTP."""

    name = "bare uvicorn"
    says = "httptools and uvloop, no access log; reads the body of the same request to its end, gives a fixed answer"

    def command(self, _model: models.Model, ports: process.Ports, _scratch: Path) -> process.Command:
        """See Subject."""
        words = [self.python, str(base.SERVERS / "bare.py"), str(ports.main)]
        return process.Command(words, ports.main, "/", self.environment())

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """The same bytes as for the tutorial server and modelroll."""
        return base.Request("/predict", base.named_or_listed(model, row))

    def label(self, answer: Any) -> Any:
        """Fixed."""
        return answer["prediction"]

    def check(self, port: int, model: models.Model, number: int) -> None:
        """There is nothing to be right about but that it answers."""
        self.ask(port, model, number)


class BareGrpc(rpc.Prediction):
    """The limit of gRPC in Python."""

    name = "bare grpc.aio"
    says = "grpc.aio, a unary call; takes the same message as bytes, gives a fixed answer"

    def command(self, _model: models.Model, ports: process.Ports, _scratch: Path) -> process.Command:
        """See Subject."""
        words = [self.python, str(base.SERVERS / "bare_grpc.py"), str(ports.grpc)]
        return process.Command(words, ports.grpc, None, self.environment())

    def check(self, port: int, model: models.Model, number: int) -> None:
        """There is nothing to be right about but that it answers."""
        self.ask(port, model, number)


class BareGrpcStream(BareGrpc):
    """The limit of a stream in both directions."""

    name = "bare grpc.aio, stream"
    says = f"grpc.aio, a stream of {rpc.STREAMED} messages in both directions; a fixed answer to each"
    method = "PredictStream"
    stream = True
