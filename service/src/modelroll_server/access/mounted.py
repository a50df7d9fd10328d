"""Files of a mounted Secret, read as of one moment.

The kubelet writes a new directory, and then has the link `..data` lead there: names that are followed one after another
may lead to two moments. Files that no kubelet wrote are read as they lie.
"""

from collections.abc import Iterable
from pathlib import Path

from modelroll_server import errors

MOST_BYTES = 2**20  # as many as a Secret may have


def names(directory: Path) -> list[str]:
    """The names of its files, in order.

    Raises:
        errors.CredentialsUnusable: it cannot be listed.
    """
    try:
        return sorted(one.name for one in directory.iterdir() if not one.name.startswith(".") and one.is_file())
    except OSError as error:
        raise errors.CredentialsUnusable(f"{directory} cannot be read: {error.strerror}") from error


def read(directory: Path, wanted: Iterable[str]) -> list[bytes]:
    """What these files hold.

    Raises:
        errors.CredentialsUnusable: one of them cannot be read.
    """
    place = (directory / "..data").resolve() if (directory / "..data").is_symlink() else directory
    found = []
    for name in wanted:
        try:
            with (place / name).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise errors.CredentialsUnusable(f"{directory / name} cannot be read: {error.strerror}") from error
        if len(data) > MOST_BYTES:
            raise errors.CredentialsUnusable(f"{directory / name} has more than {MOST_BYTES} bytes")
        found.append(data)
    return found


def stamp(*paths: Path) -> object:
    """Something that is equal as long as these files, or the files of these directories, are the same."""
    found: list[object] = []
    for path in paths:
        try:
            files = [path, *sorted(path.iterdir())] if path.is_dir() else [path]
            for one in files:
                status = one.stat()
                found.append((str(one), status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))
        except OSError as error:
            found.append((str(path), error.errno))
    return found
