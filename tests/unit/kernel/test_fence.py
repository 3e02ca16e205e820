"""What a host stops by itself: commands for whose answer nobody waits any more."""

import asyncio

import msgspec
import pytest

from pileus.kernel.agent.fence import Fence
from pileus.kernel.bus.base import NOBODY, Answer, Caller, Envelope, answer_failed
from pileus.kernel.errors import Conflict, Unavailable


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


class Failing:
    """A command that fails each time it is carried out."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.times = 0

    async def __call__(self) -> Answer:
        self.times += 1
        return answer_failed("1", self.error)


@pytest.mark.parametrize(
    ("error", "final", "times"),
    [
        (Conflict("no"), True, 1),
        (RuntimeError("no"), True, 1),
        (Unavailable("later"), True, 2),
        (Conflict("no"), False, 2),
    ],
    ids=["a refusal", "a defect", "what may pass", "a step that is tried again"],
)
async def test_a_refusal_that_ends_a_step_is_the_answer_to_its_repeats_too(error: Exception, final: bool, times: int):
    fence, failing = Fence(), Failing(error)
    caller = Caller("operation", "server/1", "guest", 1, expires_at=fence.now() + 9, final=final)

    answers = [await fence.admit(command(caller), failing) for _ in range(2)]

    assert {answer.message.removeprefix("RuntimeError: ") for answer in answers} == {str(error)}
    assert failing.times == times
    again = msgspec.structs.replace(caller, epoch=2)
    await fence.admit(command(again), failing)
    assert failing.times == times + 1, "who takes the operation over may try it again"
