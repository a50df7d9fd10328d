"""Traces of rollouts: every step that is taken is part of one, whichever operator took it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
import structlog
from structlog.testing import capture_logs

import collector
from collector import Collector
from modelroll_operator import spans, steps
from modelroll_operator.actor import Actor
from modelroll_operator.api import Api, ApiError
from modelroll_operator.carry_out import Hands
from modelroll_operator.metrics import Metrics
from modelroll_operator.observe import Observer, Snapshot
from modelroll_operator.observed import Attempt, Deployment, Observed
from modelroll_operator.plan import plan
from modelroll_operator.reminding import Reminder
from modelroll_operator.rollout import Phase, Rollout
from modelroll_operator.status import StatusWriter
from modelroll_operator.telemetry import traces as tracing
from modelroll_operator.telemetry.traces import Traces
from simulation import values

CONTENT = values.content("1.0.0")
VERSIONS = (values.model_version("1.0.0"), values.model_version("2.0.0"))


@pytest.fixture
def sent() -> Iterator[Collector]:
    with collector.collecting() as found:
        yield found


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, sent: Collector) -> Iterator[Callable[..., Traces]]:
    """Makes traces that go to the collector, as those of an operator that starts; they are closed in the end."""
    with contextlib.ExitStack() as stack:

        def connect(metrics: Metrics | None = None, **more: str) -> Traces:
            environment = {**sent.environment, **more}
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            found = tracing.from_environment(environment, (metrics or Metrics()).spans)
            assert found is not None
            stack.callback(found.close)
            return found

        yield connect


def begun() -> tuple[steps.Save, Rollout, Observed]:
    seen = values.observed(VERSIONS, values.settled_at("1.0.0", 7), values.pods_serving(CONTENT, 7))
    step = plan(seen)
    assert isinstance(step, steps.Save)
    assert step.state.rollout is not None
    return step, step.state.rollout, seen


def ending(rollout: Rollout, phase: Phase, attempt: Attempt | None = None) -> tuple[steps.Close, Observed]:
    state = values.settled_at("2.0.0", 8, rollout=msgspec.structs.replace(rollout, phase=phase))
    versions = (VERSIONS[0], values.model_version("2.0.0", live=True, attempt=attempt))
    closed = msgspec.structs.replace(state.memory, rollout=None)
    return steps.Close(msgspec.structs.replace(state, memory=closed)), values.observed(versions, state)


def test_the_steps_of_a_rollout_are_one_trace_also_when_another_operator_goes_on(
    connect: Callable[..., Traces], sent: Collector
) -> None:
    step, rollout, seen = begun()
    metrics = Metrics()
    first, second = connect(metrics), connect(metrics)
    with spans.step(first, step, seen):
        assert structlog.contextvars.get_contextvars().keys() == {"trace_id"}, "it is said in every line of the log"
    assert structlog.contextvars.get_contextvars() == {}
    template = steps.ApplyTemplate(rollout.annotation)
    with pytest.raises(ApiError), spans.step(first, template, values.observed(VERSIONS, step.state)):
        raise ApiError(503, "no etcd")
    close, last = ending(rollout, "settled")
    with spans.step(second, close, last):
        pass
    spans.ended(second, close, last)
    first.close()
    second.close()

    (whole,) = sent.named("rollout")
    assert (whole.parent, whole.failed) == ("", False)
    assert whole.began == int(rollout.began.timestamp() * 1e9)
    assert whole.attributes["modelroll.outcome"] == "succeeded"
    assert sent.children(whole).keys() == {"Save begin", "ApplyTemplate", "Close"}
    assert {span.trace for span in sent.spans} == {whole.trace}
    assert [span.name for span in sent.spans if span.failed] == ["ApplyTemplate"]
    (save,) = sent.named("Save begin")
    assert save.attributes == {
        "modelroll.step": "Save",
        "modelroll.why": "begin",
        "modelroll.deployment": "churn",
        "modelroll.model": "churn",
        "modelroll.modelversion": "churn-2.0.0",
        "modelroll.version": "2.0.0",
        "modelroll.strategy": "RollingUpdate",
        "modelroll.revision": rollout.revision,
    }
    assert save.resource["service.name"] == "modelroll-operator"
    count = metrics.registry.get_sample_value("modelroll_operator_trace_spans_total", {"outcome": "sent"})
    assert count == len(sent.spans) == 4


@pytest.mark.parametrize(
    ("outcome", "said"),
    [("Failed", ("failed", True)), (None, ("called off", False)), ("Succeeded", ("called off", False))],
)
def test_a_rollout_that_is_undone_says_why(
    connect: Callable[..., Traces], sent: Collector, outcome: str | None, said: tuple[str, bool]
) -> None:
    _, rollout, _ = begun()
    attempt = None if outcome is None else Attempt(rollout.key, outcome, "GoldenRowsDiffer", "row 0")
    traces = connect()
    spans.ended(traces, *ending(rollout, "aborting", attempt))
    traces.close()
    (whole,) = sent.named("rollout")
    assert (whole.attributes["modelroll.outcome"], whole.failed) == said


def test_all_of_a_rollout_is_sampled_or_nothing(connect: Callable[..., Traces], sent: Collector) -> None:
    step, rollout, seen = begun()
    traces = connect(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5")
    for number in range(40):
        one = msgspec.structs.replace(rollout, id=f"{number}")
        taken = steps.Save(step.state.with_rollout(one), "begin")
        with spans.step(traces, taken, seen):
            pass
        spans.ended(traces, *ending(one, "settled"))
    traces.close()
    by_trace = {span.trace: sent.children(span).keys() for span in sent.named("rollout")}
    assert 5 < len(by_trace) < 35
    assert all(children == {"Save begin"} for children in by_trace.values())
    assert len(sent.spans) == 2 * len(by_trace)


class Once(Observer):
    """Sees a rollout that has to begin, and then that the Deployment is gone."""

    def __init__(self, seen: Observed) -> None:
        self.seen: list[Observed] = [seen]

    async def snapshot(self, name: str) -> Snapshot | None:
        del name
        if not self.seen:
            return None
        seen = self.seen.pop()
        return Snapshot(seen, None, {one.uid: {"name": one.name} for one in seen.versions})


class Idle(Hands):
    """Says that it did what it was told, and keeps what every line of the log had meanwhile."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    async def carry_out(self, step: steps.Step, snapshot: Snapshot) -> bool:
        del step, snapshot
        self.said.append(structlog.contextvars.get_contextvars())
        return True


