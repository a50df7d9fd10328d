"""Files of a mounted Secret, read as of one moment.

The kubelet writes a new directory, has the link `..data` lead there, and then removes the old one: names that are
followed one after another may lead to two moments, or to nothing. Files that no kubelet wrote are read as they lie.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from modelroll_server import errors

MOST_BYTES = 2**20  # as many as a Secret may have
TRIES = 5  # the kubelet needs about a minute from one change to the next


def read_all(directory: Path) -> dict[str, bytes]:
    """What its files hold, by name, in the order of the names.

    Raises:
        errors.CredentialsUnusable: it cannot be listed, or one of them cannot be read.
    """
    return _as_of_one_moment(directory, lambda place: _contents(place, _names(place)))


def read(directory: Path, wanted: Iterable[str]) -> list[bytes]:
    """What these files hold.

    Raises:
        errors.CredentialsUnusable: one of them cannot be read.
    """
    names = list(wanted)
    found = _as_of_one_moment(directory, lambda place: _contents(place, names))
    return [found[name] for name in names]


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


def _as_of_one_moment(directory: Path, take: Callable[[Path], dict[str, bytes]]) -> dict[str, bytes]:
    for left in reversed(range(TRIES)):
        place = _place(directory)
        try:
            found = take(place)
        except FileNotFoundError as error:
            if not left:
                raise _unreadable(directory, place, error) from error
        except OSError as error:
            raise _unreadable(directory, place, error) from error
        else:
            # Of a directory that is being removed some files may be left: it counts only if it is still in use.
            if _place(directory) == place:
                break
    else:
        raise errors.CredentialsUnusable(f"{directory} changes faster than it can be read")
    for name, data in found.items():
        if len(data) > MOST_BYTES:
            raise errors.CredentialsUnusable(f"{directory / name} has more than {MOST_BYTES} bytes")
    return found


def _place(directory: Path) -> Path:
    link = directory / "..data"
    return link.resolve() if link.is_symlink() else directory


def _names(place: Path) -> list[str]:
    return sorted(one.name for one in place.iterdir() if not one.name.startswith(".") and one.is_file())


def _contents(place: Path, names: list[str]) -> dict[str, bytes]:
    found = {}
    for name in names:
        with (place / name).open("rb") as file:
            found[name] = file.read(MOST_BYTES + 1)
    return found


def _unreadable(directory: Path, place: Path, error: OSError) -> errors.CredentialsUnusable:
    what = (
        directory if error.filename is None or Path(error.filename) == place else directory / Path(error.filename).name
    )
    return errors.CredentialsUnusable(f"{what} cannot be read: {error.strerror}")
