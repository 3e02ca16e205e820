"""``python -m tests.overload``: attack a fake cloud, watch its memory and what an honest client sees meanwhile.

First every operation gets the largest bodies and URLs that it allows, in this process: what holds the loop or the
writer for too long fails.
"""

import argparse
import asyncio
import contextlib
import logging
import resource
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.cloud import FakeCloud
from bench.http import Connection
from rich.console import Console

from pileus.kernel.rest.bounds import PARAMETER, PARAMETERS
from tests.overload.attacks import ATTACKS, LIST, Attack
from tests.overload.budgets import MOST_S, walk
from tests.section import write_into

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- overload: begin -->", "<!-- overload: end -->"
MOST_GROWTH_MB = 400
LONGEST_S = 10
SHOWN = 12


def main() -> int:
    """Run every attack and return 1 when the server was hurt by one."""
    parser = argparse.ArgumentParser(prog="python -m tests.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=40, help="how long each attack goes on (default 40)")
    parser.add_argument("--only", default="", help="only attacks whose name holds this")
    told = "only the largest requests, to operations whose name holds WORDS"
    parser.add_argument("--budgets", nargs="?", const="", metavar="WORDS", help=told)
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    words = parser.parse_args()
    console = Console()
    hurt = False
    if words.budgets is not None or not words.only:
        hurt = largest_requests(console, words.budgets or "", write=words.write and not words.budgets)
    if words.budgets is not None:
        return int(hurt)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows: list[str] = []
    with FakeCloud(hosts=1) as cloud:
        pid = cloud.pid
        for name, attack in ATTACKS.items():
            if words.only in name:
                with console.status(name):
                    row, bad = asyncio.run(one(cloud, name, attack, words.seconds))
                rows.append(row)
                hurt = hurt or bad or cloud.pid != pid
                console.print(row, markup=False)
    if words.write:
        write(rows, words.seconds)
    return int(hurt)


def largest_requests(console: Console, only: str, *, write: bool) -> bool:
    """Send every operation the largest that it allows; tell the longest holds, and return whether one was too long."""
    logging.disable(logging.WARNING)
    report = asyncio.run(walk(only))
    logging.disable(logging.NOTSET)
    worst = sorted(report.holds, reverse=True)
    shown = [hold for hold in worst if hold.bad] or worst[:SHOWN]
    for hold in shown:
        console.print(hold.row, markup=False, soft_wrap=True)
    said = (
        f"{report.requests} requests to {report.operations} operations, {report.accepted} of them accepted; "
        f"{sum(hold.bad for hold in worst)} held loop or writer for {MOST_S * 1000:.0f} ms of the processor's time or "
        f"more; kept at most: {report.kept_mb:.0f} MB{f' ({report.keeper})' if report.keeper else ''}."
    )
    console.print(said, markup=False, soft_wrap=True)
    if write:
        head = ["| operation | filled | status | held | processor |", "| --- | --- | --- | --- | --- |"]
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        lead = (
            f"`python -m tests.overload --budgets --write` on {day}: each operation with every list and dictionary of "
            f"its body as full as declared, one at a time, and with URLs of {PARAMETERS} parameters and of values of "
            f"{PARAMETER} characters, as an administrator. {said} The longest:"
        )
        text = ["## The largest requests", lead, "", *head, *(hold.row for hold in shown)]
        write_into(PAGE, "budgets: begin", "budgets: end", "\n".join(text) + "\n")
    return report.bad


async def one(cloud: FakeCloud, name: str, attack: Attack, seconds: float) -> tuple[str, bool]:
    """Attack once; return a row of the table and whether an honest client or the memory suffered."""
    token = await cloud.login("demo")
    before = peak = cloud.pss_mb()
    times: list[float] = []
    failed = 0
    attacking = asyncio.create_task(attack(cloud.port, token, seconds))
    while not attacking.done():
        began = time.monotonic()
        connection = Connection(cloud.url, {"X-Auth-Token": token})
        try:
            answer = await asyncio.wait_for(connection.request("GET", LIST), LONGEST_S)
            failed += answer.status != 200
            times.append(time.monotonic() - began)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            failed += 1
        connection.close()
        peak = max(peak, cloud.pss_mb())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(attacking), 0.25)
    await asyncio.sleep(3)
    after = cloud.pss_mb()
    told = await attacking
    middle = statistics.median(times) * 1000 if times else float("nan")
    worst = max(times, default=float("nan")) * 1000
    row = (
        f"| {name} | {told} | {middle:.0f} ms, at worst {worst:.0f} ms, {failed} of {len(times) + failed} failed | "
        f"{before:.0f} | {peak:.0f} | {after:.0f} |"
    )
    return row, failed > 0 or not times or peak - before > MOST_GROWTH_MB


def write(rows: list[str], seconds: float) -> None:
    """Put the table into the page, making the page if it is not there."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    text = [
        "## Overload",
        f"`python -m tests.overload --write` on {day}: one server process, {seconds:g} s of each attack while an "
        "honest client lists its networks four times a second, each time on a new connection. Memory is the server's "
        "proportional set size.",
        "",
        "| attack | what came of it | the honest client | MB before | at most | after |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    page = PAGE.read_text() if PAGE.exists() else "# Reliability\n"
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    first, last = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{first}{BEGIN}\n" + "\n".join(text) + f"\n{END}{last}")


if __name__ == "__main__":
    sys.exit(main())
