"""What an artifact was trained with, against what is installed here."""

import importlib.metadata
import importlib.util
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
            found(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise missing(name, wanted) from error
        if name == SKLEARN:
            check_sklearn({wanted})


def check_sklearn(trained_with: Iterable[str]) -> None:
    """Refuse what other versions of scikit-learn have written.

    Raises:
        TrainedWithOther: One of them differs from the installed one in more than the patch.
    """
    here = found(SKLEARN)
    for wanted in sorted(trained_with):
        if _minor(here) != _minor(wanted):
            raise TrainedWithOther(
                f"trained with {SKLEARN} {wanted}, and {here} is installed: it may load and answer otherwise."
                f" Use an image with {SKLEARN} {_minor(wanted)} (and pack it where it was trained), or train it again",
                expected=wanted,
                found=here,
            )


def found(distribution: str) -> str:
    """The version that is installed."""
    return importlib.metadata.version(distribution)


def missing(name: str, version: str | None = None) -> ModuleMissing:
    """The refusal that names a module, with the line of an image's Dockerfile that would add it."""
    wanted = f"{name}=={version}" if version else name
    line = f"RUN pip install {wanted}"
    sentence = f"the model needs {name}, which is not installed; add to the image, as USER root: {line}"
    return ModuleMissing(sentence, expected=wanted)


def missing_module(module: str) -> ModuleMissing:
    """The refusal that names a module: of a library that is not installed, or that one which is does not have."""
    name = module.partition(".")[0]
    if importlib.util.find_spec(name) is None:
        return missing(name)
    distributions = importlib.metadata.packages_distributions().get(name, [])
    here = " ".join([name] if not distributions else [distributions[0], found(distributions[0])])
    sentence = f"the model needs {module}, which the {here} that is installed does not have: another version wrote it"
    return ModuleMissing(sentence, expected=module, found=here)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
