"""Writes docs/conformance.md from the result of a conformance run: ``python -m tests.conformance RESULT.json ...``.

A result is a JSON object with ``suite`` (list of names), ``started`` (seconds since 1970), ``tests`` (test id to
``passed``, ``failed``, ``skipped`` or ``notrun``) and ``reasons`` (test id to one line).  ``service`` says what all its
tests are about, where their ids do not; ``cloud`` how its cloud differed.
"""

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "conformance.md"
HEAD = """# Conformance
Other people's test suites, run with Tempest's own code or the clients' own against a cloud started by `pileus up`. This
page is written by `python -m tests.conformance RESULT.json ...` from the results of the runs and not by hand.
"""
COLUMNS = ("passed", "failed", "skipped", "notrun")


def main() -> None:
    """Write the page from the result files named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="result files, JSON")
    parser.add_argument("--cloud", default="as it starts by default", help="how the cloud was started and set")
    words = parser.parse_args()
    results = [json.loads(path.read_text()) for path in words.results]
    head = f"{HEAD}\nThe cloud: {words.cloud}.\n\n"
    PAGE.write_text(head + "\n".join(section(result) for result in results))
    print(f"wrote {PAGE}")


def section(result: dict[str, Any]) -> str:
    """Return one run: a table by service, then everything that did not pass, with its reason."""
    day = datetime.fromtimestamp(result["started"], UTC).strftime("%Y-%m-%d")
    cloud = f" The cloud: {result['cloud']}." if result.get("cloud") else ""
    lines = [f"## {', '.join(result['suite'])}", f"Run on {day}, {result['seconds']:.0f} s.{cloud}", ""]
    lines += [
        "| service | passed | failed | skipped | not run | passed of all |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    by_service: dict[str, Counter[str]] = {}
    for test, state in result["tests"].items():
        by_service.setdefault(result.get("service") or service_of(test), Counter())[state] += 1
    total = sum(by_service.values(), Counter())
    for name, counts in [*sorted(by_service.items()), ("**all**", total)]:
        cells = " | ".join(str(counts[column]) for column in COLUMNS)
        lines.append(f"| {name} | {cells} | {100 * counts['passed'] / counts.total():.1f} % |")
    for state, title in (("failed", "Failed"), ("notrun", "Not run"), ("skipped", "Skipped")):
        missed = sorted(test for test, found in result["tests"].items() if found == state)
        if missed:
            lines += ["", f"### {title}", "| test | reason |", "| --- | --- |"]
            lines += [f"| `{test}` | {reason(result, test)} |" for test in missed]
    return "\n".join(lines) + "\n"


def service_of(test: str) -> str:
    """Return ``compute`` for ``tempest.api.compute...``."""
    parts = test.split(".")
    return parts[2] if len(parts) > 2 and parts[1] in ("api", "serial_tests") else parts[1]


def reason(result: dict[str, Any], test: str) -> str:
    """Return why a test did not pass, fit for a cell."""
    told = result.get("reasons", {}).get(test, "")
    return " ".join(told.split())[:300].replace("|", "\\|") or "the run gave no reason"


if __name__ == "__main__":
    main()
