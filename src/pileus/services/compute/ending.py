"""How verbs end, well or badly, on the server's row."""

from typing import Any

from sqlalchemy import bindparam, select

from pileus.kernel import clock, events
from pileus.kernel.clock import iso
from pileus.kernel.db import Tx, ask
from pileus.kernel.lifecycle import Verb
from pileus.services.compute.lifecycle import ERROR
from pileus.services.compute.model import Server

_STATE = select(Server.vm_state, Server.name, Server.project_id, Server.deleted_at).where(Server.id == bindparam("id"))


def finish(tx: Tx, verb: Verb, server_id: str, **values: Any) -> bool:
    """End a verb well; tell whether the server still was in it (a deletion may have come in between)."""
    done = verb.finish(tx, server_id, updated_at=clock.now(), fault=None, **values)
    if done:
        changed(tx, server_id, verb.name)
    return done


def fail(tx: Tx, verb: Verb, server_id: str, reason: str, *, broken: bool = False, **values: Any) -> bool:
    """End a verb that was undone: the server is as it was, or in error when it is ``broken`` by it."""
    if broken:
        values["vm_state"] = ERROR
    done = verb.fail(tx, server_id, updated_at=clock.now(), fault=fault(reason), **values)
    changed(tx, server_id, verb.name)
    return done


def fault(reason: str, code: int = 500) -> dict[str, Any]:
    """Return what the API shows as the server's ``fault``."""
    return {"code": code, "created": iso(clock.now()), "message": reason[:255], "details": reason}


def changed(tx: Tx, server_id: str, verb: str) -> None:
    """Tell whoever watches that a verb has ended."""
    row = ask(tx, _STATE, {"id": server_id}).first()
    if row is not None:
        kind = "deleted" if row.deleted_at is not None else "updated"
        state: dict[str, Any] = {"vm_state": row.vm_state, "name": row.name, "verb": verb}
        events.emit(tx, f"compute.server.{kind}", server_id, project_id=row.project_id, **state)
