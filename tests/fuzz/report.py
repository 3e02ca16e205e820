"""The run's section of ``docs/reliability.md``, between its own marks."""

from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz.findings import Tally

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- fuzz: begin -->", "<!-- fuzz: end -->"


def section(tallies: dict[str, Tally], minutes: float, total: int, seed: int) -> str:
    """Return the section's text."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    lines = [
        "## Fuzzing",
        f"`python -m tests.fuzz --minutes {minutes:g} --write` on {day}, seed {seed}: every operation of the OpenAPI "
        "document under requests drawn by schemathesis, aimed at things that exist, and spoilt (bodies that are no "
        "JSON, 100,000 levels deep, numbers beyond 64 bits, NUL, lone surrogates, wrong versions, headers and paths).",
        "",
        "| as | operations | requests | answered 2xx | refused 4xx | 501, 503, 507 | 500 or no answer | findings |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for persona, tally in tallies.items():
        good = sum(count for status, count in tally.statuses.items() if 100 <= status < 400)
        refused = sum(count for status, count in tally.statuses.items() if 400 <= status < 500)
        told = sum(count for status, count in tally.statuses.items() if status > 500)
        bad = tally.statuses[500] + tally.statuses[0]
        lines.append(
            f"| {persona} | {len(tally.operations)} of {total} | {tally.requests:,} | {good:,} | {refused:,} | "
            f"{told:,} | {bad:,} | {len(tally.findings)} |"
        )
    for persona, tally in tallies.items():
        for finding in tally.findings.values():
            lines.append(f"- {persona}: {finding.cause} ({finding.count} times), first by `{finding.example[:200]}`")
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the section into the page, making the page if it is not there."""
    page = PAGE.read_text() if PAGE.exists() else "# Reliability\n"
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    head, tail = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
