"""``pileus simulate``: many simulated clouds, each from its seed; what was exercised, and the story of what failed."""

import argparse
import logging
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pileus.cli.section import write_into
from pileus.cli.serving import calm_collector
from pileus.cli.terminal import say, table
from pileus.simulation.mutations import MUTATIONS, find
from pileus.simulation.plan import Plan, plan_of
from pileus.simulation.run import Result, World, merged, working_folder
from pileus.simulation.shrink import kind_of, shrink

STORY_LINES = 60
CHUNK = 4
"""Seeds that a process is given at once."""
LIFE = 60
"""Chunks that a process lives for."""


def run(words: argparse.Namespace) -> int:
    """Simulate, and return 1 when a seed failed."""
    logging.getLogger("pileus").propagate = False
    seeds = range(words.first, words.first + words.seeds)
    if words.story:
        return _tell(seeds[0])
    if words.mutations:
        return _plant(seeds, words.report)
    began = time.monotonic()
    results: list[Result] = []
    failed: list[Result] = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task("seeds", total=len(seeds))
        for result in simulate(seeds, words.jobs):
            results.append(result)
            progress.advance(task)
            if result.violation is not None:
                failed.append(result)
                progress.console.print(f"seed {result.plan.seed}: {result.violation[:300]}", markup=False)
                if not words.keep_going:
                    break
    _report(results, time.monotonic() - began)
    if failed and not words.keep_going:
        _explain(failed[0].plan)
    if failed:
        say(f"\nFailed: {', '.join(str(result.plan.seed) for result in failed)}")
    return 1 if failed else 0


def simulate(seeds: range, jobs: int) -> Iterator[Result]:
    """Yield the results of seeds as they come.

    A process is replaced now and then, for what many clouds leave behind in it.
    """
    with working_folder() as folder:
        pool = multiprocessing.get_context("spawn").Pool(max(jobs, 1), _begin, (folder,), maxtasksperchild=LIFE)
        with pool:
            yield from pool.imap_unordered(_one, seeds, chunksize=CHUNK)


_world: World | None = None


def _begin(folder: str) -> None:
    global _world
    logging.getLogger("pileus").propagate = False
    _world = World(folder)
    calm_collector()


def _one(seed: int) -> Result:
    assert _world is not None
    result = _world.run(plan_of(seed))
    if result.violation is None:
        result.lines.clear()
    return result


def _tell(seed: int) -> int:
    world = World()
    result = world.run(plan_of(seed), whole=True)
    say("\n".join(result.lines))
    say(f"\n{result.plan}\n{result.violation or 'Nothing was violated.'}\ntrace {result.digest}")
    world.close()
    return 1 if result.violation else 0


def _plant(seeds: range, report: Path | None) -> int:
    """Plant one bug after the other; with ``report`` write what became of them into a document."""
    world = World()
    rows = ["| planted | found in seed | by |", "| --- | --- | --- |"]
    missed = 0
    say("\n".join(rows))
    for mutation in MUTATIONS:
        found = find(world, mutation, seeds)
        missed += found.violation is None
        seed = f"none of {found.played}" if found.violation is None else str(found.seed)
        rows.append(f"| {mutation.says} | {seed} | {kind_of(found.violation)} |")
        say(rows[-1])
    world.close()
    if report is not None:
        how = f"Found by `pileus simulate --mutations` with the plain seeds from {seeds[0]} on"
        found = f"{len(MUTATIONS) - missed} of {len(MUTATIONS)}"
        text = f"{how}, on {datetime.now(UTC):%Y-%m-%d}: {found}.\n\n" + "\n".join(rows) + "\n"
        write_into(report, "planted bugs: begin", "planted bugs: end", text)
    return 1 if missed else 0


def _report(results: list[Result], took_s: float) -> None:
    lives = sum(result.lifecycles for result in results)
    cpu_s = sum(result.took_s for result in results)
    simulated_s = sum(result.simulated_s for result in results)
    say(
        f"{len(results)} simulations, {lives} servers from create to gone, {simulated_s / 3600:.1f} simulated hours "
        f"in {took_s:.0f} s ({cpu_s:.0f} s of CPU: {lives / max(cpu_s, 0.001):.0f} servers a second)."
    )
    seen = merged(results)
    verbs: dict[str, Counter[str]] = {}
    for name, count in seen.items():
        verb, colon, answer = name.partition(": ")
        if colon:
            verbs.setdefault(verb, Counter())[answer] += count
    say()
    rows = [(verb, " ".join(f"{a}:{n}" for a, n in sorted(found.items()))) for verb, found in sorted(verbs.items())]
    table(rows, ("verb", "answers"))
    say()
    table([(name, str(count)) for name, count in sorted(seen.items()) if ": " not in name], ("fault", "times"))


def _explain(plan: Plan) -> None:
    say(f"\nSeed {plan.seed} failed; looking for a shorter story that fails alike ...")
    world = World()
    result = shrink(world, plan)
    world.close()
    say("\n".join(result.lines[-STORY_LINES:]))
    say(f"\n{result.plan}\n{result.violation}\ntrace {result.digest}")
