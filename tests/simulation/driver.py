"""The operator in the simulated cluster, one turn at a time, and the laws that hold at every instant.

Owns how a step is carried out, where the operator may be killed, and what must never be seen.
"""

from collections.abc import Callable
from dataclasses import replace

from modelroll_operator import liverule, rollout, steps
from modelroll_operator.observed import ModelVersion, Observed
from modelroll_operator.plan import plan
from modelroll_operator.report import report
from simulation.cluster import Cluster

ROUNDS = 600
IDLE = 10.0  # seconds that pass when nothing else does


class Killed(Exception):
    """The operator died here."""


class Driver:
    """Runs an operator on a cluster.

    Attributes:
        effects: How many writes it has made.
        last: The step planned last.
        lost: Whether the ConfigMap was lost since the last convergence: nobody can say what was legal.
    """

    def __init__(self, cluster: Cluster, failing: frozenset[str]) -> None:
        self.cluster = cluster
        self.effects = 0
        self.last: steps.Step = steps.Nothing()
        self.lost = False
        self.kill_at: int | None = None
        self.kill_after_write = False
        self._failing = failing
        self._closing = False

    # --- one thing after the other ---

    def turn(self) -> bool:
        """One turn of the operator, which may be killed in it; whether anything was written."""
        seen = self.cluster.observe()
        try:
            return self._turn(seen)
        except Killed:
            self._closing = False
            return True
        finally:
            self.check()

    def _turn(self, seen: Observed) -> bool:
        self.last = step = plan(seen)
        wrote = self._report(seen)
        if isinstance(step, steps.Close) and not self._closing:
            self._closing = True
            self.cluster.tick(1)
            return True
        self._closing = False
        return self.carry_out(step, seen) or wrote

    def carry_out(self, step: steps.Step, seen: Observed) -> bool:
        """Do a step, unless what it was planned on has changed; whether it was done."""
        match step:
            case steps.Save(state, _) | steps.Close(state):
                return self._save(state, seen)
            case steps.ApplyTemplate(annotation):
                if seen.deployment.resource_version == str(self.cluster.writes["deployment"]):
                    self._effect(lambda: self.cluster.set_template(annotation))
            case steps.MovePods(pods, annotation):
                for name in (pod.name for pod in pods):
                    self._effect(lambda name=name: self._move(name, annotation))  # type: ignore[misc]
            case steps.RecordFailure(version, attempt):
                self._effect(lambda: self._write_status(version, replace(version, attempt=attempt)))
            case steps.Nothing() | steps.Wait():
                return False
        return True

    def _save(self, state: rollout.State, seen: Observed) -> bool:
        current = None if self.cluster.data is None else rollout.read(self.cluster.data)
        if current != seen.state:
            return False  # another was quicker

        def write() -> None:
            self.cluster.data = state.data()
            self.cluster.writes["config"] += 1

        self._check_growth(current, state)
        self._effect(write)
        return True

    def _move(self, name: str, annotation: str) -> None:
        for pod in self.cluster.pods:
            if pod.name == name:
                pod.move = annotation

    def _report(self, seen: Observed) -> bool:
        wrote = False
        for version in seen.versions:
            said = report(seen, version)
            live = any(one.type == "Live" and one.status == "True" for one in said.conditions)
            after = replace(version, live=live)
            if after != version:
                self._effect(lambda old=version, new=after: self._write_status(old, new))  # type: ignore[misc]
                wrote = True
        return wrote

    def _write_status(self, old: ModelVersion, new: ModelVersion) -> None:
        if self.cluster.versions.get(old.version) == old:
            self.cluster.versions[old.version] = new

    def _effect(self, write: Callable[[], None]) -> None:
        self.effects += 1
        dies = self.effects == self.kill_at
        if dies and not self.kill_after_write:
            raise Killed
        write()
        self.check()
        if dies:
            raise Killed

    def step(self, choice: int) -> None:
        """Let one of operator, controllers, clock and pods go on; `choice` says which."""
        self._step(choice)

    def _step(self, choice: int) -> bool:
        before = self.cluster.ready
        if choice == 0:
            changed = self.turn()
        elif choice == 1:
            changed = self.cluster.step_controllers()
        elif choice == 2:
            self.cluster.tick(1)
            changed = False
        else:
            changed = self.cluster.step_pod(choice - 3)
        floor = min(before, self.cluster.floor, self.cluster.desired)
        assert self.cluster.ready >= floor, "a Ready pod was lost"
        self.check()
        return changed

    def idle(self) -> None:
        """Let everything but the operator go on until nothing changes."""
        for _ in range(ROUNDS):
            if not self._round(operator=False):
                return
        raise AssertionError("the cluster never comes to rest")

    def converge(self) -> None:
        """Let everything go on, in turns, until the operator has nothing left to do."""
        for _ in range(ROUNDS):
            changed = self._round(operator=True)
            if not changed:
                if isinstance(self.last, steps.Nothing):
                    self._check_end()
                    self.lost = False
                    return
                self.cluster.tick(IDLE)
        raise AssertionError(f"no end is reached: {self.last}")

    def _round(self, *, operator: bool) -> bool:
        changed = operator and self._step(0)
        changed = self._step(1) or changed
        for index in reversed(range(len(self.cluster.pods))):
            changed = self._step(3 + index) or changed
        return changed

    # --- what holds ---

    def check(self) -> None:
        """What holds at every instant."""
        state = self.cluster.state
        legal = {state.content}
        if state.rollout is not None:
            legal |= {state.rollout.to, state.rollout.previous}
        answering = self.cluster.answering()
        assert self.lost or answering <= legal, f"{answering} answer, {legal} may"
        assert not any(content.version in self._failing for content in answering), "a bad version answers"
        for revision, contents in self.cluster.seen.items():
            assert self.lost or len(contents) == 1, f"revision {revision} was {contents}"

    def _check_growth(self, old: rollout.State | None, new: rollout.State) -> None:
        if old is None:
            return
        assert new.memory.counter >= old.memory.counter, "the counter went back"
        if old.settled is not None:
            assert new.settled is not None
            assert new.settled.revision >= old.settled.revision, "what is settled went back"

    def _check_end(self) -> None:
        """What holds in the end: all pods serve what is settled, and nothing is ever done again."""
        cluster = self.cluster
        state = cluster.state
        live = liverule.choose(cluster.observe()).live
        if live is not None and not live.paused and not cluster.paused:
            assert state.content == live.content
        assert cluster.answering() <= {state.content}
        assert cluster.paused or cluster.ready == cluster.desired == len(cluster.active)
        effects = self.effects
        for _ in range(3):
            cluster.tick(400)
            assert isinstance(plan(cluster.observe()), steps.Nothing)
            self._round(operator=True)
        assert self.effects == effects, "something is written after all is done"
