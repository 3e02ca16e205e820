"""A toy service for the kernel's tests: towers with blocks on a host, built and razed by operations."""

from typing import Any

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import Row, Tx
from pileus.kernel.errors import Conflict
from pileus.kernel.operations import Operation, begin, operation

from .yard import Block, EnsureBlock, EnsureBlockGone, Yard

__all__ = ["Block", "EnsureBlock", "EnsureBlockGone", "Yard"]


class TowerRow(Row):
    __tablename__ = "toy_towers"
    id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    task_state: Mapped[str | None]
    fault: Mapped[str | None]


class ClaimRow(Row):
    __tablename__ = "toy_claims"
    id: Mapped[str] = mapped_column(primary_key=True)
    tower_id: Mapped[str]


class BuildTower(msgspec.Struct, frozen=True):
    tower_id: str
    host: str = "fake-1"
    blocks: int = 2
    kind: str = "block"


def insert_tower(tx: Tx, tower_id: str) -> None:
    tx.add(TowerRow(id=tower_id, status="BUILD", task_state="building"))


def claim_ground(tx: Tx, op_uuid: str, tower_id: str) -> list[str]:
    if tx.get(ClaimRow, op_uuid) is not None:
        raise Conflict("the ground is claimed twice")
    tx.add(ClaimRow(id=op_uuid, tower_id=tower_id))
    return [op_uuid]


def release_ground(tx: Tx, op_uuid: str, tower_id: str) -> None:
    tx.execute(delete(ClaimRow).where(ClaimRow.id == op_uuid))


def note_height(tx: Tx, tower_id: str, height: int) -> int:
    return height


def finish_tower(tx: Tx, tower_id: str, height: int) -> None:
    row = tx.get_one(TowerRow, tower_id)
    row.status, row.task_state = "ACTIVE", None


def fail_tower(tx: Tx, input: BuildTower, reason: str) -> None:
    row = tx.get(TowerRow, input.tower_id)
    if row is not None:
        row.status, row.task_state, row.fault = "ERROR", None, reason


@operation("tower.build", input=BuildTower, deadline_s=30, on_failure=fail_tower)
async def build_tower(op: Operation, input: BuildTower) -> None:
    """One of everything: a claim, a wire, blocks side by side, a spire, an end."""
    await op.commit("claim", claim_ground, op.uuid("claim"), input.tower_id, undo=release_ground)
    base = f"{input.tower_id}-base"
    block = await op.command("base", input.host, EnsureBlock(id=base), undo=EnsureBlockGone(id=base))
    sides = [f"{input.tower_id}-side{n}" for n in range(input.blocks)]
    await op.together(
        *(
            op.command(f"side {n}", input.host, EnsureBlock(id=id), undo=EnsureBlockGone(id=id))
            for n, id in enumerate(sides)
        )
    )
    height = await op.commit("height", note_height, input.tower_id, block.height)
    spire = f"{input.tower_id}-spire"
    await op.command("spire", input.host, EnsureBlock(id=spire, kind=input.kind), undo=EnsureBlockGone(id=spire))
    await op.finish(finish_tower, input.tower_id, height)


STEPS = ["claim", "base", "side 0", "side 1", "height", "spire", "finish"]
ALL = ["t-base", "t-side0", "t-side1", "t-spire"]
UNDOS = ["spire", "side 1", "side 0", "base", "claim"]


async def build_row(db, tower_id: str, **input: Any) -> str:
    """Insert a tower and begin to build it, as a request would."""

    def transaction(tx: Tx) -> str:
        insert_tower(tx, tower_id)
        return begin(tx, None, "tower.build", f"tower/{tower_id}", BuildTower(tower_id, **input))

    return await db.write(transaction)


def world(tx: Tx) -> dict[str, Any]:
    """Return what the database says of towers."""
    towers = {row.id: (row.status, row.task_state) for row in tx.scalars(select(TowerRow))}
    return {"towers": towers, "claims": len(list(tx.scalars(select(ClaimRow))))}


