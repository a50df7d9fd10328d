"""From the bytes of a file to an estimator: joblib, pickle and skops.

Owns what each format is called, and the words for what does not load. Importing this module does not import
scikit-learn; reading does.
"""

import pickle
import warnings
import zipfile
from collections.abc import Collection
from typing import Any, BinaryIO, Literal

from modelroll_server.errors import LoadError, LoadFailed
from modelroll_server.runtimes import estimators, requirements

Format = Literal["joblib", "pickle", "skops"]
HARMLESS = frozenset({"numpy.dtype"})  # runs nothing, is in most encoders, and is missing in skops' own list
SUFFIXES: dict[Format, str] = {"joblib": ".joblib", "pickle": ".pkl", "skops": ".skops"}


def format_of(name: str) -> Format:
    """How a file of that name was probably written; joblib reads plain pickles too."""
    if name.endswith((".pkl", ".pickle")):
        return "pickle"
    return "skops" if name.endswith(".skops") else "joblib"


def load_estimator(file: BinaryIO, file_format: Format, skops_types: Collection[str] = ()) -> Any:
    """The estimator in `file`, set to one thread. This may run code that the file names.

    Args:
        file: Open at its beginning; skops needs to seek in it.
        file_format: How it was written.
        skops_types: Types that a skops file may hold besides those that skops knows to be harmless.

    Raises:
        ModuleMissing: It needs a module that is not installed.
        TrainedWithOther: scikit-learn wrote it in another major.minor than the one installed.
        LoadFailed: It is not what its format says, or cannot be put together here, or is no estimator.
    """
    estimator = load_object(file, file_format, skops_types)
    if not hasattr(estimator, "predict"):
        kind = type(estimator).__name__
        raise LoadFailed(f"the file holds a {kind}, which has no predict", found=kind)
    estimators.single_threaded(estimator)
    return estimator


def load_object(file: BinaryIO, file_format: Format, skops_types: Collection[str] = ()) -> Any:
    """Whatever is in `file`; arguments and errors as for `load_estimator`."""
    try:
        from sklearn.exceptions import InconsistentVersionWarning
    except ModuleNotFoundError as error:
        raise requirements.missing("modelroll-server[sklearn]") from error
    # An encoder that ignores unknown categories says so on each: the schema has accepted them.
    warnings.filterwarnings("ignore", message="Found unknown categories", module=r"sklearn\.")
    trained_with: set[str] = set()
    try:
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always", InconsistentVersionWarning)
            try:
                return _read(file, file_format, skops_types)
            finally:
                found = [one.message for one in raised]
                trained_with = {
                    one.original_sklearn_version for one in found if isinstance(one, InconsistentVersionWarning)
                }
                requirements.check_sklearn(trained_with)
    except ModuleNotFoundError as error:
        raise requirements.missing_module(error.name or "a module") from error
    except (MemoryError, LoadError):
        raise
    except Exception as error:  # unpickling raises whatever the classes in the file raise
        raise _failed(error, file_format) from error


def types_beyond_skops(file: BinaryIO) -> list[str]:
    """The types in a skops file that are not known to be harmless, sorted; the file is left at its beginning.

    Raises:
        ModuleMissing: skops is not installed.
        LoadFailed: It is no skops file.
    """
    try:
        from skops.io import get_untrusted_types
    except ModuleNotFoundError as error:
        raise requirements.missing("skops") from error
    try:
        found: list[str] = get_untrusted_types(file=file)
    except Exception as error:  # of a file that is none, skops raises what its parts raise
        raise _failed(error, "skops") from error
    file.seek(0)
    return [name for name in found if name not in HARMLESS]


def _read(file: BinaryIO, file_format: Format, skops_types: Collection[str]) -> Any:
    if file_format == "pickle":
        return pickle.load(file)  # noqa: S301 - see policy
    if file_format == "joblib":
        import joblib

        return joblib.load(file)
    found = types_beyond_skops(file)
    unlisted = sorted(set(found) - set(skops_types))
    if unlisted:
        raise LoadFailed(
            f"the file holds types that may run code and that no manifest lists: {', '.join(unlisted)}. If you trust"
            " them, pack it: the manifest of an artifact lists what its file holds",
            expected=sorted(skops_types),
            found=found,
        )
    import skops.io

    return skops.io.load(file, trusted=[*found, *HARMLESS])


def _failed(error: Exception, file_format: str) -> LoadError:
    if isinstance(error, AttributeError) and "__main__" in str(error):
        return LoadFailed(
            f"the model uses a function or class of the script that trained it ({error}):"
            " move it into a module that is installed where the model is served"
        )
    if isinstance(error, zipfile.BadZipFile):
        return LoadFailed(f"the file is no {file_format} file: {error}")
    return LoadFailed(
        f"the file cannot be loaded as {file_format}: {type(error).__name__}: {error};"
        f" is it one, and written with scikit-learn {requirements.found(requirements.SKLEARN)}, as is installed here?"
    )
