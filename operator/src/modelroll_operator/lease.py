"""The Lease that makes this operator the only one that writes in its namespace.

Time is this process's own monotonic clock: a holder is taken for gone when its renewals have not been seen to change
for the Lease's duration, whatever anybody's wall clock says. Losing the Lease ends the process.
"""

import asyncio
import time
from datetime import UTC, datetime

import structlog

from modelroll_operator.api import Api, ApiError, Json

NAME = "modelroll-operator"  # one for all releases of a namespace: the Role allows no other
GROUP = "coordination.k8s.io/v1"
DURATION = 15  # seconds after which a holder that did not renew is taken for gone
RENEW_EVERY = 4.0
RENEW_WITHIN = 10.0  # seconds without a renewal after which the holder itself gives up: before anybody takes over
TRY_EVERY = 1.0
STAND_BY = 2.0  # seconds between two looks at somebody else's
TIMEOUT = 3.0  # one call; shorter than RENEW_WITHIN, so that a hanging API server leaves time to try again

_log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Somebody else may be writing now."""


class Lease:
    """One Lease, held or waited for."""

    def __init__(self, api: Api, identity: str) -> None:
        self._api = api
        self._identity = identity
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self._renewed = 0.0

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        said = ""
        while True:
            try:
                holder = await self._try_to_hold()
            except ApiError as error:
                holder = str(error)
            if not holder:
                _log.info("holding the lease", name=NAME)
                return
            if holder != said:
                _log.info("standing by", name=NAME, holder=holder)
                said = holder
            await asyncio.sleep(STAND_BY)

    async def keep(self) -> None:
        """Renew until that fails for too long.

        Raises:
            LeaseLost: It is somebody else's, or could not be renewed in time.
        """
        while True:
            await asyncio.sleep(RENEW_EVERY)
            left = self._renewed + RENEW_WITHIN - time.monotonic()
            try:
                # Whatever a call is waiting for, it is given up in time: nobody takes over before DURATION.
                async with asyncio.timeout(left):
                    holder = await self._renew()
            except TimeoutError as error:
                raise LeaseLost(f"not renewed for {RENEW_WITHIN:.0f} s") from error
            if holder:
                raise LeaseLost(f"held by {holder}")

    async def _renew(self) -> str:
        """Try until the API server answers; who holds it, empty when it is still ours."""
        while True:
            try:
                return await self._try_to_hold()
            except ApiError as error:
                _log.warning("lease not renewed", error=str(error))
            await asyncio.sleep(TRY_EVERY)

    async def release(self) -> None:
        """Let the next one have it at once."""
        try:
            lease = await self._read()
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                await self._write(lease)
        except ApiError as error:  # it runs out by itself
            _log.info("lease not released", error=str(error))

    async def _try_to_hold(self) -> str:
        """Take or renew; empty when it is ours, else who holds it."""
        began = time.monotonic()
        lease = await self._read()
        if lease is None:
            lease = {"metadata": {"name": NAME}, "spec": {"leaseTransitions": 0}}
        spec = lease["spec"]
        holder = spec.get("holderIdentity") or ""
        if holder not in {"", self._identity} and not self._has_run_out(holder, spec.get("renewTime") or ""):
            return holder
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if holder != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", 0) + 1
        spec |= {"holderIdentity": self._identity, "renewTime": now, "leaseDurationSeconds": DURATION}
        await self._write(lease)
        self._renewed = began
        return ""

    def _has_run_out(self, holder: str, renewed: str) -> bool:
        if self._seen != (holder, renewed):
            self._seen = (holder, renewed)
            self._seen_at = time.monotonic()
        return time.monotonic() - self._seen_at > DURATION

    async def _read(self) -> Json | None:
        try:
            answer = await self._api.call("GET", self._api.group(GROUP, "leases", NAME), timeout=TIMEOUT)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return answer.body

    async def _write(self, lease: Json) -> None:
        body = {"apiVersion": GROUP, "kind": "Lease", **lease}
        if "resourceVersion" in lease["metadata"]:
            await self._api.call("PUT", self._api.group(GROUP, "leases", NAME), body, timeout=TIMEOUT)
        else:
            await self._api.call("POST", self._api.group(GROUP, "leases"), body, timeout=TIMEOUT)
