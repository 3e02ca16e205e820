"""The table of verbs agrees with itself, and with what clients have always seen."""

import pytest

from pileus.kernel.operations import declared
from pileus.services.compute import lifecycle, operations
from pileus.services.compute.lifecycle import SERVER, STATUS

SERVED_BY = {"migrate": "resize"}
"""Verbs that another verb's operation carries out."""


def test_every_verb_is_carried_out_by_an_operation() -> None:
    assert operations.create
    for name in SERVER.verbs:
        assert f"server.{SERVED_BY.get(name, name)}" in declared()


def test_every_state_of_the_table_is_shown_by_a_status() -> None:
    for verb in SERVER.verbs.values():
        assert verb.start <= set(STATUS)
        assert verb.end is None or verb.end in STATUS


def test_labels_tell_the_verbs_of_one_state_apart() -> None:
    for state in STATUS:
        labels = [verb.label for verb in SERVER.verbs.values() if state in verb.start and verb.name != "migrate"]
        assert len(labels) == len(set(labels)), state


def test_everything_can_be_deleted() -> None:
    assert lifecycle.DELETE.start == set(STATUS) - {"deleted"}


@pytest.mark.parametrize(
    ("state", "task", "status"),
    [
        ("active", None, "ACTIVE"),
        ("active", "rebooting", "REBOOT"),
        ("active", "rebooting_hard", "HARD_REBOOT"),
        ("stopped", "resize_migrating", "RESIZE"),
        ("resized", None, "VERIFY_RESIZE"),
        ("resized", "resize_reverting", "REVERT_RESIZE"),
        ("error", "rebuilding", "REBUILD"),
        ("building", "spawning", "BUILD"),
        ("building", "deleting", "BUILD"),
        ("active", "powering-off", "ACTIVE"),
    ],
)
def test_the_status_is_read_from_state_and_task(state: str, task: str | None, status: str) -> None:
    assert lifecycle.status_of(state, task) == status


def test_actions_have_the_names_that_clients_know() -> None:
    names = {kind: lifecycle.action_of(kind) for kind in ("server.create", "server.create_image", "server.reboot_hard")}
    assert names == {"server.create": "create", "server.create_image": "createImage", "server.reboot_hard": "reboot"}
