"""`python -m modelroll_server.workers INDEX PORT CHANNEL`: one worker. Only a parent starts it."""

import contextlib
import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, also while it is stopped or computes.

    A parent that is dead by now is noticed by the end of the channel.
    """
    with contextlib.suppress(OSError, AttributeError):  # elsewhere than on Linux the end of the channel must do
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _end_with_parent()  # before what takes long to import: until then this process holds the port of a dead server
    from modelroll_server.workers.worker import main

    main(*map(int, sys.argv[1:]))
