"""What several services do together, crashed, failed and repeated at every step on a whole fake cloud.

After each interruption the hosts must hold exactly what the rows say, and everything must still be deletable.
"""

from contextlib import suppress

import pytest

from pileus.kernel.operations import declared
from pileus.kernel.rest.local import Refused
from pileus.kernel.service import find_services
from pileus.kernel.testing import running
from pileus.kernel.testing.interruptions import walk
from tests.sim.compute.test_interruptions import VERBS
from tests.sim.services.cloud import User, check, restart_agent, undisturbed
from tests.sim.services.stories import STORIES, Story

pytestmark = pytest.mark.timeout(600)
WALKED_ALONE = VERBS.keys() | {"server.attach_volume", "server.detach_volume"}
"""Operations of one service that ``tests/sim/compute`` walks with a check of their own."""
HERE = [story for story in STORIES if story.kinds - WALKED_ALONE and story.name != "create_server"]


@pytest.fixture
async def cloud(tmp_path):
    async with running(tmp_path, fake_hosts=2) as runtime:
        yield runtime


@pytest.mark.parametrize("story", HERE, ids=[story.name for story in HERE])
async def test_nothing_is_stuck_lost_or_left_over(cloud, story: Story):
    async def act(runtime) -> None:
        user = await User.of(runtime)
        with suppress(Refused):  # after a failure that was made up, the rest of a story may be refused
            await story.tell(user)
        await user.idle()

    kinds = story.kinds - WALKED_ALONE
    cases = await walk(lambda: undisturbed(cloud), act, check, kinds, restart_agent)
    assert len(cases) > len(kinds)


def test_every_operation_has_a_story_and_every_story_is_walked():
    find_services()  # whoever is imported has declared its operations
    there = {kind for kind, found in declared().items() if found.body.__module__.startswith("pileus.")}
    told = {kind for story in STORIES for kind in story.kinds}
    assert there == told, f"no story: {sorted(there - told)}; of no operation: {sorted(told - there)}"
    assert there == {kind for story in HERE for kind in story.kinds} | WALKED_ALONE
