"""Which distributions a model needs to be loaded, from the modules of what it is made of."""

import importlib.metadata
from typing import Any

from modelroll_server.runtimes import estimators
from modelroll_server.runtimes.requirements import SKLEARN

_ALWAYS = {SKLEARN, "numpy"}


def of_pickle(data: bytes) -> set[str]:
    """What a pickle needs that its objects do not show: cloudpickle, where it holds functions by value."""
    return {"cloudpickle"} if b"cloudpickle.cloudpickle" in data else set()


def distributions(estimator: Any) -> set[str]:
    """The installed distributions of the classes and functions within, and the two that are always needed."""
    top_level = set()
    for part in estimators.parts(estimator):
        top_level.add(type(part).__module__.partition(".")[0])
        functions = (value for value in vars(part).values() if callable(value))
        top_level.update(str(getattr(value, "__module__", "")).partition(".")[0] for value in functions)
    providers = importlib.metadata.packages_distributions()
    return _ALWAYS | {providers[name][0] for name in top_level if name in providers}
