"""The speed of the simulation: whole lives of servers, by the APIs, on virtual time, on every core."""

import multiprocessing
import os
import time
from dataclasses import dataclass

from bench.requests import Progress
from pileus.cli.serving import calm_collector
from pileus.simulation.plan import Plan
from pileus.simulation.run import World
from pileus.simulation.servers import lifecycle

PLAN = Plan(seed=1, users=8, steps=25, controls=1, hosts=1)
"""Two hundred lives of a calm cloud; the auditor looks after every commit all the same."""
RUNS = 4
"""Of each process; the first warms it up and is not counted."""


@dataclass(frozen=True)
class Speed:
    """``per_second``: lives a second of all processes together; ``cpu_ms``: of one life."""

    processes: int
    per_second: float
    cpu_ms: float


def run(say: Progress) -> Speed:
    """Measure with a process for each core, all at once."""
    processes = os.cpu_count() or 1
    say(f"{processes} processes")
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = pool.map(_live, [processes] * processes, chunksize=1)
    lives = sum(lives for lives, _, _ in found)
    return Speed(
        processes, sum(lives / took_s for lives, took_s, _ in found), sum(cpu for _, _, cpu in found) / lives * 1000
    )


def _live(_: int) -> tuple[int, float, float]:
    """Return how many servers have lived, in how many seconds, of how much CPU."""
    world = World()
    world.run(PLAN, verbs=[("lifecycle", 1, lifecycle)])
    calm_collector()  # as the server and pileus simulate do
    lives, began, cpu = 0, time.perf_counter(), time.process_time()
    for _number in range(RUNS - 1):
        result = world.run(PLAN, verbs=[("lifecycle", 1, lifecycle)])
        if result.violation is not None:
            raise RuntimeError(result.violation)
        lives += result.lifecycles
    found = lives, time.perf_counter() - began, time.process_time() - cpu
    world.close()
    return found
