"""What to do next with a version: the flags of `helm install`, and the ModelVersion to apply."""

import re

from modelroll_server.artifact.manifest import Manifest

NO_IMAGE = (
    "It names no image, and modelroll's are where you pushed them: add --set image.repository=…\n"
    "and --set operator.image.repository=…, or set MODELROLL_IMAGE, by which they are named here."
)


def helm_flags(manifest: Manifest, digest: str, *, claim: str = "CLAIM", image: str | None = None) -> str:
    """The command that installs a server with this version.

    Args:
        manifest: The version's.
        digest: Of its manifest.
        claim: Where the version lies.
        image: The server's; None: as the chart has it.
    """
    release = release_name(manifest.model)
    named = "" if release == manifest.model else f" --set model.name={manifest.model}"
    return (
        f"helm install {release} charts/modelroll --set persistence.existingClaim={claim} \\\n"
        f"  --set model.path={volume_path(manifest)} --set model.digest={digest}{named}{_image_flags(image)}"
    )


def _image_flags(image: str | None) -> str:
    """Flags of the server's image, and of the operator's where it is named as the README has the two."""
    if image is None:
        return ""
    name, _, digest = image.partition("@")
    # A colon before the last slash is of the registry's port.
    repository, tag = name.rpartition(":")[::2] if ":" in name.rpartition("/")[2] else (name, "")
    flags = f" \\\n  --set image.repository={repository}"
    if digest:
        flags += f" --set image.digest={digest}"
    elif tag:
        flags += f" --set image.tag={tag}"
    if not repository.endswith("modelroll-server"):
        return flags
    operator = f"{repository.removesuffix('server')}operator"
    flags += f" \\\n  --set operator.image.repository={operator}"
    return flags if digest or not tag else f"{flags} --set operator.image.tag={tag}"


def model_version(manifest: Manifest, digest: str) -> str:
    """The ModelVersion that rolls this version out, as YAML."""
    return f"""\
apiVersion: modelroll.dev/v1alpha1
kind: ModelVersion
metadata:
  name: {object_name(f"{manifest.model}-{manifest.version}")}
spec:
  model: "{manifest.model}"
  version: "{manifest.version}"
  path: "{volume_path(manifest)}"
  digest: "{digest}"
  strategy:
    type: RollingUpdate
"""


def volume_path(manifest: Manifest) -> str:
    """Where `push` puts a version, relative to the volume's root."""
    return f"{manifest.model}/{manifest.version}"


def release_name(model: str) -> str:
    """The nearest name that the chart takes for a release: it names a Service, so a letter comes first."""
    name = re.sub(r"[^a-z0-9-]", "-", model.lower())
    return (name if name[0].isalpha() else f"model-{name}")[:53].rstrip("-")


def object_name(text: str) -> str:
    """The nearest name that Kubernetes takes for an object."""
    return re.sub(r"[^a-z0-9.-]", "-", text.lower())
