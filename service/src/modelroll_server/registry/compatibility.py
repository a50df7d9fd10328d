"""Whether callers of one version can go on calling another: a pure comparison of two manifests."""

from modelroll_server import errors
from modelroll_server.artifact.manifest import Manifest


def check(candidate: Manifest, baseline: Manifest) -> None:
    """Refuse a candidate that would refuse the requests that the baseline answers, or answer other kinds of things.

    Raises:
        errors.SchemaChanged: an input is gone, new (callers do not send it) or retyped; or the task differs.
    """
    before = {column.name: str(column.datatype) for column in baseline.inputs}
    after = {column.name: str(column.datatype) for column in candidate.inputs}
    changes = [f"{name} is gone" for name in before if name not in after]
    changes += [f"{name} is new" for name in after if name not in before]
    changes += [
        f"{name} was {datatype} and is {after[name]}"
        for name, datatype in before.items()
        if name in after and after[name] != datatype
    ]
    if candidate.task != baseline.task:
        changes.append(f"the task was {baseline.task} and is {candidate.task}")
    if changes:
        sentence = f"the schema is not the one of {baseline.version}: {'; '.join(changes[:10])}"
        raise errors.SchemaChanged(sentence, expected=before, found=after)
