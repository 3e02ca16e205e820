"""``python -m tests.attack``: attack clouds in every way that is known; ``--write`` puts the report into its page.

It starts its clouds itself; ``--part guests`` needs root.  Exit code 1 when something got through.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.cloud import FakeCloud
from rich.console import Console

from tests.attack import cves, escalate, guests, hostile, requests
from tests.attack.parts import Hold, Part, longest, of_logs, watched
from tests.attack.walk import walk
from tests.attack.world import world
from tests.overload import budgets
from tests.section import write_into

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
SHOWN = 40
Tell = Callable[[str], None]


def the_walk(short: bool, tell: Tell, holds: list[Hold]) -> Part:
    """Walk every operation with a victim's ids."""
    found = asyncio.run(walk(short=short, tell=tell))
    part = Part("the walk")
    part.tried = (
        f"{found.operations} operations, {found.places} places for an id, {found.requests:,} requests"
        f" ({found.accepted:,} accepted)"
    )
    part.found = [f"{kind}: {text}" for kind, texts in found.found.items() for text in texts]
    part.not_tried = (
        "websockets and streams of events; differences in time; two places at once; ids of the victim's in older"
        " microversions than the newest of each route"
    )
    part.open = [f"{what} ({count} requests)" for what, count in found.open.items()]
    if found.excepted:
        reasons = "; ".join(f"{why} ({count})" for why, count in found.excepted.items())
        part.not_tried += f". Told apart with a reason: {reasons}"
    if short:
        part.not_tried += ". Short: places in bodies and headers only, as a member"
    return part


def escalations(short: bool, tell: Tell, holds: list[Hold]) -> Part:
    """Try every escalation in one cloud."""
    part = Part("escalations")

    async def run() -> int:
        tried = 0
        async with world(planted=False) as cloud:
            for subject, attacks in escalate.load().items():
                for what, attack in attacks.items():
                    tell(f"{subject}: {what}")
                    tried += 1
                    try:
                        await attack(cloud)
                    except AssertionError as error:
                        part.found.append(f"{subject}: {what}: {error}")
        return tried

    part.tried = f"{asyncio.run(run())} attacks: " + ", ".join(
        f"{len(attacks)} of {subject}" for subject, attacks in escalate.load().items()
    )
    part.not_tried = "chains of several weaknesses; SAML and OpenID providers that lie (tests/api/identity has those)"
    return part


def odd_requests(short: bool, tell: Tell, holds: list[Hold]) -> Part:
    """Send odd requests over bare sockets."""
    part = Part("requests")
    with FakeCloud(hosts=1) as cloud:
        pid = cloud.pid
        result = asyncio.run(requests.attack(cloud.port, tell))
        alive = asyncio.run(requests.send(cloud.port, requests.get("/identity/v3")))
        if cloud.pid != pid or b" 200 " not in alive[:20]:
            part.found.append("the server does not answer any more")
        holds += of_logs(cloud.state)
    part.found += result.found
    statuses = ", ".join(f"{count} times {status}" for status, count in sorted(result.statuses.items()))
    part.tried = f"{result.sent} requests over bare sockets ({statuses})"
    part.not_tried = "a proxy in front; TLS; HTTP/2, which is not served; the dashboard's forms in a real browser"
    return part


def hostile_documents(short: bool, tell: Tell, holds: list[Hold]) -> Part:
    """Send hostile documents."""
    return asyncio.run(hostile.attack(short, tell))


def inside_guests(short: bool, tell: Tell, holds: list[Hold]) -> Part:
    """Attack from inside guests."""
    return guests.attack(short, tell)


def largest_requests(short: bool, tell: Tell, holds: list[Hold]) -> Part:
    """Send every operation the largest that it allows."""
    part = Part("budgets")
    if short:
        part.skipped = "the short attack leaves it to tests/api/test_budgets.py"
        return part
    tell("the largest requests of every operation")
    report = asyncio.run(budgets.walk())
    part.tried = (
        f"{report.requests:,} requests to {report.operations} operations, {report.accepted:,} accepted; at most"
        f" {report.kept_mb:.0f} MB kept"
    )
    part.found = [hold.row for hold in report.holds if hold.bad]
    if report.kept_mb > budgets.MOST_KEPT_MB:
        part.found.append(f"{report.keeper} kept {report.kept_mb:.0f} MB")
    part.not_tried = "many clients at once: `python -m tests.overload`"
    return part


