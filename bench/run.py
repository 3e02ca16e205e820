"""Measure a fake cloud and write the figures to docs/performance.md: ``.venv/bin/python -m bench.run``.

Timings on shared machines are noisy: compare CPU first, and ratios within one run.
"""

import argparse
import asyncio
import os
import platform
import statistics

from rich.console import Console

from bench import boots, growth, guests, identity, networks, requests, resets, simulation, streams
from bench.cloud import FakeCloud
from bench.page import put, replace, table, today


def main() -> None:
    """Run all parts, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = "start, requests, identity, boots, streams, simulation, resets (all by default); growth, ends (long);"
    parts += " networks, guests (as root)"
    parser.add_argument("parts", nargs="*", help=parts)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    words = parser.parse_args()
    parts = words.parts or ["start", "requests", "identity", "boots", "streams", "simulation", "resets"]
    console = Console()
    sections = []
    for name in parts:
        with console.status(name) as status:
            sections.append(PARTS[name](lambda text, name=name, status=status: status.update(f"{name}: {text}")))
        console.print(sections[-1] + "\n")
    if words.write:
        if words.parts:
            replace("measured", *sections)
        else:
            where = f"{os.cpu_count()} cores, Python {platform.python_version()}, SQLite with full sync"
            put("measured", f"Measured {today()} on {where}.", *sections)


def start(say: requests.Progress) -> str:
    """Return the table of starting time and idle memory."""
    times, memory = [], []
    with FakeCloud(hosts=1) as cloud:
        memory.append(cloud.pss_mb())
        for number in range(5):
            say(f"start {number + 1} of 5")
            cloud.down()
            times.append(cloud.timed_up())
            memory.append(cloud.pss_mb())
    whole = statistics.median(second for _, second in times)
    return table(
        ("start and size", "measured", "target"),
        [
            ("`up --fake` to all APIs answering", f"{statistics.median(first for first, _ in times):.2f} s", "2 s"),
            ("the whole command, an administrator logged in and an image seen to", f"{whole:.2f} s", ""),
            ("idle memory of all processes (PSS)", f"{statistics.median(memory):.0f} MB", "150 MB"),
        ],
    )


def reads(say: requests.Progress) -> str:
    """Return the table of reads."""
    with FakeCloud() as cloud:
        costs = asyncio.run(requests.run(cloud, say))
    rows = [(cost.name, f"{cost.cpu_ms:.2f} ms", f"{cost.p50_ms:.2f} ms", f"{cost.target_ms} ms") for cost in costs]
    return table(("read", "server CPU", "median time", "target"), rows)


def identities(say: requests.Progress) -> str:
    """Return the table of Identity's requests inside the process."""
    costs = asyncio.run(identity.run(say))
    rows = [(cost.name, f"{cost.cpu_ms:.2f} ms", f"{cost.target_ms} ms") for cost in costs]
    return table(("Identity inside the process", "CPU", "target"), rows)


def boot(say: requests.Progress) -> str:
    """Return the table of boots."""
    with FakeCloud() as cloud:
        found = asyncio.run(boots.run(cloud, say))
    return table(
        ("boot with the fake driver, POST to ACTIVE", "measured", "server CPU", "target"),
        [
            ("one boot", f"{found.one_ms:.0f} ms", f"{found.one_cpu_ms:.1f} ms", "100 ms"),
            (
                "100 boots at concurrency 10",
                f"{found.per_second:.0f} a second",
                f"{found.cpu_ms:.1f} ms",
                "40 a second",
            ),
        ],
    )


def stream(say: requests.Progress) -> str:
    """Return the table of uploads and downloads."""
    with FakeCloud() as cloud:
        found = asyncio.run(streams.run(cloud, say))
    rows = [
        (one.name, f"{one.mb_per_s:.0f} MB/s", f"{one.share_of_disk:.2f}", f"{one.grew_mb:.0f} MB") for one in found
    ]
    return table(("1 GiB", "rate", "share of dd", "memory grew by"), rows)


def simulated(say: requests.Progress) -> str:
    """Return the table of the simulation's speed."""
    found = simulation.run(say)
    what = f"lives of servers (create, built, delete, gone), {found.processes} processes"
    return table(
        ("simulation", "measured", "CPU of one", "target"),
        [(what, f"{found.per_second:.0f} a second", f"{found.cpu_ms:.1f} ms", "100 a second")],
    )


def putting_back(say: requests.Progress) -> str:
    """Return the table of a fake cloud's snapshots."""
    with FakeCloud(hosts=1, synced=False) as cloud:
        found = resets.run(cloud, say)
    rows = [
        (f"`pileus fake {one.name}`, over HTTP", f"{one.median_ms:.0f} ms", f"{one.cpu_ms:.0f} ms", "100 ms")
        for one in found
    ]
    return table(("a fake cloud, not waiting for the disk", "median time", "server CPU", "target"), rows)


def network(say: requests.Progress) -> str:
    """Return the table of the Linux network driver's verbs."""
    costs = asyncio.run(networks.run(say))
    rows = [(cost.name, f"{cost.time_ms:.1f} ms", f"{cost.cpu_ms:.1f} ms") for cost in costs]
    return table(("on a host, Linux-native", "time", "agent CPU"), rows)


def guest(say: requests.Progress) -> str:
    """Return the table of real guests."""
    found = asyncio.run(guests.run(say))
    return table(
        ("a real guest", "measured", "target"),
        [
            ("build pileus-mini from fetched packages", f"{found.build_s:.1f} s", "seconds"),
            ("QEMU alone, power-on to login over ssh", f"{found.alone_s:.1f} s", ""),
            ("`POST /servers` to ACTIVE", f"{found.active_s:.1f} s", ""),
            ("`POST /servers` to login over ssh, floating IP", f"{found.cloud_s:.1f} s", f"{found.alone_s + 2:.1f} s"),
        ],
    )


def nothing_grows(say: requests.Progress) -> str:
    """Return the table of what boots and ports cost among many servers."""
    with FakeCloud() as cloud:
        sizes = asyncio.run(growth.run(cloud, say))
    costs = ("boot, CPU", "boot, time", "port, CPU", "token check, CPU", "database, each")
    rows = [
        (
            f"{one.servers:,}",
            f"{one.boot_cpu_ms:.1f} ms",
            f"{one.boot_ms:.0f} ms",
            f"{one.port_cpu_ms:.1f} ms",
            f"{one.token_cpu_ms:.2f} ms",
            f"{one.stored_kb:.1f} KB" if one.servers else "",
        )
        for one in sizes
    ]
    return table(("servers in one group and network", *costs), rows)


def everything_ends(say: requests.Progress) -> str:
    """Return the table of what is left of servers that were deleted and forgotten."""
    with FakeCloud() as cloud:
        found = asyncio.run(growth.end(cloud, say, 2000))
    return table(
        (f"each of {found.servers:,} servers takes", "made", "deleted", "forgotten"),
        [
            ("of the database", f"{found.made_kb:.1f} KB", "", f"{found.left_kb:.1f} KB"),
            ("of the server's memory", f"{found.memory_made_kb:.1f} KB", f"{found.memory_left_kb:.1f} KB", ""),
        ],
    )


PARTS = {
    "start": start,
    "requests": reads,
    "identity": identities,
    "boots": boot,
    "streams": stream,
    "simulation": simulated,
    "resets": putting_back,
    "networks": network,
    "guests": guest,
    "growth": nothing_grows,
    "ends": everything_ends,
}


if __name__ == "__main__":
    main()