class Nobody(Api):
    """Is never called."""

    def __init__(self) -> None:
        pass


class Silent(StatusWriter):
    """Says nothing to anybody."""

    def __init__(self) -> None:
        pass

    async def write(self, *_: Any) -> bool:
        return False

    async def tell_unasked(self, deployment: Deployment, revision: int, message: str, now: datetime) -> None:
        pass


async def test_an_actor_tells_what_it_does_while_the_log_names_the_trace(
    connect: Callable[..., Traces], sent: Collector
) -> None:
    _, _, seen = begun()
    traces, metrics, hands = connect(), Metrics(), Idle()
    actor = Actor("churn", Once(seen), Silent(), hands, Reminder(Nobody()), metrics, traces)
    async with asyncio.timeout(60):
        await actor.run(lambda: None)
    traces.close()
    (span,) = sent.spans
    assert span.name == "Save begin"
    assert hands.said == [{"trace_id": span.trace}]


def test_without_a_collector_there_are_none_and_what_cannot_be_sent_is_said() -> None:
    with capture_logs() as lines:
        assert tracing.from_environment({"OTEL_SERVICE_NAME": "churn"}, Metrics().spans) is None
        off = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}
        assert tracing.from_environment(off, Metrics().spans) is None
        assert lines == []
        spoken = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        assert tracing.from_environment(spoken, Metrics().spans) is None
    assert "port 4318" in lines[0]["reason"]


def test_a_collector_that_is_gone_costs_spans_and_nothing_else(connect: Callable[..., Traces], sent: Collector) -> None:
    sent.hangs = True
    step, _, seen = begun()
    metrics = Metrics()
    traces = connect(
        metrics,
        OTEL_BSP_MAX_QUEUE_SIZE="4",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.5",
    )
    for _ in range(20):
        with spans.step(traces, step, seen):
            pass
    sent.released.set()
    dropped = metrics.registry.get_sample_value("modelroll_operator_trace_spans_total", {"outcome": "dropped"})
    assert dropped is not None
    assert dropped >= 20 - 4 - 2 * 2
