"""Bugs planted on purpose, one at a time: whether the simulation finds what it is there to find.

Rule: a mutation takes one line of care away from the product, as a hurried change might; it never touches the
simulation itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any
from unittest.mock import patch

import msgspec
from sqlalchemy import text

from pileus.kernel import events, quota
from pileus.kernel.agent import fence
from pileus.kernel.agent.fence import Fence
from pileus.kernel.lifecycle import Lifecycle
from pileus.kernel.operations import Operation, claims, turns
from pileus.kernel.operations.journal import Journal
from pileus.simulation.plan import plan_of
from pileus.simulation.run import World

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutation:
    """One planted bug."""

    name: str
    says: str
    patches: Callable[[], list[Patch]]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug for as long as the context lasts."""
        planted = [patch.object(*one) for one in self.patches()]
        for one in planted:
            one.start()
        try:
            yield
        finally:
            for one in planted:
                one.stop()


class Found(msgspec.Struct):
    """How a mutation was found, in which seed, after how many; or not."""

    mutation: Mutation
    seed: int
    played: int
    violation: str | None


def find(world: World, mutation: Mutation, seeds: range) -> Found:
    """Play plain seeds, in order, with the bug until one fails that does not fail without it."""
    for seed in seeds:
        with mutation.planted():
            violation = world.run(plan_of(seed)).violation
        if violation is not None and world.run(plan_of(seed)).violation is None:
            return Found(mutation, seed, seed - seeds[0] + 1, violation)
    return Found(mutation, seeds[-1], len(seeds), None)


