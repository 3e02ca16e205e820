"""Run the kill matrix and write its table: ``python -m tests.matrix [--world postgresql] [--report FILE]``.

Exit code 1 if a cell is not green.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pileus.kernel.operations import declared
from pileus.kernel.rest.local import Refused
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import find_services
from pileus.kernel.testing.interruptions import Case, walk
from tests.matrix.worlds import WORLDS, World
from tests.section import write_into
from tests.sim.services.cloud import User, check, restart_agent, undisturbed
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


def main() -> int:
    """Return 1 if anything is not as it must be."""
    words = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    words.add_argument("--world", choices=list(WORLDS), default="sqlite")
    words.add_argument("--only", help="a word in the names of the stories to tell")
    words.add_argument("--report", type=Path, help="the document whose section is replaced")
    chosen = words.parse_args()
    logging.disable(logging.ERROR)  # what is made to fail is logged as failures are; the table tells
    find_services()
    told = [story for story in STORIES if not chosen.only or chosen.only in story.name]
    label, world = WORLDS[chosen.world]
    began = time.monotonic()
    cells: dict[str, Counter[str]] = {}
    wrong: dict[str, list[str]] = {}

    def tell() -> str:
        text = report(f"{label}, {datetime.now(UTC):%Y-%m-%d}", cells, wrong, time.monotonic() - began)
        if chosen.report:  # as far as it has come: a run that is cut short has told something
            marks = f"matrix {chosen.world}: begin, written by python -m tests.matrix", f"matrix {chosen.world}: end"
            write_into(chosen.report, *marks, text)
        return text

    for story in told:
        asyncio.run(run(world, story, cells, wrong))
        tell()
    print(tell())
    return 1 if wrong else 0


async def run(world: World, story: Story, cells: dict[str, Counter[str]], wrong: dict[str, list[str]]) -> None:
    """Walk a story on a fresh world; add how many cases passed, and what went wrong, by operation."""
    began = time.monotonic()
    try:
        cases = await _walk(world, story)
    except Exception as error:  # a story that breaks off is a red row; the others are told all the same
        cases = []
        for kind in story.kinds:
            wrong.setdefault(kind, []).append(f"{story.name}: {type(error).__name__}: {error}")
    for kind in story.kinds:
        cells.setdefault(kind, Counter()).update(column(case) for case in cases if case.kind in ("", kind))
    print(f"  {story.name}: {len(cases)} cases in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


async def _walk(world: World, story: Story) -> list[Case]:
    async def act(runtime: Runtime) -> None:
        user = await User.of(runtime)
        with suppress(Refused):  # after a failure that was made up, the rest of a story may be refused
            await story.tell(user)
        await user.idle()

    with tempfile.TemporaryDirectory(prefix="pileus-matrix-") as folder:
        async with world(Path(folder)) as cloud:
            return await walk(lambda: undisturbed(cloud), act, check, story.kinds, restart_agent, PATIENCE_S)


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


def report(title: str, cells: dict[str, Counter[str]], wrong: dict[str, list[str]], took_s: float) -> str:
    """Return the table as Markdown."""
    passed = sum(count for row in cells.values() for count in row.values())
    untold = sorted(kind for kind in declared() if kind not in cells)
    lines = [
        f"### {title}",
        "",
        f"{passed} cases passed in {took_s / 60:.0f} minutes; {len(wrong)} operations failed.",
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
