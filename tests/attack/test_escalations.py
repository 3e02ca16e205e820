"""The escalations of the standing attack, in one cloud."""

import pytest

from tests.attack.escalate import load
from tests.attack.world import world


@pytest.mark.timeout(300)
async def test_nobody_gets_what_is_not_lent():
    succeeded = []
    async with world(planted=False) as cloud:
        for subject, attacks in load().items():
            for what, attack in attacks.items():
                try:
                    await attack(cloud)
                except AssertionError as error:
                    succeeded.append(f"{subject}: {what}: {error}")
    assert succeeded == []
