"""``python -m tests.fuzz --minutes 20``: attack a fake cloud as an admin and as a member; exit code 1 on a finding."""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pileus.kernel.config import Configuration
from pileus.kernel.rest.openapi import document
from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import running
from tests.fuzz import report
from tests.fuzz.cases import Operations, requests_of
from tests.fuzz.cloud import PERSONAS, Target
from tests.fuzz.findings import Failures, Tally
from tests.fuzz.wire import send

ROUND_S = 60
"""How long one cloud is attacked before a fresh one takes its place."""
DRAWN = 6
"""Cases of each kind, right and wrong, drawn of an operation at a time."""


def main() -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="how long in all (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="the seed everything follows from (default 0)")
    parser.add_argument("--only", default="", help="only operations whose path holds this")
    parser.add_argument("--write", action="store_true", help="put the result into docs/reliability.md")
    words = parser.parse_args()
    console = Console()
    whole = json.loads(document_of_a_cloud())
    chosen = {**whole, "paths": {path: entry for path, entry in whole["paths"].items() if words.only in path}}
    operations = Operations(chosen)
    tallies = asyncio.run(attack(words, whole, operations, console))
    text = report.section(tallies, words.minutes, len(operations.all), words.seed)
    console.print(text, markup=False)
    for tally in tallies.values():
        for finding in tally.findings.values():
            console.print(f"\n{finding.cause}\n{finding.example}\n{finding.text}", markup=False)
    if words.write:
        report.write(text)
    return 1 if any(tally.findings for tally in tallies.values()) else 0


def document_of_a_cloud() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return document(Runtime(Configuration(Path(folder), fake=True)).app)


async def attack(
    words: argparse.Namespace, whole: dict[str, Any], operations: Operations, console: Console
) -> dict[str, Tally]:
    """Attack as each persona in turn, a fresh cloud every round."""
    failures = Failures()
    logging.getLogger().addHandler(failures)
    logging.getLogger().setLevel(logging.ERROR)
    tallies = {persona: Tally() for persona in PERSONAS}
    started, total_s = time.monotonic(), words.minutes * 60
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("attacking", total=total_s)
        number = 0
        queues: dict[str, list[Any]] = {persona: [] for persona in PERSONAS}
        while time.monotonic() - started < total_s:
            persona = list(PERSONAS)[number % len(PERSONAS)]
            until = min(time.monotonic() + ROUND_S, started + total_s)
            random = Random(f"{words.seed} {number}")
            number += 1

            def tell(persona: str = persona) -> None:
                tally = tallies[persona]
                described = f"{persona}: {tally.requests:,} requests, {len(tally.findings)} findings"
                progress.update(task, completed=time.monotonic() - started, description=described)

            await one_round(
                persona, whole, operations, queues[persona], random, until, tallies[persona], failures, tell
            )
    return tallies


async def one_round(
    persona: str, whole: dict[str, Any], operations: Operations, queue: list[Any], random: Random, until: float,
    tally: Tally, failures: Failures, tell: Any,
) -> None:  # fmt: skip
    """Attack one cloud until the time is over or the persona has locked itself out; ``queue`` is what is still due."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as runtime:
            target = Target(runtime, persona)
            await target.prepare(whole)
            while True:
                if not queue:
                    queue += random.sample(operations.all, len(operations.all))
                operation = queue.pop()
                cases = operations.draw(operation, DRAWN, random)
                for sent in requests_of(operation, cases, target, operations, random):
                    tally.judge(sent, await send(runtime, sent), failures)
                tell()
                if random.random() < 0.05:
                    await target.look(whole)
                if time.monotonic() >= until or not await target.alive():
                    return


if __name__ == "__main__":
    sys.exit(main())
