"""Everything that can go wrong, as types: what a caller did, and why an artifact was not loaded.

Owns the words (`code` of a request's error, `reason` of a load's failure). It imports no framework and knows no status
numbers: each transport has one exhaustive table from these classes to its own codes.
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class ModelrollError(Exception):
    """Base of every error that this package raises on purpose. The message is written for the person who reads it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


# --- What a caller asked ---------------------------------------------------------------------------------------------


def shortened(text: str, longest: int = 100) -> str:
    """What a caller wrote, as messages show it: the whole, or how it begins."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def _cut(text: str, longest: int) -> str:
    """As many characters of a text as so many bytes hold."""
    if len(text) * 4 <= longest:
        return text
    data = text.encode(errors="replace")
    return text if len(data) <= longest else f"{data[:longest].decode(errors='ignore')}…"


class RequestError(ModelrollError):
    """A request that gets no answer.

    What it says goes back to its caller, in the body over HTTP and in trailers over gRPC, of which clients take 8 KiB
    with each byte outside of ASCII written as three. So it is bounded here, whatever names its caller made up.

    Attributes:
        code: snake_case word for machines, one per class.
        field: The part of the request that is wrong, such as `instances[3].tenure`; None when it is the whole.
    """

    code: ClassVar[str] = "invalid_request"
    LONGEST: ClassVar[int] = 2000  # bytes of a message
    LONGEST_FIELD: ClassVar[int] = 400

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(_cut(message, self.LONGEST))
        self.field = None if field is None else _cut(field, self.LONGEST_FIELD)


class InvalidRequest(RequestError):
    """The request is not what the endpoint takes, and no narrower class says why."""


class InvalidJson(RequestError):
    """The body is not JSON, is empty, or is nested too deeply to be read."""

    code = "invalid_json"


class InvalidField(RequestError):
    """One field is missing, extra, mistyped, null, out of range or an unknown category."""

    code = "invalid_field"


class InvalidFields(RequestError):
    """Several fields are wrong at once.

    Attributes:
        errors: The first ten of them.
    """

    code = "invalid_fields"
    SHOWN: ClassVar[int] = 10

    def __init__(self, errors: Sequence[InvalidField]) -> None:
        self.errors = tuple(errors[: self.SHOWN])
        more = "" if len(errors) <= self.SHOWN else "; and more"
        # Once, however many rows it is said of.
        messages = dict.fromkeys(error.message for error in self.errors)
        super().__init__("; ".join(messages) + more, field=self.errors[0].field)


class NotFound(RequestError):
    """No such path, model or version."""

    code = "not_found"


class MethodNotAllowed(RequestError):
    """The path is there, the method is not.

    Attributes:
        allow: The methods that are.
    """

    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: Sequence[str]) -> None:
        super().__init__(message)
        self.allow = tuple(allow)


class Unauthorized(RequestError):
    """A token is wanted, and this is none or another."""

    code = "unauthorized"


class PayloadTooLarge(RequestError):
    """More bytes or more rows than one request may carry."""

    code = "payload_too_large"


class UnsupportedMediaType(RequestError):
    """The Content-Type or Content-Encoding is not one that is read."""

    code = "unsupported_media_type"


class Overloaded(RequestError):
    """The queue is full.

    Attributes:
        retry_after: Seconds after which trying again makes sense.
    """

    code = "overloaded"

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(RequestError):
    """No model is loaded (yet)."""

    code = "not_ready"


class DeadlineExceeded(RequestError):
    """The answer would have come too late."""

    code = "deadline_exceeded"


class InferenceFailed(RequestError):
    """The model raised on a row that its schema accepts. The traceback is in the log, not in the message."""

    code = "inference_failed"


# --- Why an artifact was not loaded ----------------------------------------------------------------------------------


class LoadError(ModelrollError):
    """An artifact that does not get to answer anybody.

    Attributes:
        reason: One CamelCase word, the same in `/status`, logs, metrics and the ModelVersion's condition.
        expected: What should have been found, when that can be said in one JSON value.
        found: What was found instead.
    """

    reason: ClassVar[str] = "LoadFailed"
    LONGEST: ClassVar[int] = 2000  # characters of a message: libraries list every column, and it goes into a status

    def __init__(self, message: str, *, expected: Any = None, found: Any = None) -> None:
        super().__init__(message if len(message) <= self.LONGEST else f"{message[: self.LONGEST]}…")
        self.expected = expected
        self.found = found


class ArtifactMissing(LoadError):
    """Nothing is at the path."""

    reason = "ArtifactMissing"


class ArtifactIncomplete(LoadError):
    """The directory has no manifest (yet), or a listed file is absent or of another size."""

    reason = "ArtifactIncomplete"


class ArtifactUnreadable(LoadError):
    """The volume does not give the bytes: a stale mount, a lack of rights, a disk at fault."""

    reason = "ArtifactUnreadable"


class ManifestInvalid(LoadError):
    """The manifest is not what the schema of manifests says."""

    reason = "ManifestInvalid"


class PathRefused(LoadError):
    """The path leaves its root, or a file of the artifact is a link or not a regular file."""

    reason = "PathRefused"


class DigestMismatch(LoadError):
    """The bytes are not the ones that the digest, or the manifest, names."""

    reason = "DigestMismatch"


class PolicyRefused(LoadError):
    """The artifact policy does not allow this file to be loaded."""

    reason = "PolicyRefused"


class SignatureMissing(LoadError):
    """The artifact policy wants a signature, and there is none."""

    reason = "SignatureMissing"


class SignatureInvalid(LoadError):
    """The signature is none, or no trusted key made it, or it was changed."""

    reason = "SignatureInvalid"


class SignatureMismatch(LoadError):
    """The signature holds, and is over other bytes than lie there."""

    reason = "SignatureMismatch"


class TrainedWithOther(LoadError):
    """Trained with another scikit-learn major.minor than the one that is installed."""

    reason = "TrainedWithOther"


class ModuleMissing(LoadError):
    """Loading needs a module that is not installed, or that the installed version of its library does not have."""

    reason = "ModuleMissing"


class LoadFailed(LoadError):
    """The file could not be turned into an estimator."""

    reason = "LoadFailed"


class ModelMismatch(LoadError):
    """The manifest names another model than the one that is served here."""

    reason = "ModelMismatch"


class VersionMismatch(LoadError):
    """The manifest names another version than the target does."""

    reason = "VersionMismatch"


class SchemaChanged(LoadError):
    """The inputs or outputs are not compatible with the baseline's."""

    reason = "SchemaChanged"


