"""What to do next with a version: the flags of `helm install`, and the ModelVersion to apply."""

import re

from modelroll_server.artifact.manifest import Manifest


def helm_flags(manifest: Manifest, digest: str, *, claim: str = "CLAIM") -> str:
    """The command that installs a server with this version."""
    release = release_name(manifest.model)
    named = "" if release == manifest.model else f" --set model.name={manifest.model}"
    return (
        f"helm install {release} charts/modelroll --set persistence.existingClaim={claim} \\\n"
        f"  --set model.path={volume_path(manifest)} --set model.digest={digest}{named}"
    )


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
