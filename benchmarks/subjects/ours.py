"""modelroll, as it is run: a packed artifact, `modelroll serve`, every default."""

from pathlib import Path
from typing import Any

from benchmarks import models, process
from benchmarks.subjects import base


class Modelroll(base.HttpSubject):
    """The artifact that scikit-learn computes, over /predict with named features."""

    name = "modelroll uncompiled"
    says = "scikit-learn, rows gathered into batches; POST /predict with named features"
    flags: tuple[str, ...] = ()

    def artifact(self, model: models.Model) -> Path | None:
        """The artifact that is served."""
        return model.uncompiled

    def absent(self, model: models.Model) -> str | None:
        """See Subject."""
        return None if self.artifact(model) else "modelroll pack made no compiled model of it"

    def command(self, model: models.Model, ports: process.Ports, _scratch: Path) -> process.Command:
        """See Subject."""
        words = [self.python, "-m", "modelroll_server", "serve", str(self.artifact(model)), "--host", "127.0.0.1"]
        words += ["--port", str(ports.main), "--management-port", str(ports.management), *self.flags]
        return process.Command(words, ports.management, "/readyz", self.environment())

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """Named features."""
        return base.Request("/predict", base.named_or_listed(model, row))

    def label(self, answer: Any) -> Any:
        """The tutorials' word."""
        return answer["prediction"]


class Compiled(Modelroll):
    """The artifact that ONNX Runtime computes."""

    name = "modelroll compiled"
    says = "ONNX Runtime, the model checked equal to scikit-learn; POST /predict with named features"

    def artifact(self, model: models.Model) -> Path | None:
        """The artifact that is served."""
        return model.compiled


class Lazy(Modelroll):
    """Ready before it has read the model."""

    name = "modelroll uncompiled, lazy"
    says = "ready at once, loads for the first request"
    flags = ("--load", "lazy")
