"""Whether callers of one version can go on calling another: a pure comparison of two manifests."""

from collections.abc import Iterator, Sequence
from typing import Any

from modelroll_server import errors
from modelroll_server.artifact.manifest import Manifest, Output
from modelroll_server.schema import Input
from modelroll_server.tensors import Datatype


def check_same_columns(candidate: Manifest, live: Manifest) -> None:
    """Refuse a candidate that cannot be given the rows of the live version: they are read once, for both.

    Raises:
        errors.SchemaChanged: the columns differ in name, datatype or order; or the task does.
    """
    before, after = ([(one.name, one.datatype) for one in each.inputs] for each in (live, candidate))
    if before != after or candidate.task != live.task:
        sentence = f"a candidate beside {live.version} has to have its inputs in their order, and its task"
        expected, found = ([name for name, _ in each] for each in (before, after))
        raise errors.SchemaChanged(sentence, expected=expected, found=found)


def has_other_rules(candidate: Manifest, live: Manifest) -> bool:
    """Whether a value that one takes may be refused, or read otherwise, by the other."""
    before, after = (
        [(one.missing, one.infinite, one.max_abs, one.unknown, one.categories) for one in each.inputs]
        for each in (live, candidate)
    )
    return before != after


def check(candidate: Manifest, baseline: Manifest) -> None:
    """Refuse a candidate that would refuse the requests that the baseline answers, or answer other kinds of things.

    Raises:
        errors.SchemaChanged: an input is gone, new (callers do not send it), retyped or takes less, an output is gone
            or of another kind or shape, or the task or the classes differ: labels, and the order of probabilities.
    """
    before = {column.name: str(column.datatype) for column in baseline.inputs}
    after = {column.name: str(column.datatype) for column in candidate.inputs}
    changes = [f"{name} is gone" for name in before if name not in after]
    changes += [f"{name} is new" for name in after if name not in before]
    changes += [
        f"{name} was {datatype} and is {after[name]}"
        for name, datatype in before.items()
        if name in after and after[name] != datatype and Datatype.ANY not in {datatype, after[name]}
    ]
    narrower = {column.name: column for column in candidate.inputs}
    for column in baseline.inputs:
        changes += _narrowed(column, narrower.get(column.name, column))
    if candidate.task != baseline.task:
        changes.append(f"the task was {baseline.task} and is {candidate.task}")
    elif candidate.classes != baseline.classes:
        changes.append(f"the classes were {_listed(baseline.classes)} and are {_listed(candidate.classes)}")
    if candidate.outputs:  # a bare file lists none
        changes += _answered_otherwise(baseline.outputs, candidate.outputs)
    if changes:
        sentence = f"the schema is not the one of {baseline.version}: {'; '.join(changes[:10])}"
        raise errors.SchemaChanged(sentence, expected=before, found=after)


def _narrowed(before: Input, after: Input) -> Iterator[str]:
    """What callers may send of a column, and may no more.

    Not its largest magnitude: a forest takes 3e38 where a regression takes 1e308, and nobody sends either.
    """
    if before.missing != "refuse" and after.missing == "refuse":
        yield f"{after.name} may not be null any more"
    if before.infinite and not after.infinite:
        yield f"{after.name} may not be infinite any more"
    if after.unknown == "accept":
        return
    if before.unknown == "accept":
        yield f"{after.name} takes nothing but {_listed(after.categories)} now"
        return
    lost = [value for value in before.categories or () if value not in (after.categories or ())]
    if lost:
        yield f"{after.name} does not take {_listed(lost)} any more"


def _answered_otherwise(before: Sequence[Output], after: Sequence[Output]) -> Iterator[str]:
    """What answers had, and have no more or in another form.

    FP32 or FP64 is all the same: callers get decimals of either. An integer is not: 1 where 0.7 may be is a label.
    """
    found = {one.name: one for one in after}
    for one in before:
        other = found.get(one.name)
        if other is None:
            yield f"the output {one.name} is gone"
        elif (_kind(one), one.shape[1:]) != (_kind(other), other.shape[1:]):
            was, now = (f"{each.datatype} {each.shape}" for each in (one, other))
            yield f"the output {one.name} was {was} and is {now}"


def _kind(output: Output) -> Datatype:
    return Datatype.FP64 if output.datatype is Datatype.FP32 else output.datatype


def _listed(values: Sequence[Any] | None) -> str:
    if values is None:
        return "none"
    return ", ".join(map(repr, values[:10])) + (", …" if len(values) > 10 else "")
