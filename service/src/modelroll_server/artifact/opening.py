"""Opening an artifact, or a bare file, without trusting it.

Owns what must hold before a byte of a model is given to a runtime: the path stays under its root, files are regular and
complete, bytes are the ones that the digest names and, where the policy wants it, that a trusted key signed. Knows
nothing of estimators.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from modelroll_server.artifact import digest as digests
from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact import sealing
from modelroll_server.artifact import signature as signatures
from modelroll_server.artifact.policy import Policy, require_digest
from modelroll_server.errors import (
    ArtifactIncomplete,
    ArtifactMissing,
    ArtifactUnreadable,
    DigestMismatch,
    ManifestInvalid,
    PathRefused,
    PolicyRefused,
    SignatureInvalid,
    SignatureMismatch,
    SignatureMissing,
)


class OpenArtifact:
    """An artifact whose identity was checked and whose files can be read, each once hashed.

    Attributes:
        path: Where it lies, links resolved.
        digest: Of its content: the manifest's bytes, or the bare file's.
        manifest: None for a bare file, of which the estimator has to tell.
        modified: When the manifest (or the bare file) was last written.
        signed_by: Fingerprint of the key that signed it; None where the policy does not ask.
    """

    def __init__(
        self, path: Path, descriptor: int, *, policy: Policy, given: str | None, manifest: manifests.Manifest | None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = given or ""
        self.signed_by: str | None = None
        self.modified = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
        self._descriptor = descriptor
        self._policy = policy
        self._given = given
        self._bare: sealing.Sealed | None = None

    def require_trust(self, file_format: str) -> None:
        """Refuse a file that runs code when the policy wants a digest and none was given.

        Raises:
            PolicyRefused: That is so; the message has the flag to add.
        """
        require_digest(self._policy, file_format=file_format, given=self._given, found=self.digest)

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """The bytes of one listed file, read once, hashed, and sealed in memory.

        Raises:
            ArtifactIncomplete: The file is not there, or has another size.
            DigestMismatch: Its bytes are not the ones that the manifest names.
            PathRefused: It is not a regular file.
        """
        if self._bare is not None:
            self._bare.file.seek(0)
            yield self._bare.file
            return
        assert self.manifest is not None
        entry = self.manifest.files[name]
        descriptor = sealing.open_regular(name, self._descriptor)
        try:
            sealed = sealing.seal(descriptor, name)
        finally:
            os.close(descriptor)
        with sealed.file:
            _check_file(name, entry, sealed.sha256, sealed.size)
            yield sealed.file

    def check(self, name: str) -> None:
        """Hash one listed file without keeping it: a large one need not fit in memory. Errors as for `reading`."""
        if self.manifest is None:
            return  # hashed when it was opened
        descriptor = sealing.open_regular(name, self._descriptor)
        try:
            _check_file(name, self.manifest.files[name], *sealing.checksum(descriptor, name))
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the files; what was loaded stays."""
        if self._bare is not None:
            self._bare.file.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _hold(self, sealed: sealing.Sealed) -> None:
        self._bare = sealed
        self.digest = digests.from_hex(sealed.sha256)


def open_artifact(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    policy: Policy = Policy.DIGEST,
    digest: str | None = None,
    keys: signatures.PublicKeys | None = None,
) -> OpenArtifact:
    """Open what lies at a path; the caller closes it.

    Args:
        path: A directory with a manifest, or a bare model file; relative to `root` where there is one.
        root: The directory that the path may not leave, links resolved.
        policy: Whether code may be loaded without a digest, or anything without a signature.
        digest: The digest that the content must have; not compared when None.
        keys: Of which one must have signed it, under the policy `signed`.

    Raises:
        ArtifactMissing: Nothing is there.
        ArtifactIncomplete: No manifest, or a listed file is absent or of another size.
        ManifestInvalid: The manifest is not one.
        PathRefused: The path leaves its root, or leads over a link to what is not a regular file.
        DigestMismatch: The content is not the one named.
        ArtifactUnreadable: It cannot be read.
        SignatureMissing, SignatureInvalid, SignatureMismatch: The policy is `signed`, and no trusted key signed this.
    """
    place = _resolve(path, root)
    if policy is Policy.SIGNED and keys is None:
        raise PolicyRefused("the artifact policy is signed, and no public key says whose signature counts")
    trusted = keys if policy is Policy.SIGNED else None
    if place.is_dir():
        return _open_directory(place, policy, digest, trusted)
    if trusted is not None:
        raise SignatureMissing(
            f"{place.name} is a bare file, which has no signature: make an artifact of it with modelroll pack, and"
            " sign that with modelroll sign",
            expected=signatures.NAME,
        )
    return _open_bare(place, policy, digest)


def read_manifest(
    path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
) -> manifests.Manifest | None:
    """The manifest alone of what lies at a path, whether or not its files are there; None for a bare file.

    Raises:
        ArtifactMissing, ArtifactIncomplete, ArtifactUnreadable, ManifestInvalid, PathRefused: As for `open_artifact`.
    """
    place = _resolve(path, root)
    if not place.is_dir():
        return None
    directory = _directory(place)
    try:
        return manifests.decode(_manifest_bytes(directory))
    finally:
        os.close(directory)


