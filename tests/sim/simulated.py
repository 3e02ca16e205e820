"""What the tests of the simulation do in a process of their own, where nothing but the program declares anything.

Rule: imports no other tests; reconcilers and operations that tests declare would be part of every story.
"""

import os

from pileus.simulation.mutations import MUTATIONS, find
from pileus.simulation.plan import plan_of
from pileus.simulation.run import Result, World
from pileus.simulation.shrink import shrink


def play(seeds: list[int]) -> list[Result]:
    """Play these seeds, one after the other."""
    world = World()
    try:
        return [world.run(plan_of(seed)) for seed in seeds]
    finally:
        world.close()


def digests(seeds: list[int]) -> tuple[str, list[str]]:
    """Return this process's hash seed, and the digests of these seeds' traces."""
    return os.environ["PYTHONHASHSEED"], [result.digest for result in play(seeds)]


def find_planted(names: list[str], seeds: range) -> dict[str, str]:
    """Plant one bug after the other; return by what each was found within these seeds, and nothing otherwise."""
    world = World()
    try:
        found = [find(world, mutation, seeds) for mutation in MUTATIONS if mutation.name in names]
        return {one.mutation.name: one.violation or "" for one in found}
    finally:
        world.close()


def plant(name: str, seeds: list[int]) -> dict[str, Result]:
    """Plant a bug; return the run that found it, its short story, that story again, and without the bug."""
    bug = next(mutation for mutation in MUTATIONS if mutation.name == name)
    world = World()
    try:
        with bug.planted():
            found = next(result for seed in seeds if (result := world.run(plan_of(seed))).violation)
            short = shrink(world, found.plan, most_runs=12)
            again = world.run(short.plan)
        return {"found": found, "short": short, "again": again, "without": world.run(short.plan)}
    finally:
        world.close()
