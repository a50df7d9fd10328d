"""The servers that do nothing: what is left after them is the price of the work."""

from pathlib import Path
from typing import Any

from benchmarks import models, process
from benchmarks.subjects import base


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


class BareGrpc(base.GrpcSubject):
    """The limit of gRPC in Python."""

    name = "bare grpc.aio"
    says = "grpc.aio, one unary call; takes the message as bytes, gives a fixed answer"
    proto = base.SERVERS / "bare.proto"
    service = "modelroll.benchmarks.Bare"
    method = "Predict"

    def absent(self, model: models.Model) -> str | None:
        """See Subject."""
        return "its message holds numbers only" if model.texts else super().absent(model)

    def command(self, _model: models.Model, ports: process.Ports, _scratch: Path) -> process.Command:
        """See Subject."""
        words = [self.python, str(base.SERVERS / "bare_grpc.py"), str(ports.main)]
        return process.Command(words, ports.main, None, self.environment())

    def message(self, _model: models.Model, row: models.Row) -> dict[str, Any]:
        """Numbers in order."""
        return {"values": list(row.values())}

    def encode(self, message: dict[str, Any]) -> bytes:
        """Nothing, which is a message too: it is not read. Under load ghz sends the numbers."""
        return b""

    def label(self, answer: bytes) -> Any:
        """The first field: a tag, then a small number."""
        return answer[1]

    def check(self, port: int, model: models.Model, number: int) -> None:
        """There is nothing to be right about but that it answers."""
        self.ask(port, model, number)