class Errand(msgspec.Struct, frozen=True):
    id: str
    host: str = "fake-1"
    timeout_s: float | None = None
    undo: bool = True
    deadline: bool = False


@operation("toy.errand", input=Errand, cancellable=False)
async def errand(op: Operation, input: Errand) -> None:
    """One block."""
    undo = EnsureBlockGone(id=input.id) if input.undo else None
    await op.command("block", input.host, EnsureBlock(id=input.id), undo=undo, timeout_s=input.timeout_s)


@operation("toy.short", input=Errand, deadline_s=0.2)
async def short(op: Operation, input: Errand) -> None:
    """Two blocks in too little time."""
    for name in ("first", "second"):
        id = f"{input.id}-{name}"
        await op.command(name, input.host, EnsureBlock(id=id), undo=EnsureBlockGone(id=id))


class Choose(msgspec.Struct, frozen=True):
    id: str
    sides: list[str]


@operation("toy.choose", input=Choose)
async def choose(op: Operation, input: Choose) -> None:
    """One block on the first side that takes it."""

    async def build(side: str) -> None:
        await op.command(
            side, "fake-1", EnsureBlock(id=f"{input.id}-{side}"), undo=EnsureBlockGone(id=f"{input.id}-{side}")
        )

    reasons: list[str] = []
    for side in input.sides:
        outcome = await op.attempt(f"try {side}", build, side)
        if outcome.error is None:
            return
        reasons.append(outcome.error)
    raise Conflict(" ".join(reasons))


class Follow(msgspec.Struct, frozen=True):
    other: str


@operation("toy.follow", input=Follow)
async def follow(op: Operation, input: Follow) -> None:
    """Nothing, after another."""
    await op.wait("other", input.other)


class Delegate(msgspec.Struct, frozen=True):
    id: str


def begin_part(tx: Tx, id: str) -> str:
    return begin(tx, None, "toy.errand", f"tower/{id}", Errand(id))


@operation("toy.delegate", input=Delegate)
async def delegate(op: Operation, input: Delegate) -> None:
    """Another operation, begun and waited for."""
    await op.wait("part", await op.commit("begin part", begin_part, f"{input.id}-part"))


class Typed(msgspec.Struct, frozen=True):
    id: str = "typed"


def make_blocks(tx: Tx) -> dict[str, tuple[Block, ...]]:
    return {"pair": (Block("a", 1), Block("b", 2))}


def same(tx: Tx, blocks: dict[str, tuple[Block, ...]]) -> bool:
    return blocks == make_blocks(tx)


@operation("toy.typed", input=Typed)
async def typed(op: Operation, input: Typed) -> None:
    """A result of structs within containers, used after a crash."""
    blocks = await op.commit("first", make_blocks)
    if not await op.commit("second", same, blocks):
        raise Conflict(f"the journal gave back {blocks}")


class Chore(msgspec.Struct, frozen=True):
    """Work on a house, or on one room of it."""

    house: str
    name: str
    room: str = ""
    host: str = "fake-1"


given_up: list[tuple[str, str]] = []
"""Chores that failed, with their reasons."""


def chore_failed(tx: Tx, input: Chore, reason: str) -> None:
    given_up.append((input.name, reason))


async def _do(op: Operation, input: Chore) -> None:
    await op.command("block", input.host, EnsureBlock(id=input.name), undo=EnsureBlockGone(id=input.name))
    await op.commit("swept", note_height, input.house, 1)


@operation("house.paint", input=Chore, deadline_s=30, on_failure=chore_failed, part=lambda input: f"room/{input.room}")
async def paint(op: Operation, input: Chore) -> None:
    """What concerns one room."""
    await _do(op, input)


@operation("house.move", input=Chore, deadline_s=30, on_failure=chore_failed, queues=True)
async def move(op: Operation, input: Chore) -> None:
    """What concerns the whole house."""
    await _do(op, input)


@operation("house.sell", input=Chore, deadline_s=30, cancellable=False, on_failure=chore_failed, queues=True)
async def sell(op: Operation, input: Chore) -> None:
    """What concerns the whole house and cannot be taken back."""
    await _do(op, input)
