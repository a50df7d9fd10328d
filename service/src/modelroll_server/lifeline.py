"""A process that ends with the one that began it, however that ends.

Imports nothing that takes long: until this is called, a process can outlive its parent.
"""

import contextlib
import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies, also while it is stopped or computes; on Linux alone.

    What this process begins is not ended with it.

    Args:
        parent: The parent's id. If it is dead by now this process ends at once; None: that is noticed elsewhere.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
