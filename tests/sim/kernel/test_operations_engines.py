"""The same promises on PostgreSQL and MariaDB: those that lean on the engine's own way with rows and locks."""

import pytest

from tests.unit.kernel.site import Site
from tests.unit.kernel.test_operations import (
    test_attempts_undo_only_themselves,
    test_failures_of_branches_undo_both,
    test_old_operations_are_forgotten_live_ones_never,
)
from tests.unit.kernel.test_operations_order import (
    test_a_busy_worker_leaves_the_rest_for_later,
    test_a_delete_supersedes_a_build,
    test_a_successor_holds_the_resource_too,
    test_a_worker_that_lost_its_lease_writes_nothing_more,
    test_one_live_operation_per_resource,
    test_operations_of_one_request_run_in_order,
)
from tests.unit.kernel.test_operations_trouble import (
    test_a_hopeless_operation_can_be_abandoned,
)
from tests.unit.kernel.test_operations_turns import (
    test_different_parts_side_by_side_the_same_part_in_turn,
    test_the_whole_waits_for_all_and_all_wait_for_it,
    test_turns_hold_for_requests_at_the_same_moment,
    test_what_is_to_be_undone_does_not_wait_for_its_turn,
    test_what_waits_for_too_long_is_given_up_and_says_for_what,
)

__all__ = [
    "test_a_busy_worker_leaves_the_rest_for_later",
    "test_a_delete_supersedes_a_build",
    "test_a_hopeless_operation_can_be_abandoned",
    "test_a_successor_holds_the_resource_too",
    "test_a_worker_that_lost_its_lease_writes_nothing_more",
    "test_attempts_undo_only_themselves",
    "test_different_parts_side_by_side_the_same_part_in_turn",
    "test_failures_of_branches_undo_both",
    "test_old_operations_are_forgotten_live_ones_never",
    "test_one_live_operation_per_resource",
    "test_operations_of_one_request_run_in_order",
    "test_the_whole_waits_for_all_and_all_wait_for_it",
    "test_turns_hold_for_requests_at_the_same_moment",
    "test_what_is_to_be_undone_does_not_wait_for_its_turn",
    "test_what_waits_for_too_long_is_given_up_and_says_for_what",
]


@pytest.fixture
async def site(tmp_path, server_url):
    site = Site(tmp_path, server_url)
    await site.db.create_schema()
    yield site
    for worker in site.workers:
        await worker.stop()
    await site.db.close()
