"""Log-ins, good and bad, for the audit.

Rule: of a name that nobody has not even the name is told, which may be a password typed in the wrong place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pileus.kernel import events
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Unauthenticated
from pileus.kernel.rest import Request
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.attempts import SENTENCE, Attempts
from pileus.services.identity.model.audit import AUTHENTICATE
from pileus.services.identity.store import application_credentials, projects, users


@dataclass(frozen=True)
class SignIn:
    """One log-in: who it was, or who it claims to be."""

    ctx: Context
    agent: str
    methods: tuple[str, ...]
    user_id: str | None
    claimed: Mapping[str, Any]
    error: ApiError | None


def note(
    runtime: Runtime,
    ctx: Context,
    request: Request,
    identity: Mapping[str, Any],
    *,
    user_id: str | None,
    error: ApiError | None,
) -> None:
    """Let the audit know of a log-in; ``identity`` is ``auth.identity`` as sent, ``error`` None for a good one."""
    attempts = runtime.part(Attempts)
    if not attempts.sign_ins or not (error is None or error.status == Unauthenticated.status):
        return
    methods = identity.get("methods")
    named = tuple(str(method)[:64] for method in methods[:16]) if isinstance(methods, list) else ()
    agent = request.headers.get("user-agent", "")[:SENTENCE]
    one = SignIn(ctx, agent, named, user_id, _claimed(identity) if user_id is None else {}, error)
    attempts.add(partial(_write, one=one))


def _claimed(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a client says of the user it wants to be; of no use but to find that user."""
    password, credential = identity.get("password"), identity.get("application_credential")
    user = password.get("user") if isinstance(password, dict) else None
    if user is None and isinstance(credential, dict):
        if isinstance(id := credential.get("id"), str):
            return {"application_credential_id": id}
        user = credential.get("user")
    if user is None and isinstance(passcode := identity.get("totp"), dict):
        user = passcode.get("user")
    return user if isinstance(user, dict) else {}


def _find(tx: Tx, claimed: Mapping[str, Any]) -> str | None:
    """Return the id of the user somebody claims to be; None when there is none, whose name is not repeated."""
    if (id := _text(claimed.get("application_credential_id"), 64)) is not None:
        row = application_credentials.get_application_credential(tx, id)
        return row.user_id if row is not None else None
    if (id := _text(claimed.get("id"), 64)) is not None:
        return user.id if (user := users.get_user(tx, id)) is not None else None
    name, domain = _text(claimed.get("name"), 255), claimed.get("domain")
    if name is None or not isinstance(domain, dict):
        return None
    domain_id = _text(domain.get("id"), 64)
    if domain_id is None and (domain_name := _text(domain.get("name"), 64)) is not None:
        found = projects.find_domain(tx, domain_name)
        domain_id = found.id if found is not None else None
    user = users.find_user(tx, name, domain_id) if domain_id is not None else None
    return user.id if user is not None else None


def _text(value: object, longest: int) -> str | None:
    """Return a text that a name or an id may be; no database is asked for others, which some refuse."""
    return value if isinstance(value, str) and len(value) <= longest and "\0" not in value else None


def _write(tx: Tx, one: SignIn) -> None:
    user_id = one.user_id or _find(tx, one.claimed)
    initiator = {"user_id": user_id, "address": one.ctx.source_ip, "agent": one.agent or None}
    initiator["global_request_id"] = one.ctx.global_request_id
    payload: dict[str, Any] = {"outcome": "success", "methods": list(one.methods)}
    if one.error is not None:
        reason = {"type": one.error.message[:SENTENCE], "code": str(one.error.status)}
        payload |= {"outcome": "failure", "reason": reason}
    events.emit(
        tx,
        AUTHENTICATE,
        user_id or "unknown",
        ctx=one.ctx,
        initiator={name: value for name, value in initiator.items() if value is not None},
        **payload,
    )
