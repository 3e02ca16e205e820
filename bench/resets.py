"""How long a fake cloud takes to be kept and put back, as a test beside it sees it."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.cloud import FakeCloud
from bench.requests import Progress
from pileus.fake.client import FakeClient

ROUNDS = 15


@dataclass(frozen=True)
class Cost:
    """One verb: the median of its time and of the server's CPU, in milliseconds, and the longest time."""

    name: str
    median_ms: float
    longest_ms: float
    cpu_ms: float


def run(cloud: FakeCloud, say: Progress) -> list[Cost]:
    """Measure each verb in turn, the cloud being changed in between."""
    client = FakeClient.of_state(cloud.url, cloud.state)
    client.save("kept")
    acts: dict[str, Callable[[], None]] = {
        "save": lambda: client.save("kept"),
        "load": lambda: client.load("kept"),
        "reset": client.reset,
    }
    found = []
    for name, act in acts.items():
        times, cpu = [], []
        for number in range(ROUNDS):
            say(f"{name} {number + 1} of {ROUNDS}")
            time.sleep(0.3)  # what a start leaves to be done in the background is not the next verb's
            cpu_s, began = cloud.cpu_s(), time.perf_counter()
            act()
            times.append((time.perf_counter() - began) * 1000)
            cpu.append((cloud.cpu_s() - cpu_s) * 1000)
        found.append(Cost(name, statistics.median(times), max(times), statistics.median(cpu)))
    return found
