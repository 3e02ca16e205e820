"""From a failing plan to a shorter one.  Rule: only what fails with the same kind of violation counts as the same."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from pileus.simulation.plan import Plan
from pileus.simulation.run import Result, World

MOST_RUNS = 60


def kind_of(violation: str | None) -> str:
    """Return a violation without what differs from run to run: ids, numbers, all that follows its first clause."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|\d+", "#", violation or "")
    return text.split(";")[0].split(": [")[0].split("\n")[0][:120]


def shrink(world: World, plan: Plan, *, most_runs: int = MOST_RUNS) -> Result:
    """Return the run of the smallest plan found that fails as ``plan`` does."""
    best = world.run(plan, whole=True)
    wanted = kind_of(best.violation)
    runs = 0
    improved = best.violation is not None
    while improved and runs < most_runs:
        improved = False
        for smaller in _smaller(best.plan):
            runs += 1
            result = world.run(smaller, whole=True)
            if result.violation is not None and kind_of(result.violation) == wanted:
                best, improved = result, True
                break
            if runs >= most_runs:
                break
    return best


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Yield plans with less of one thing, the greatest savings first."""
    for name in ("users", "steps", "controls", "hosts"):
        value = getattr(plan, name)
        for less in dict.fromkeys((value // 2, value - 1)):
            if 1 <= less < value:
                yield _with(plan, name, less)
    for name in ("crashes", "agent_crashes", "freezes", "clock_steps", "outages", "storms"):
        value = getattr(plan, name)
        for less in dict.fromkeys((0, value // 2, value - 1)):
            if 0 <= less < value:
                yield _with(plan, name, less)
    for name in ("drop", "delay", "double", "refusals", "fail_before", "fail_after", "hang", "slow"):
        if getattr(plan, name):
            yield _with(plan, name, 0.0)
    if plan.weak:
        yield _with(plan, "weak", "")


def _with(plan: Plan, name: str, value: Any) -> Plan:
    return msgspec.structs.replace(plan, **{name: value})
