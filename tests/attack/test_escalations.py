"""The escalations of the standing attack, in one cloud."""

from tests.attack.escalate import load
from tests.attack.world import world


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
