"""A short part of `python -m tests.overload --budgets`: the largest requests to operations that make most of one."""

from tests.everywhere import ways
from tests.overload.budgets import Report, watched

HEAVY = (
    "POST /networking/v2.0/ports",
    "PUT /networking/v2.0/ports/{id}",
    "PUT /placement/resource_providers/{provider}/aggregates",
    "PUT /compute/v2.1/servers/{server}/metadata",
    "POST /volume/v3/volumes",
)


async def test_the_largest_requests_hold_nobody_for_long():
    report = Report()
    async with watched(report) as walk:
        for way in ways():
            if way.name in HEAVY:
                await walk.try_one(way)
    assert report.operations >= len(HEAVY)
    assert report.accepted >= len(HEAVY)
    assert [hold.row for hold in report.holds if hold.bad] == []
    assert not report.bad