def known_weaknesses(short: bool, tell: Tell, holds: list[Hold]) -> Part:
    """Look whether every known weakness has its test."""
    rows = cves.weaknesses()
    part = Part("known weaknesses", f"{len(rows)} of 2016 to 2026, of which {sum(row.applies for row in rows)} apply")
    part.found = [f"there is no {test}" for test in cves.missing()]
    part.not_tried = "those of services that Pileus does not do (Ironic, Octavia, Heat and others), and of dependencies"
    return part


PARTS: dict[str, Callable[[bool, Tell, list[Hold]], Part]] = {
    "walk": the_walk,
    "escalate": escalations,
    "requests": odd_requests,
    "hostile": hostile_documents,
    "guests": inside_guests,
    "budgets": largest_requests,
    "cves": known_weaknesses,
}


def main() -> int:
    """Attack and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--part", default=",".join(PARTS), help=f"some of {','.join(PARTS)} (default: all)")
    parser.add_argument("--short", action="store_true", help="what takes a minute or two, without guests")
    parser.add_argument("--write", action="store_true", help="put the report into docs/security.md")
    words = parser.parse_args()
    names = words.part.split(",")
    if unknown := sorted(set(names) - PARTS.keys()):
        parser.error(f"there is no part {', '.join(unknown)}: the parts are {', '.join(PARTS)}")
    console = Console()
    logging.disable(logging.WARNING)
    failed = False
    for name in names:
        began = time.monotonic()
        holds: list[Hold] = []
        with console.status(name) as status, watched(holds):
            part = PARTS[name](words.short, lambda text, n=name, s=status: s.update(f"{n}: {text}"), holds)
        failed = failed or bool(part.found)
        console.print(f"{part.name}: {part.verdict} ({time.monotonic() - began:.0f} s)", markup=False)
        for text in part.found[:SHOWN]:
            console.print(f"  {text}", markup=False, soft_wrap=True)
        told = row(part, holds, words.short)
        console.print(told, markup=False, soft_wrap=True)
        if words.write:
            rows = {**earlier(), part.name: told}  # read again: other parts may be under way elsewhere
            write_into(PAGE, "attack: begin", "attack: end", "\n".join([*HEAD, *rows.values()]) + "\n")
    if words.write:
        write_into(PAGE, "weaknesses: begin", "weaknesses: end", table())
    return int(failed)


HEAD = (
    "| part | on | tried | verdict | longest hold of the event loop | of the writer | not exercised |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


def earlier() -> dict[str, str]:
    """Return the rows that stand in the page, by part: those that are not tried now stay."""
    section = PAGE.read_text().partition("<!-- attack: begin -->")[2].partition("<!-- attack: end -->")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in rows if line not in HEAD}


def row(part: Part, holds: list[Hold], short: bool) -> str:
    """Return a part's row of the report."""
    verdict = [part.verdict]
    if part.open:
        verdict.append("Open: " + "; ".join(map(_line, part.open)))
    if part.found:
        more = f"; and {len(part.found) - SHOWN} more" if len(part.found) > SHOWN else ""
        verdict.append("Got through: " + "; ".join(map(_line, part.found[:SHOWN])) + more)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    cells = [
        part.name, f"{day}{', short' if short else ''}", _line(part.tried, 2000), ". ".join(verdict),
        longest(holds, "loop"), longest(holds, "writer"), _line(part.not_tried, 2000),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _line(text: str, most: int = 300) -> str:
    return " ".join(text.split())[:most].replace("|", "\\|").replace("<", "&lt;")


def table() -> str:
    """Return the table of known weaknesses."""
    lines = ["| weakness | of | what it was | here | shown by |", "| --- | --- | --- | --- | --- |"]
    for row in cves.weaknesses():
        told = f"{'applies' if row.applies else 'does not apply'}. {row.why}"
        tests = ", ".join(f"`{test.removeprefix('tests/')}`" for test in row.tests)
        lines.append(f"| {row.id} | {row.service} | {row.what} | {told} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