class WarmUpFailed(LoadError):
    """The model raised on its own example rows, or answers them with nothing but NaN."""

    reason = "WarmUpFailed"


class GoldenRowsDiffer(LoadError):
    """The model does not reproduce the golden rows of its manifest."""

    reason = "GoldenRowsDiffer"


class CrashedWhileLoading(LoadError):
    """The process died while it loaded this revision; it is not tried again."""

    reason = "CrashedWhileLoading"


class CandidateCrashed(LoadError):
    """The process died twice while this revision's candidate was beside what it serves; it is not tried again."""

    reason = "CandidateCrashed"


class CandidateRefused(LoadError):
    """This server cannot have a candidate beside the version that answers."""

    reason = "CandidateRefused"


class LoadTimedOut(LoadError):
    """Loading and checking it took longer than it may."""

    reason = "LoadTimedOut"


class NotEnoughMemory(LoadError):
    """Loading it takes more memory than the container has left."""

    reason = "NotEnoughMemory"


class RevisionClash(LoadError):
    """Two sources give one revision different contents."""

    reason = "RevisionClash"


class TargetInvalid(LoadError):
    """A target file does not parse."""

    reason = "TargetInvalid"


def load_error(reason: str, message: str, *, expected: Any = None, found: Any = None) -> LoadError:
    """The error of that reason, as another process told it."""
    return {one.reason: one for one in LoadError.__subclasses__()}[reason](message, expected=expected, found=found)


# --- What guards the ports -------------------------------------------------------------------------------------------


class CredentialsUnusable(ModelrollError):
    """A certificate that cannot be shown, or tokens that cannot be taken; the message has no part of either."""


# --- What a person asked on the command line -------------------------------------------------------------------------


class PackFailed(ModelrollError):
    """A model that cannot be packed; nothing was written."""


class KeyInvalid(ModelrollError):
    """A key that signatures can be neither made nor checked with."""


class SignFailed(ModelrollError):
    """An artifact that cannot be signed; nothing was written."""


class ReceiveFailed(ModelrollError):
    """A stream that is not the artifact it says it is, or does not fit; nothing of it stays on the volume."""


class BatchFailed(ModelrollError):
    """A batch job that did not finish; the shards that it had finished are kept."""


IN_VAIN = 65  # exit code of a batch job that would end the same however often it is tried: EX_DATAERR of sysexits.h


class BatchInterrupted(BatchFailed):
    """A batch job that the same command may finish another time: a disk or a file system stood in its way."""


class JobFailed(ModelrollError):
    """A Job that a cluster did not take, or did not finish."""


class KubectlFailed(ModelrollError):
    """kubectl is not there, or did not do what it was asked; the message is its own."""


class PushFailed(ModelrollError):
    """A push that the cluster, or the other end, did not take."""
