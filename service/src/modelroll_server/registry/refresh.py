"""MODEL_PATH read again when somebody asks, for use without an operator.

Owns the waiting for the outcome. Loading, the gates and the swap are the watcher's, as for any other target: what is
live goes on answering until the new version has passed, and if it does not pass.
"""

import asyncio
import time

from modelroll_server import errors
from modelroll_server.registry.record import Record
from modelroll_server.registry.sources import Directory, Files

LOOK_EVERY = 0.05  # seconds between two looks at whether it is live


class Refresh:
    """Looks again at one source, for the record of one server."""

    def __init__(self, source: Files | Directory, record: Record) -> None:
        self._source = source
        self._record = record

    async def __call__(self, deadline: float) -> None:
        """Look again, and return when what was found is live; that it is already is no fault.

        Args:
            deadline: On the clock of `time.monotonic`.

        Raises:
            errors.InvalidRequest: it did not pass its gates; or files say what is served here, not MODEL_PATH.
            errors.DeadlineExceeded: it is not live by then. It may be later.
        """
        try:
            want = await self._source.look_again()
        except errors.LoadError as error:
            raise errors.InvalidRequest(f"not loaded: {error.reason}: {error.message}") from error
        if want is None:
            raise errors.InvalidRequest("what is served here is said by the files of TARGET_DIR, not by a request")
        while time.monotonic() < deadline:
            live = self._record.position()
            if live is not None and live.revision >= want.revision:
                return
            failure = self._record.status()["failure"]
            if failure is not None and failure["revision"] == want.revision:
                raise errors.InvalidRequest(f"not loaded: {failure['reason']}: {failure['message']}")
            await asyncio.sleep(LOOK_EVERY)
        raise errors.DeadlineExceeded("the deadline passed while the model was being loaded")
