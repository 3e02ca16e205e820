"""What a host stops by itself: commands for whose answer nobody waits any more."""

import asyncio

import msgspec
import pytest

from pileus.kernel.agent.fence import Fence
from pileus.kernel.bus.base import NOBODY, Answer, Caller, Envelope
from pileus.kernel.errors import Unavailable


def command(caller: Caller) -> Envelope:
    return Envelope("1", "EnsureThing", msgspec.Raw(b"\xc0"), caller)


class Hanging:
    """A command that never ends by itself."""

    stopped = False

    async def __call__(self) -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped = True
        raise AssertionError


async def test_what_no_operation_repeats_is_stopped_when_its_sender_has_given_up():
    fence, hanging = Fence(), Hanging()

    with pytest.raises(Unavailable, match="was stopped"):
        await fence.admit(command(msgspec.structs.replace(NOBODY, expires_at=fence.now() + 0.05)), hanging)

    assert hanging.stopped


async def test_a_step_goes_on_as_long_as_it_is_repeated_and_is_stopped_when_it_is_forgotten(monkeypatch):
    monkeypatch.setattr("pileus.kernel.agent.fence.FORGOTTEN_AFTER_S", 0.1)
    fence, hanging = Fence(), Hanging()
    caller = Caller("operation", "server/1", "guest", 1, expires_at=fence.now() + 0.1)
    first = asyncio.ensure_future(fence.admit(command(caller), hanging))
    await asyncio.sleep(0.01)
    repeat = command(msgspec.structs.replace(caller, expires_at=fence.now() + 0.8))
    second = asyncio.ensure_future(fence.admit(repeat, hanging))
    await asyncio.sleep(0.4)
    assert not hanging.stopped, "somebody has asked for it again"

    ended, _ = await asyncio.wait((first, second), timeout=10)

    assert hanging.stopped
    assert ended == {first, second}
