"""Complete artifacts as the tar stream that `receive` takes: <version>/<file>, the signature if any, the manifest."""

import tarfile
from collections.abc import Callable, Sequence
from typing import BinaryIO

from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact import signature as signatures
from modelroll_server.artifact.catalog import Entry


class _Counting:
    """A stream that tells how many bytes went through."""

    def __init__(self, stream: BinaryIO, report: Callable[[int], None]) -> None:
        self._stream = stream
        self._report = report

    def write(self, data: bytes) -> int:
        written = self._stream.write(data)
        self._report(len(data))
        return written


def size(entries: Sequence[Entry]) -> int:
    """The bytes of all files of these versions, manifests and signatures aside: what a progress bar counts to."""
    return sum(file.bytes for entry in entries for file in entry.manifest.files.values())


def write(entries: Sequence[Entry], stream: BinaryIO, report: Callable[[int], None]) -> None:
    """Write the tar; `report` is called with the number of bytes of each chunk written."""
    with tarfile.open(fileobj=_Counting(stream, report), mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        for entry in entries:
            signed = [signatures.NAME] if (entry.path / signatures.NAME).is_file() else []
            for name in (*entry.manifest.files, *signed, manifests.NAME):
                path = entry.path / name
                member = tarfile.TarInfo(f"{entry.version}/{name}")
                member.size = path.stat().st_size
                member.mode = 0o644
                with path.open("rb") as file:
                    tar.addfile(member, file)
