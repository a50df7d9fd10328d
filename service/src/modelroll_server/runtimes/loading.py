"""From an open artifact to something that answers: which runtime, whether it may be loaded here, and the loading."""

from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact.opening import OpenArtifact
from modelroll_server.runtimes import bare, files, requirements, scikit
from modelroll_server.runtimes.base import Loaded, Runtime
from modelroll_server.tensors import Datatype

UNNAMED = "model"
UNVERSIONED = "0.0.0"


def load(opened: OpenArtifact, *, model: str | None = None, version: str | None = None) -> Loaded:
    """Load the model of an artifact with the first of its runtimes: compiled, where it was.

    A compiled model is loaded whatever the policy, the digest and the installed scikit-learn: it runs no code of its
    own. One that ONNX Runtime cannot run here is a failure and no reason to take the other: that would answer too, but
    with another start, another speed and another size than the pod was given room for.

    Args:
        opened: What to load from; may be closed afterwards.
        model: Name of a bare file's model, which has no manifest to tell it.
        version: The same for its version.

    Raises:
        PolicyRefused: The policy wants a digest.
        TrainedWithOther: It was trained with another scikit-learn.
        ModuleMissing: It needs a module that is not installed.
        LoadFailed: It cannot be loaded.
        ArtifactIncomplete, DigestMismatch, PathRefused: Its file is not what the manifest says.
    """
    manifest = opened.manifest
    if manifest is None:
        return _load_bare(opened, model or UNNAMED, version or UNVERSIONED)
    entry = manifest.runtimes[0]
    if isinstance(entry, manifests.OnnxRuntime):
        return Loaded(manifest, load_onnx(opened, manifest, entry), opened.digest, opened.path)
    runtime = load_sklearn(opened, manifest, entry)
    datatypes = {column.datatype for column in manifest.inputs}
    if len(datatypes) == 1 and Datatype.BYTES not in datatypes:
        runtime.take_blocks()
    return Loaded(manifest, runtime, opened.digest, opened.path)


def load_onnx(opened: OpenArtifact, manifest: manifests.Manifest, entry: manifests.OnnxRuntime) -> Runtime:
    """The compiled model of an artifact. Raises as `load`."""
    from modelroll_server.runtimes.onnx import OnnxRuntime

    with opened.reading(entry.file) as file:
        return OnnxRuntime.of(manifest, file.read())


def load_sklearn(
    opened: OpenArtifact, manifest: manifests.Manifest, entry: manifests.SklearnRuntime
) -> scikit.SklearnRuntime:
    """What scikit-learn trained. Raises as `load`."""
    opened.require_trust(entry.format)
    requirements.check(entry.requires)
    with opened.reading(entry.file) as file:
        estimator = files.load_estimator(file, entry.format, entry.skops_types)
    return scikit.SklearnRuntime(estimator, call=manifest.call, label=manifest.label)


def _load_bare(opened: OpenArtifact, model: str, version: str) -> Loaded:
    name = opened.path.name
    file_format = files.format_of(name)
    opened.require_trust(file_format)
    with opened.reading(name) as file:
        estimator = files.load_estimator(file, file_format)
    created = opened.modified.strftime("%Y-%m-%dT%H:%M:%SZ")
    manifest, runtime = bare.describe(estimator, model=model, version=version, created=created, file=name)
    return Loaded(manifest, runtime, opened.digest, opened.path)
