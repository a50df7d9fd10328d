"""`modelroll batch` as one of several processes, mostly a pod of an Indexed Job: which it is, and how it ends."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click
from click.core import ParameterSource

from modelroll_server import errors
from modelroll_server.offline.options import Share

INDEX = "JOB_COMPLETION_INDEX"  # Kubernetes gives it to each pod of an Indexed Job
_MAY_PASS = (errors.BatchInterrupted, errors.ArtifactUnreadable, errors.LoadTimedOut, errors.NotEnoughMemory)
_WORD = Path("/dev/termination-log")  # Kubernetes shows what a container leaves here in the pod's status


def share(context: click.Context, index: int | None, indexes: int | None, run: str) -> Share | None:
    """The share that the flags ask for; None where this process does all by itself.

    Raises:
        click.UsageError: They do not fit together.
    """
    if indexes is None:
        given = [
            name for name in ("index", "run_id") if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ]
        if given:
            raise click.UsageError("--index and --run are of a job that is shared: say --indexes, too")
        return None
    if index is None:
        raise click.UsageError(f"--indexes is {indexes}, and neither --index nor {INDEX} says which one this is")
    if index >= indexes:
        raise click.UsageError(f"index {index} is none of {indexes}: they are counted from 0")
    return Share(index, indexes, run)


def exit_code(error: errors.ModelrollError) -> int:
    """1 where another try may come further, `errors.IN_VAIN` where none will."""
    is_known = isinstance(error, errors.BatchFailed | errors.LoadError)
    return errors.IN_VAIN if is_known and not isinstance(error, _MAY_PASS) else 1


def leave_word(text: str) -> None:
    """Leave a word where whoever follows the Job reads it; nowhere, outside a pod."""
    with contextlib.suppress(OSError):
        if _WORD.is_file():
            _WORD.write_text(text)


class Terminated(KeyboardInterrupt):
    """SIGTERM."""


@contextlib.contextmanager
def ended_by_signal() -> Iterator[None]:
    """SIGTERM ends it as ctrl-C does: the first process of a container ignores it otherwise.

    Raises:
        Terminated: When it comes.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
