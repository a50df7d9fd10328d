"""What to do next with a version: the flags of `helm install`, and the ModelVersion to apply."""

import re

from modelroll_server.artifact.manifest import Manifest


def helm_flags(manifest: Manifest, digest: str, *, claim: str = "CLAIM") -> str:
    """The command that installs a server with this version."""
    return (
        f"helm install {object_name(manifest.model)} charts/modelroll --set persistence.existingClaim={claim} \\\n"
        f"  --set model.path={volume_path(manifest)} --set model.digest={digest}"
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


def object_name(text: str) -> str:
    """The nearest name that Kubernetes takes for an object."""
    return re.sub(r"[^a-z0-9.-]", "-", text.lower())
