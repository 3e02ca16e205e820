"""The host side of the toy service; imports nothing of the database, as agents do."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pileus.kernel.agent import AgentPart, Command


class Block(msgspec.Struct, frozen=True):
    id: str
    height: int


class EnsureBlock(Command[Block]):
    id: str
    kind: str = "block"


class EnsureBlockGone(Command[None]):
    id: str


class Yard(AgentPart):
    """Keeps blocks as files, so that they outlive the process that put them there."""

    service = "toy"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.calls: list[str] = []
        self.before: Callable[[Command[Any]], Any] | None = None

    @property
    def handles(self):
        return {EnsureBlock: self.ensure_block, EnsureBlockGone: self.ensure_block_gone}

    async def ensure_block(self, command: EnsureBlock) -> Block:
        await self._note(command)
        (self.folder / command.id).write_text(json.dumps({"kind": command.kind}))
        return Block(command.id, 3)

    async def ensure_block_gone(self, command: EnsureBlockGone) -> None:
        await self._note(command)
        (self.folder / command.id).unlink(missing_ok=True)

    async def _note(self, command: Command[Any]) -> None:
        self.calls.append(f"{type(command).__name__} {command.id}")  # type: ignore[attr-defined]
        if self.before is not None:
            outcome = self.before(command)
            if asyncio.iscoroutine(outcome):
                await outcome

    async def facts(self) -> dict[str, Any]:
        return {"blocks": len(list(self.folder.iterdir()))}
