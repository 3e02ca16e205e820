"""Which commands a host refuses or joins.

Three rules keep a late command from undoing what came after it, without a journal on the host:

* a command expires before its sender's lease does, so whoever lost the lease (and may be about to wake from a long
  pause) can start nothing here any more, also after this agent was restarted and remembers nothing;
* of one operation, a lower epoch than the highest seen is refused: unwinding raises the epoch, so a command that was
  on its way when the operation turned back comes to nothing;
* when a higher epoch arrives, what still runs for a lower one on the same resource is stopped first.

A repeat of a step joins the first while it runs and is given the same answer afterwards, also when that is a refusal
which ends the step: the repeat may come when its operation has failed and others have gone on.  A command that nobody
waits for any more is stopped, so that one that hangs does not hold for ever what others need.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pileus.kernel import clock
from pileus.kernel.bus.base import Answer, Envelope, StaleEpoch, may_pass
from pileus.kernel.errors import Unavailable

REMEMBERED = 4096
"""Operations and answers a host remembers; the oldest are forgotten first."""
STOPPING_S = 20.0
"""How long a command that was overtaken may take to stop."""
FORGOTTEN_AFTER_S = 60.0
"""How long after its expiry a step's command goes on without being repeated: longer than its sender's pauses, and
than another worker takes to go on in its place."""


@dataclass(slots=True)
class _Running:
    epoch: int
    resource: str
    task: "asyncio.Task[Answer]"
    expires_at: float
    """When the last that asked for it ceases to wait."""
    watch: asyncio.TimerHandle | None = None


class Fence:
    """The memory of one agent process."""

    def __init__(self) -> None:
        self.now: Callable[[], float] = lambda: clock.now().timestamp()
        self._epochs: OrderedDict[str, int] = OrderedDict()
        self._answers: OrderedDict[tuple[str, str, int], Answer] = OrderedDict()
        self._running: dict[tuple[str, str], _Running] = {}

    async def admit(self, envelope: Envelope, run: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer to ``envelope``, running it unless it is stale, known or under way."""
        caller = envelope.caller
        if self.now() > caller.expires_at:
            raise Unavailable(f"command {envelope.command} arrived after it had expired")
        if not caller.operation:
            return await self._once(envelope, run)
        highest = self._epochs.get(caller.operation, 0)
        if caller.epoch < highest:
            raise StaleEpoch(f"operation {caller.operation} has gone on in epoch {highest}, not {caller.epoch}")
        _remember(self._epochs, caller.operation, caller.epoch)
        key = (caller.operation, caller.step)
        if (known := self._answers.get((*key, caller.epoch))) is not None:
            return known
        under_way = self._running.get(key)
        if under_way is None or under_way.task.done():
            await self._overtake(caller.resource, caller.operation, caller.epoch)
            under_way = self._running.get(key)
            if under_way is None:
                under_way = _Running(caller.epoch, caller.resource, asyncio.ensure_future(run()), caller.expires_at)
                self._running[key] = under_way
                under_way.task.add_done_callback(lambda _: self._ended(key))
                self._watch(under_way)
        under_way.expires_at = max(under_way.expires_at, caller.expires_at)
        answer = await asyncio.shield(under_way.task)
        if not answer.error or (caller.final and not may_pass(answer)):
            _remember(self._answers, (*key, caller.epoch), answer)
        return answer

    async def _once(self, envelope: Envelope, run: Callable[[], Awaitable[Answer]]) -> Answer:
        """Run what no operation repeats, for no longer than its sender waits."""
        left_s = envelope.caller.expires_at - self.now()
        try:
            async with asyncio.timeout(left_s):
                return await run()
        except TimeoutError as error:
            raise Unavailable(f"command {envelope.command} was stopped: it took more than {left_s:.0f} s") from error

    def _watch(self, running: _Running) -> None:
        """Stop a command once nobody has asked for it for a while."""
        if running.task.done():
            return
        left_s = running.expires_at + FORGOTTEN_AFTER_S - self.now()
        if left_s <= 0:
            running.task.cancel()
        else:
            running.watch = asyncio.get_running_loop().call_later(left_s, self._watch, running)

    def _ended(self, key: tuple[str, str]) -> None:
        running = self._running.pop(key, None)
        if running is not None and running.watch is not None:
            running.watch.cancel()

    async def stop(self) -> None:
        """Stop whatever runs."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _overtake(self, resource: str, operation: str, epoch: int) -> None:
        overtaken = [
            running.task
            for (other, _), running in self._running.items()
            if other == operation and running.epoch < epoch and running.resource == resource
        ]
        for task in overtaken:
            task.cancel()
        if overtaken:
            _, still = await asyncio.wait(overtaken, timeout=STOPPING_S)
            if still:
                raise Unavailable(f"an earlier command for {resource} does not stop")


def _remember(memory, key, value) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
