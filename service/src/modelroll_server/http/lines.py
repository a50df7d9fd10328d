"""Lines of a body that comes in pieces, each bounded in length."""


class Lines:
    """Cuts bytes into lines, whatever pieces they come in; of a line that is too long nothing is kept."""

    def __init__(self, limit: int) -> None:
        """Lines of at most `limit` bytes."""
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that end in `data`, without their ends; None for one that is too long."""
        *ended, rest = data.split(b"\n")
        found = [self._end(piece) for piece in ended]
        self._keep(rest)
        return found

    def finish(self) -> list[bytes | None]:
        """The last line, if it has no end and is not empty."""
        return [self._end(b"")] if self._size else []

    def _end(self, piece: bytes) -> bytes | None:
        self._keep(piece)
        line = b"".join(self._parts) if self._size <= self._limit else None
        self._parts.clear()
        self._size = 0
        return line

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._limit:
            self._parts.append(piece)
        else:
            self._parts.clear()
