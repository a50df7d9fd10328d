"""Ports for programs that cannot find a free one themselves, and for those that come back on the one they had."""

import random
import socket

FIRST, LAST = 12_000, 21_999  # below what kernels give to connections and to who asks for any port
_TRIES = 200
_held: list[socket.socket] = []


def reserve() -> int:
    """A port that nobody listens on, and that nobody else is given as long as this process lives.

    A port that the kernel found can be somebody else's connection by the time that it is bound, or while its server is
    down. One of this range is taken by its name alone: by a Unix socket, which other processes of tests see, and which
    ends with this one.
    """
    for _ in range(_TRIES):
        port = random.randint(FIRST, LAST)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0modelroll-tests-{port}")
            socket.create_server(("", port)).close()
        except OSError:
            name.close()
            continue
        _held.append(name)
        return port
    raise AssertionError(f"of {_TRIES} ports from {FIRST} to {LAST} none is free")
