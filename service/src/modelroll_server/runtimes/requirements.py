"""What an artifact was trained with, against what is installed here."""

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping

from modelroll_server.errors import ModuleMissing, TrainedWithOther

PYTHON = "python"
SKLEARN = "scikit-learn"


def installed(distributions: Iterable[str]) -> dict[str, str]:
    """The versions installed here of these distributions, and Python's."""
    return {PYTHON: platform.python_version()} | {
        name: importlib.metadata.version(name) for name in sorted(distributions)
    }


def check(requires: Mapping[str, str]) -> None:
    """Refuse what this interpreter would load wrongly, or not at all.

    Raises:
        ModuleMissing: A distribution is not installed.
        TrainedWithOther: scikit-learn is installed with another major.minor.
    """
    for name, wanted in requires.items():
        if name == PYTHON:
            continue
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise missing(name, wanted) from error
        if name == SKLEARN and _minor(found) != _minor(wanted):
            raise TrainedWithOther(
                f"trained with {SKLEARN} {wanted}, and {found} is installed: it may load and answer otherwise."
                f" Use an image with {SKLEARN} {_minor(wanted)}, or pack the model again",
                expected=wanted,
                found=found,
            )


def missing(name: str, version: str | None = None) -> ModuleMissing:
    """The refusal that names a module, with the line of an image's Dockerfile that would add it."""
    wanted = f"{name}=={version}" if version else name
    line = f"RUN pip install {wanted}"
    return ModuleMissing(f"the model needs {name}, which is not installed; add to the image: {line}", expected=wanted)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
