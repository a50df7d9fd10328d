"""What tutorials show."""

from pathlib import Path
from typing import Any

from benchmarks import models, process
from benchmarks.subjects import base


class Tutorial(base.HttpSubject):
    """FastAPI and scikit-learn as they are usually put together."""

    name = "tutorial FastAPI"
    says = "a pydantic model of the features, a DataFrame of one row, predict and predict_proba, in a plain `def` route"
    strategy = "preload"

    def command(self, model: models.Model, ports: process.Ports, _scratch: Path) -> process.Command:
        """See Subject."""
        rows = model.file.with_name("rows.json")
        words = [self.python, str(base.SERVERS / "tutorial.py"), str(model.file), str(rows), str(ports.main)]
        return process.Command(words, ports.main, "/health", self.environment(LOAD=self.strategy))

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """Named features."""
        return base.Request("/predict", base.named_or_listed(model, row))

    def label(self, answer: Any) -> Any:
        """As in modelroll's answer."""
        return answer["prediction"]


class TutorialPerRequest(Tutorial):
    """The model is read from disk for every request."""

    name = "tutorial FastAPI, load per request"
    says = "the same, with joblib.load within the route"
    strategy = "request"
