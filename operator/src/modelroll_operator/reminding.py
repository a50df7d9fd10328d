"""Asks pods again that have not heard what they were asked for: of changes that come together a kubelet may miss some.

A kubelet that hears of a pod's new annotation while it goes through its pods may write the old one into the pod's
volume, and then nothing before it next looks at the pod: after a minute or more. Any further change to the pod makes it
look at once. Owns when; forgets everything when the operator ends, which costs one change too many.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from modelroll_operator import names
from modelroll_operator.api import MERGE, Api, ApiError
from modelroll_operator.observed import Observed, Pod

FIRST = 0.2  # seconds after which a pod that was seen not to have heard is asked again
SOON = 3  # times that it is asked so soon: what kept it from hearing is over in a moment; then half as often each time
TIMES = 11  # a hundred seconds in all: by then its kubelet has looked by itself, and something else is the matter


@dataclass(slots=True)
class _Waiting:
    """One pod that has not heard.

    Attributes:
        revision: That it was asked for.
        due: When it is asked again, by the clock.
        count: How often it was.
    """

    revision: int
    due: float
    count: int = 0


class Reminder:
    """Of one Deployment's pods."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}

    async def remind(self, seen: Observed) -> float | None:
        """Ask those again whose time has come.

        Returns:
            Seconds until the next one's; None when nobody is to be asked again.

        Raises:
            ApiError: The API server refused or did not answer.
        """
        now = self._clock()
        present = (pod for pod in seen.pods if pod.status is not None and not pod.terminating)
        deaf = {pod.uid: pod for pod in present if not pod.has_heard}
        for uid in self._waiting.keys() - deaf.keys():
            del self._waiting[uid]
        for uid, pod in deaf.items():
            known = self._waiting.get(uid)
            if known is None or known.revision != pod.told:
                self._waiting[uid] = _Waiting(pod.told, now + FIRST)
        due = [(pod, self._waiting[uid]) for uid, pod in deaf.items() if self._waiting[uid].due <= now]
        await asyncio.gather(*(self._ask_again(pod, waiting) for pod, waiting in due))
        return min((one.due - now for one in self._waiting.values() if one.count < TIMES), default=None)

    async def _ask_again(self, pod: Pod, waiting: _Waiting) -> None:
        waiting.count += 1
        pause = FIRST * 2.0 ** max(0, waiting.count - SOON + 1)
        waiting.due = self._clock() + pause if waiting.count < TIMES else math.inf
        said = f"{waiting.revision}/{waiting.count}"
        body = {"metadata": {"uid": pod.uid, "annotations": {names.REMINDER_ANNOTATION: said}}}
        try:
            await self._api.call("PATCH", self._api.core("pods", pod.name), body, content_type=MERGE)
        except ApiError as error:
            if error.status not in {404, 409}:  # gone, or another pod of that name
                raise