def _resolve(path: str | os.PathLike[str], root: str | os.PathLike[str] | None) -> Path:
    wanted = Path(path) if root is None else Path(root, path)
    try:
        place = wanted.resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactMissing(f"nothing is at {path}", expected=str(path)) from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise ArtifactUnreadable(f"{path} cannot be read: {error.strerror}") from error
        raise PathRefused(f"{path} leads nowhere: {error}") from error
    except (RuntimeError, ValueError) as error:
        raise PathRefused(f"{path} leads nowhere: {error}") from error
    if root is not None and not place.is_relative_to(Path(root).resolve()):
        raise PathRefused(f"{path} leaves {root}", found=str(place))
    return place


def _open_directory(
    place: Path, policy: Policy, digest: str | None, trusted: signatures.PublicKeys | None
) -> OpenArtifact:
    directory = _directory(place)
    try:
        data = _manifest_bytes(directory)
        found = digests.of_bytes(data)
        _compare(digest, found, f"{place.name}/{manifests.NAME}")
        signed = None if trusted is None else trusted.verify(_signature_bytes(directory))
        _check_signed(signed, manifests.NAME, found)  # before a byte of the manifest is believed
        manifest = manifests.decode(data)
        for name, entry in manifest.files.items():
            _check_signed(signed, name, digests.from_hex(entry.sha256))
        _check_complete(manifest, directory)
        opened = OpenArtifact(place, directory, policy=policy, given=digest, manifest=manifest)
    except BaseException:
        os.close(directory)
        raise
    opened.digest = found
    opened.signed_by = signed.key if signed else None
    return opened


def _directory(place: Path) -> int:
    try:
        return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ArtifactUnreadable(f"{place} cannot be read: {error.strerror}") from error


def _open_bare(place: Path, policy: Policy, digest: str | None) -> OpenArtifact:
    descriptor = sealing.open_regular(str(place))
    opened = OpenArtifact(place, descriptor, policy=policy, given=digest, manifest=None)
    try:
        sealed = sealing.seal(descriptor, place.name)
        opened._hold(sealed)  # noqa: SLF001 - made here, finished here
        _compare(digest, opened.digest, place.name)
    except BaseException:
        opened.close()
        raise
    return opened


def _manifest_bytes(directory: int) -> bytes:
    try:
        descriptor = sealing.open_regular(manifests.NAME, directory)
    except ArtifactIncomplete as error:
        raise ArtifactIncomplete(f"no {manifests.NAME} yet: it is written last", expected=manifests.NAME) from error
    data = _read(descriptor, manifests.NAME, manifests.MAX_BYTES)
    if len(data) > manifests.MAX_BYTES:
        raise ManifestInvalid(f"{manifests.NAME} has more than {manifests.MAX_BYTES // 2**20} MiB")
    return data


def _signature_bytes(directory: int) -> bytes:
    try:
        descriptor = sealing.open_regular(signatures.NAME, directory)
    except ArtifactIncomplete as error:
        raise SignatureMissing(
            f"no {signatures.NAME} lies beside {manifests.NAME}, and the artifact policy is signed: sign the artifact"
            " with modelroll sign, and push it again",
            expected=signatures.NAME,
        ) from error
    data = _read(descriptor, signatures.NAME, signatures.MAX_BYTES)
    if len(data) > signatures.MAX_BYTES:
        raise SignatureInvalid(f"{signatures.NAME} has more than {signatures.MAX_BYTES // 2**20} MiB")
    return data


def _read(descriptor: int, name: str, most: int) -> bytes:
    """A small file, and a byte more than it may have if it has; closes the descriptor."""
    try:
        with os.fdopen(descriptor, "rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise ArtifactUnreadable(f"{name} cannot be read: {error.strerror}") from error


def _check_signed(signed: signatures.Signed | None, name: str, found: str) -> None:
    """Compare what was read with what was signed, where a signature is wanted."""
    if signed is None:
        return
    sha256 = signed.contents.get(name)
    if sha256 is None:
        raise SignatureMismatch(
            f"{signatures.NAME} does not cover {name} by its sha256: what is signed is an artifact's own directory,"
            " file by file, as modelroll sign does and model_signing by its defaults",
            expected=name,
            found=sorted(signed.contents)[:10],
        )
    if digests.from_hex(sha256) != found:
        raise SignatureMismatch(
            f"{name} is not what was signed: {signatures.NAME} is of another artifact, or {name} was changed after"
            " signing; sign what is to be served with modelroll sign, and push it again",
            expected=digests.from_hex(sha256),
            found=found,
        )


def _compare(expected: str | None, found: str, name: str) -> None:
    if expected is not None and expected != found:
        raise DigestMismatch(f"{name} is not the content that the digest names", expected=expected, found=found)


def _check_complete(manifest: manifests.Manifest, directory: int) -> None:
    for name, entry in manifest.files.items():
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError as error:
            raise ArtifactIncomplete(f"{name} is not there", expected=name) from error
        except OSError as error:
            raise ArtifactUnreadable(f"{name} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise PathRefused(f"{name} is not a regular file", found=name)
        if found.st_size != entry.bytes:
            raise ArtifactIncomplete(
                f"{name} has {found.st_size} bytes of {entry.bytes}", expected=entry.bytes, found=found.st_size
            )


def _check_file(name: str, entry: manifests.File, sha256: str, size: int) -> None:
    if size != entry.bytes:
        raise ArtifactIncomplete(f"{name} has another size", expected=entry.bytes, found=size)
    if sha256 != entry.sha256:
        expected, found = digests.from_hex(entry.sha256), digests.from_hex(sha256)
        raise DigestMismatch(f"{name} is not the file that was packed", expected=expected, found=found)