class _Forgetful(dict[Any, Any]):
    """A memory that keeps nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        return

    def move_to_end(self, key: Any) -> None:
        return


def _nothing(*_args: Any, **_options: Any) -> None:
    return None


def _service(module: str) -> Any:
    return import_module(f"pileus.services.{module}")


def _forget_epochs() -> list[Patch]:
    before = Fence.__init__

    def made(self: Any) -> None:
        before(self)
        self._epochs = _Forgetful()

    return [(Fence, "__init__", made)]


def _never_expire() -> list[Patch]:
    before = Fence.admit

    async def admit(self: Any, envelope: Any, run: Any) -> Any:
        clock = self.now

        def long_ago() -> float:
            self.now = clock
            return 0.0

        self.now = long_ago  # for the one question whether the command has expired
        return await before(self, envelope, run)

    return [(Fence, "admit", admit)]


def _no_undo(step: str) -> list[Patch]:
    before = Operation.command

    async def command(self: Any, name: str, host: str, told: Any, *, undo: Any = None, timeout_s: Any = None) -> Any:
        return await before(self, name, host, told, undo=None if name.endswith(step) else undo, timeout_s=timeout_s)

    return [(Operation, "command", command)]


def _drop_event(kind: str) -> list[Patch]:
    before = events.emit

    def emit(tx: Any, what: str, *args: Any, **more: Any) -> None:
        if what != kind:
            before(tx, what, *args, **more)

    return [(events, "emit", emit)]


def _unchecked_states() -> list[Patch]:
    before = Lifecycle.change
    return [(Lifecycle, "change", lambda self, tx, id, expected, values: before(self, tx, id, None, values))]


def _keep_way_back() -> list[Patch]:
    inventory = _service("compute.inventory")
    before = inventory.release

    def release(tx: Any, consumer: str) -> None:
        if not tx.scalar(text("select 1 from compute_migrations where uuid = :id"), {"id": consumer}):
            before(tx, consumer)

    return [(inventory, "release", release)]


def _mortal_consumers() -> list[Patch]:
    runtime = import_module("pileus.kernel.runtime")

    async def consume(of: Any) -> None:
        while True:
            seen = events.signals()
            await events.consume_once(of)
            await events.changed(10, seen)

    def once(self: Any, make: Any, name: str) -> Any:
        return self.spawn(make(), name)

    return [(runtime, "consume_forever", consume), (runtime.Runtime, "keep", once)]


def _lost_differences() -> list[Patch]:
    members = _service("network.store.members")
    before, seen = members.note, [0]

    def note(tx: Any, groups_of_ports: Any) -> bool:
        seen[0] += 1
        return seen[0] % 2 == 0 and before(tx, groups_of_ports)

    return [(members, "note", note), _no_net()]


def _no_net() -> Patch:
    """Have hosts not be told everything every ten minutes, which mends whatever difference was lost."""
    return (_service("network.reconcile"), "EVERYTHING_EVERY", timedelta(days=1))


def _keep_host() -> list[Patch]:
    store = _service("compute.store.servers")
    before = store.touch

    def touch(server: Any, **values: Any) -> None:
        if values != {"host": None}:
            before(server, **values)

    return [(store, "touch", touch)]


def _no_takeover() -> list[Patch]:
    before = claims.find_ready

    def find_ready(tx: Any, now: Any, dead: Any, limit: int) -> Any:
        held = text("select id from operations where lease_owner is not null")
        ids = {id for (id,) in tx.execute(held)}
        return [(id, epoch) for id, epoch in before(tx, now, dead, limit) if id not in ids]

    return [(claims, "find_ready", find_ready)]


def _no_turns() -> list[Patch]:
    return [(turns.InLine, "hinders", lambda self, part: False)]


def _silent_failure() -> list[Patch]:
    before = Journal.fail

    async def fail(self: Any, error: str, work: Any, args: Any) -> None:
        await before(self, error, None, ())

    return [(Journal, "fail", fail)]


def _steady_epoch() -> list[Patch]:
    before, record = Journal.turn_back, Journal.record

    async def record_only(self: Any, *steps: Any, rise: bool = False) -> None:
        await record(self, *steps)

    async def turn_back(self: Any, error: str) -> None:
        self.epoch -= 1
        fence = self._fence
        self._fence = lambda: {**fence(), "fence_epoch": self.epoch + 1}
        try:
            await before(self, error)
        finally:
            del self._fence

    return [(Journal, "turn_back", turn_back), (Journal, "record", record_only)]


MUTATIONS = [
    Mutation(
        "room is not given back",
        "deleting a server forgets its allocation",
        lambda: [(_service("compute.inventory"), "release", _nothing)],
    ),
    Mutation("the way back keeps its room", "a migration's allocation outlives its resize", _keep_way_back),
    Mutation(
        "ports are not given back",
        "deleting a server forgets its ports",
        lambda: [(_service("compute.ports"), "unplug_all", _nothing)],
    ),
    Mutation(
        "volumes are not given back",
        "detaching forgets the attachment",
        lambda: [(_service("compute.volumes"), "release", _nothing)],
    ),
    Mutation(
        "quota is not claimed", "requests are not counted against the quota", lambda: [(quota, "claim", _nothing)]
    ),
    Mutation("states are not checked", "a verb begins in whatever state its resource is", _unchecked_states),
    Mutation(
        "a lost lease does not matter",
        "the journal's fence is skipped: a worker that was replaced goes on writing",
        lambda: [(Journal, "_lost", _nothing)],
    ),
    Mutation("turns are not kept", "what changes one thing of a server does not wait for its turn", _no_turns),
    Mutation("nobody takes over", "an operation whose worker died is not claimed by another", _no_takeover),
    Mutation("an undo is left out", "a build that fails leaves its guest", lambda: _no_undo("guest")),
    Mutation("failure is silent", "an undone operation does not tell its resource", _silent_failure),
    Mutation(
        "an event is lost", "the outbox misses that ports were deleted", lambda: _drop_event("network.port.deleted")
    ),
    Mutation("consumers are mortal", "event consumers end at the first failure", _mortal_consumers),
    Mutation(
        "hosts are not told",
        "changes of networks are not written down for hosts",
        lambda: [(_service("network.store.work"), "add", _nothing)],
    ),
    Mutation(
        "a difference is lost",
        "of every other change of a group's members nothing is written down for the hosts that follow the group",
        _lost_differences,
    ),
    Mutation(
        "a failed build keeps its host",
        "a failed build keeps its host, where nothing is set aside for it any more",
        _keep_host,
    ),
    Mutation(
        "left-over guests stay",
        "guests of servers that were deleted while their host was away are not removed",
        lambda: [(_service("compute.reconcile.guests"), "_is_left_over", lambda tx, host, guest: False)],
    ),
    Mutation(
        "hosts ignore epochs",
        "hosts begin commands of epochs that are over: from before an operation turned back or was taken over",
        _forget_epochs,
    ),
    Mutation(
        "commands never expire",
        "hosts begin commands however late they come: from workers that lost their lease, say",
        _never_expire,
    ),
    Mutation(
        "refusals are forgotten",
        "hosts carry out the repeat of a command that they have refused and whose operation has failed",
        lambda: [(fence, "may_pass", lambda answer: True)],
    ),
    Mutation(
        "the epoch stays",
        "turning back does not raise the epoch: hosts do not refuse what was sent before",
        _steady_epoch,
    ),
]
