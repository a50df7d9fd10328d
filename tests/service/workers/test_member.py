"""A worker as its parent sees it: a real process, and a channel whose other end is the test's."""

import asyncio
import socket
import sys

from modelroll_server.registry.record import Served
from modelroll_server.registry.target import Content, Target
from modelroll_server.workers.member import Member, News
from modelroll_server.workers.messages import Channel, Load, Loaded, Report

WANT = Target("move", 9, Content("2.0.0", "churn/2.0.0"))


def _loaded(number: str) -> Loaded:
    return Loaded(Served(Content(number, f"churn/{number}"), "churn", number, "sha256:0", "stand-in", 0.1))


async def test_an_answer_that_came_as_its_question_was_given_up_is_not_waited_for() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    here, there = socket.socketpair()
    worker = Channel(*await asyncio.open_unix_connection(sock=there))
    asking: list[asyncio.Task[Served]] = []

    def hear(_: News) -> None:
        """In the same turn of the loop as the answer before it, to which nobody has woken yet."""
        asking[0].cancel()

    member = Member(0, process, Channel(*await asyncio.open_unix_connection(sock=here)), hear)
    listening = asyncio.create_task(member.run())
    try:
        async with asyncio.timeout(60):
            greeted = asyncio.create_task(member.greeted())
            worker.send(_loaded("0.0.0"))  # any first word
            await greeted
            asking.append(asyncio.create_task(member.load(WANT, None)))
            assert isinstance(await worker.order(), Load)
            worker.send(_loaded("1.0.0"), Report(0, 0, []))
            await asyncio.wait(asking)
            assert asking[0].cancelled()
            again = asyncio.create_task(member.load(WANT, None))
            assert isinstance(await worker.order(), Load)
            worker.send(_loaded("2.0.0"))
            assert (await again).number == "2.0.0"
    finally:
        member.kill()
        await worker.close()
        await listening
