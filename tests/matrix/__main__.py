"""Run the kill matrix and write its table: ``python -m tests.matrix [--world linux] [--report FILE]``.

Exit code 1 if a cell is not green.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pileus.kernel.operations import declared
from pileus.kernel.rest.local import Refused
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import find_services
from pileus.kernel.testing.interruptions import Case, walk
from tests.matrix.worlds import WORLDS, World
from tests.section import write_into
from tests.sim.services.cloud import User, check, undisturbed
from tests.sim.services.stories import STORIES, Story

COLUMNS = (
    "kill worker",
    "kill agent",
    "fail before",
    "fail after",
    "kill worker while undoing",
    "kill agent while undoing",
    "repeat",
)
PATIENCE_S = 120.0


@dataclass
class Table:
    """What the run has shown so far; ``told`` are the stories all of whose cases have passed."""

    told: list[str] = field(default_factory=list)
    took_s: float = 0.0
    cells: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def load(cls, notes: Path | None) -> "Table":
        """Return what an earlier run has noted down as passed."""
        if notes is None or not notes.exists():
            return cls()
        noted = json.loads(notes.read_text())
        return cls(noted["told"], noted["took_s"], {kind: Counter(row) for kind, row in noted["cells"].items()})

    def save(self, notes: Path) -> None:
        notes.write_text(json.dumps({"told": self.told, "took_s": self.took_s, "cells": self.cells}))


def main() -> int:
    """Return 1 if anything is not as it must be."""
    words = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    words.add_argument("--world", choices=list(WORLDS), default="sqlite")
    words.add_argument("--only", help="a word in the names of the stories to tell")
    words.add_argument("--report", type=Path, help="the document whose section is replaced")
    words.add_argument("--notes", type=Path, help="where to note what has passed: run again, it goes on from there")
    chosen = words.parse_args()
    logging.disable(logging.ERROR)  # what is made to fail is logged as failures are; the table tells
    find_services()
    world = WORLDS[chosen.world]
    table = Table.load(chosen.notes)
    there = [story for story in STORIES if story.name not in world.left_out and (chosen.only or "") in story.name]

    def tell() -> str:
        text = report(f"{world.label}, {datetime.now(UTC):%Y-%m-%d}", table)
        if chosen.report:  # as far as it has come: a run that is cut short has told something
            marks = f"matrix {chosen.world}: begin, written by python -m tests.matrix", f"matrix {chosen.world}: end"
            write_into(chosen.report, *marks, text)
        return text

    for story in there:
        if story.name not in table.told:
            asyncio.run(run(world, story, table))
            if chosen.notes:
                table.save(chosen.notes)
            tell()
    print(tell())
    return 1 if table.wrong else 0


async def run(world: World, story: Story, table: Table) -> None:
    """Walk a story on a fresh world; add how many cases passed, and what went wrong, by operation."""
    began = time.monotonic()
    try:
        cases = await _walk(world, story)
        table.told.append(story.name)
    except Exception as error:  # a story that breaks off is a red row; the others are told all the same
        cases = []
        for kind in story.kinds:
            table.wrong.setdefault(kind, []).append(f"{story.name}: {type(error).__name__}: {error}")
    for kind in story.kinds:
        row = table.cells.setdefault(kind, Counter())
        row.update(column(case) for case in cases if case.kind in ("", kind))
    took_s = time.monotonic() - began
    table.took_s += took_s
    print(f"  {story.name}: {len(cases)} cases in {took_s:.0f} s", file=sys.stderr, flush=True)


async def _walk(world: World, story: Story) -> list[Case]:
    async def act(runtime: Runtime) -> None:
        user = await User.of(runtime)
        with suppress(Refused):  # after a failure that was made up, the rest of a story may be refused
            await story.tell(user)
        await user.idle()

    with tempfile.TemporaryDirectory(prefix="pileus-matrix-") as folder:
        async with world.make(Path(folder)) as cloud:
            return await walk(
                lambda: undisturbed(cloud),
                act,
                partial(check, audit=world.audit),
                story.kinds,
                world.restart_agent,
                PATIENCE_S,
                drivers_take_time=world.drivers_take_time,
            )


def column(case: Case) -> str:
    """Return the column of the table to which a case belongs."""
    match case.how:
        case "crash":
            return "kill worker"
        case "fail":
            return f"fail {case.event.partition(' ')[0]}"
        case "crash while undoing":
            return "kill worker while undoing"
    return case.how


def report(title: str, table: Table) -> str:
    """Return the table as Markdown."""
    cells, wrong = table.cells, table.wrong
    passed = sum(count for row in cells.values() for count in row.values())
    untold = sorted(kind for kind in declared() if kind not in cells)
    lines = [
        f"### {title}",
        "",
        f"{passed} cases passed in {table.took_s / 60:.0f} minutes; {len(wrong)} operations failed.",
        "",
    ]
    lines += [f"| operation | {' | '.join(COLUMNS)} |", f"| --- |{' ---: |' * len(COLUMNS)}"]
    for kind in sorted(cells):
        figures = [str(cells[kind][name] or "") for name in COLUMNS]
        lines.append(f"| {kind}{' **failed**' if kind in wrong else ''} | {' | '.join(figures)} |")
    lines += ["", *(f"- {kind}: {one}" for kind, told in sorted(wrong.items()) for one in told)]
    if untold:
        lines.append(f"Not told: {', '.join(untold)}.")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
