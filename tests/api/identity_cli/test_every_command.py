"""No command of identity.v3 is left out, and no change of them goes unaudited."""

import ast
import uuid
from importlib.metadata import entry_points
from pathlib import Path

from sqlalchemy import select

from pileus.kernel.events import Event
from pileus.services.identity.app.audit import record_of

GROUP = "openstack.identity.v3"
CADF_VERBS = (
    "allow",
    "authenticate",
    "configure",
    "create",
    "delete",
    "disable",
    "enable",
    "renew",
    "revoke",
    "update",
)
"""Those of DSP0262 that identity uses; an action begins with one."""


def commands() -> set[str]:
    """Every command the client has."""
    return {entry.name.replace("_", " ") for entry in entry_points(group=GROUP)}


def typed() -> set[str]:
    """Every command that a test of this folder types."""
    known, found = commands(), set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            first = node.args[0]
            if isinstance(first, ast.JoinedStr):
                first = first.values[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                words = first.value.split()
                found |= {name for n in range(1, 5) if (name := " ".join(words[:n])) in known}
    return found


def test_every_command_is_typed_somewhere():
    assert len(commands()) >= 128
    assert sorted(commands() - typed()) == []


def test_every_change_has_its_event(admin, served):
    admin("group create audited")
    admin("group add user audited demo")
    admin("project set --tag audited demo")
    admin("group remove user audited demo")
    admin("group delete audited")
    told = set(served.read(lambda tx: tx.scalars(select(Event.request_id)).all()))
    untold = {what for id, what in served.changes.items() if id not in told}
    assert len(served.changes) >= 5
    assert untold <= {"POST /identity/v3/auth/tokens"}  # log-ins are gathered for a moment before they are written


def test_every_event_makes_a_record_that_cadf_knows(admin, served):
    """The commands of all tests before this one have left their events."""
    admin("role create recorded")
    admin("role delete recorded")
    kinds = served.read(lambda tx: tx.scalars(select(Event).where(Event.kind.like("identity.%"))).all())
    records = [record_of(event, uuid.uuid4(), "identity.test") for event in kinds]
    strange = {one["payload"]["action"] for one in records if not one["payload"]["action"].startswith(CADF_VERBS)}
    assert strange == set()
    assert {one["event_type"] for one in records} >= {"identity.role.created", "identity.role.deleted"}
