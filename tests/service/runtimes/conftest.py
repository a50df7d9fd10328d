"""Bare files of small models, and the way from a file to something that answers."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest

from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.runtimes.base import Loaded
from modelroll_server.runtimes.loading import load

Bare = Callable[[Any], Loaded]


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    """Dumps an estimator, and loads the file as it is."""

    def make(estimator: Any) -> Loaded:
        file = tmp_path / "model.joblib"
        joblib.dump(estimator, file)
        digest = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
        with open_artifact(file, policy=Policy.DIGEST, digest=digest) as opened:
            return load(opened)

    return make
