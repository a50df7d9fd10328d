"""The order of the check, and its time."""

from modelroll_server.packing.equality.subject import Differs, Equal, Subject


def check(subject: Subject, *, seconds: float = 120.0, seed: int = 0) -> Equal | Differs:
    """Whether the compiled model answers as scikit-learn does, as far as can be seen within `seconds`.

    Args:
        subject: The model and the two runtimes.
        seconds: How long it may take, about. A check that had no time for enough rows of a kind ends with `Differs`.
        seed: Of everything random.
    """
    raise NotImplementedError
