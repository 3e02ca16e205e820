"""Audit: every change and every log-in as a CADF record (DMTF DSP0262), in the shape that keystone sends.

Rule: a record is made of an event, so a change that was not committed leaves none, and one that was is never lost.
The envelope is that of oslo.messaging's notifications, which collectors of keystone's audit already read.
"""

import uuid
from typing import Any

from pileus.kernel import events
from pileus.kernel.audit import AuditLog
from pileus.kernel.db import Tx
from pileus.kernel.events import Event
from pileus.kernel.runtime import Runtime, runtime_of
from pileus.services.identity.model.audit import AUTHENTICATE, CONSUMER, REFUSED

NAMESPACE = uuid.UUID("6f1c9d5e-2b1c-5c0e-9a53-6d9c6f6f3e11")
CADF_EVENT = "http://schemas.dmtf.org/cloud/audit/1.0/event"
USER_URI = "service/security/account/user"
TARGETS = {
    "user": "data/security/account/user",
    "group": "data/security/group",
    "project": "data/security/project",
    "domain": "data/security/domain",
    "role": "data/security/role",
    "region": "data/security/region",
    "service": "data/security/service",
    "endpoint": "data/security/endpoint",
    "policy": "data/security/policy",
    "trust": "data/security/trust",
    "credential": "data/security/credential",
    "application_credential": "data/security/credential",
    "access_rule": "data/security/credential",
    "access_token": "data/security/credential",
    "request_token": "data/security/credential",
    "consumer": "data/security/account",
    "identity_provider": "data/security/identity",
    "token": "data/security/credential",
}
"""CADF's type of a resource; others are ``unknown``, as keystone has it."""
NAMES = {
    "trust": "OS-TRUST:trust",
    "consumer": "OS-OAUTH1:consumer",
    "access_token": "OS-OAUTH1:access_token",
    "request_token": "OS-OAUTH1:request_token",
}
"""Keystone's name of a resource where it is another."""
VERBS = {"authorized": "allow", "imported": "configure", "rotated": "renew"}
"""CADF's word of an operation where it knows ours by another (``created`` counts as ``create``)."""
TOLD = frozenset({"role", "user", "group", "project", "domain", "inherited_to_projects", "methods", "changed"})
"""What of an event's payload a record tells: ids, kinds and names of fields, never their contents."""


def record_of(event: Event, cloud: uuid.UUID, publisher: str) -> dict[str, Any]:
    """Return the notification of an event of identity."""
    noun, operation = _done(event)
    name = NAMES.get(noun, noun)
    when = event.at.strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
    signing_in = event.kind == AUTHENTICATE
    payload: dict[str, Any] = {
        "typeURI": CADF_EVENT,
        "eventType": "activity",
        "id": str(uuid.uuid5(cloud, f"{event.sequence}/{event.at.isoformat()}")),
        "eventTime": when,
        "action": "authenticate" if signing_in else f"{VERBS.get(operation, operation)}.{name}",
        "outcome": event.payload.get("outcome", "success"),
        "observer": {"typeURI": "service/security", "id": str(cloud)},
        "initiator": _initiator(event),
        "target": _target(event, noun, signing_in),
    }
    if not signing_in and noun != "role_assignment" and event.resource_id != "unknown":
        payload["resource_info"] = event.resource_id
    if reason := event.payload.get("reason"):
        payload["reason"] = {"reasonType": reason["type"], "reasonCode": reason["code"]}
    payload |= {name: value for name, value in event.payload.items() if name in TOLD}
    return {
        "message_id": payload["id"],
        "publisher_id": publisher,
        "event_type": event.kind if event.kind in (AUTHENTICATE, REFUSED) else f"identity.{name}.{operation}",
        "priority": "INFO",
        "payload": payload,
        "timestamp": when,
    }


def _done(event: Event) -> tuple[str, str]:
    """Return what was done to what kind of thing, or was refused."""
    if event.kind == REFUSED:
        return event.payload["noun"], event.payload["operation"]
    noun, _, operation = event.kind.partition(".")[2].partition(".")
    return noun, operation


def _initiator(event: Event) -> dict[str, Any]:
    known = dict(event.initiator or {})
    host = {name: known.pop(name) for name in ("address", "agent") if name in known}
    found: dict[str, Any] = {"typeURI": USER_URI, "id": known.get("user_id", "unknown"), **known}
    if host:
        found["host"] = host
    if event.request_id:
        found["request_id"] = event.request_id
    return found


def _target(event: Event, noun: str, signing_in: bool) -> dict[str, str]:
    if signing_in or noun == "role_assignment":
        return {"typeURI": USER_URI, "id": event.payload.get("user") or event.payload.get("group") or event.resource_id}
    return {"typeURI": TARGETS.get(noun, "unknown"), "id": event.resource_id}


class Auditor:
    """One cloud's audit: who observes, and where records go."""

    def __init__(self, runtime: Runtime) -> None:
        self.log = AuditLog(runtime)
        cloud = runtime.config.cloud
        self.cloud = uuid.uuid5(NAMESPACE, f"{cloud.region}/{cloud.cloud_id}/{runtime.config.state}")

    def write(self, event: Event) -> None:
        """Write an event's record."""
        self.log.write(record_of(event, self.cloud, self.log.publisher))


@events.on("identity.*", name=CONSUMER)
def audit(tx: Tx, event: Event) -> None:
    """Write the record of every event; after a crash the last ones may be written again, under the same ids."""
    auditor = runtime_of(tx).part(Auditor)
    if auditor.log.settings.enabled:
        auditor.write(event)
