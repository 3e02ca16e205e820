"""The walk of the standing attack, a short part: ids in bodies and headers, as a member of another project."""

import pytest

from tests.attack.walk import walk


@pytest.mark.timeout(300)
async def test_nothing_of_a_victims_is_read_written_or_told_apart():
    findings = await walk(short=True)
    assert findings.operations > 700
    assert findings.places > 250
    assert findings.accepted > 50, "next to nothing was let in that could have done harm"
    assert findings.found == {}
