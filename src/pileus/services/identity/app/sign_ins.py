"""Log-ins, good and bad, for the audit: gathered, and written to the outbox a few times a second.

Rule: nobody waits for the audit of a log-in, and a flood of them costs one transaction for many. What a crash takes
with it is the last fifth of a second of log-ins; changes are audited by their own transactions.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pileus.kernel import clock, events
from pileus.kernel.audit import AuditSettings
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Unauthenticated
from pileus.kernel.rest import Request
from pileus.kernel.runtime import Runtime
from pileus.services.identity.model.audit import AUTHENTICATE
from pileus.services.identity.store import application_credentials, projects, users

log = logging.getLogger(__name__)
GATHER_S = 0.2
MOST_WAITING = 10_000
"""Log-ins kept for the next write at most; beyond it they are counted, and the count is logged."""
SENTENCE = 200
"""Characters of a reason that are kept."""


@dataclass(frozen=True)
class SignIn:
    """One log-in: who it was, or who it claims to be."""

    ctx: Context
    agent: str
    methods: tuple[str, ...]
    user_id: str | None
    claimed: Mapping[str, Any]
    error: ApiError | None


class SignIns:
    """The log-ins of one process that are not written yet."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.config.get(AuditSettings)
        self._runtime = runtime
        self._wanted = settings.enabled and settings.sign_ins
        self._waiting: list[SignIn] = []
        self._dropped = 0
        self._writing = False

    def note(
        self,
        ctx: Context,
        request: Request,
        identity: Mapping[str, Any],
        *,
        user_id: str | None,
        error: ApiError | None,
    ) -> None:
        """Remember a log-in; ``identity`` is ``auth.identity`` as the client sent it, ``error`` None for a good one."""
        if not self._wanted or not (error is None or error.status == Unauthenticated.status):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        methods = identity.get("methods")
        named = tuple(str(method)[:64] for method in methods[:16]) if isinstance(methods, list) else ()
        agent = request.headers.get("user-agent", "")[:SENTENCE]
        self._waiting.append(SignIn(ctx, agent, named, user_id, _claimed(identity) if user_id is None else {}, error))
        if not self._writing:
            self._writing = True
            self._runtime.spawn(self._write_soon(), "identity.sign_ins")

    async def _write_soon(self) -> None:
        try:
            while self._waiting:
                await clock.sleep(GATHER_S)
                await self.write()
        finally:
            self._writing = False

    async def write(self) -> None:
        """Write what waits."""
        batch, self._waiting = self._waiting, []
        if batch:
            await self._runtime.db.write(_write, batch)
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            log.error("%d log-ins are missing from the audit: they came faster than they could be written", dropped)


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
    if isinstance(id := claimed.get("application_credential_id"), str):
        row = application_credentials.get_application_credential(tx, id[:64])
        return row.user_id if row is not None else None
    if isinstance(id := claimed.get("id"), str):
        return user.id if (user := users.get_user(tx, id[:64])) is not None else None
    name, domain = claimed.get("name"), claimed.get("domain")
    if not isinstance(name, str) or not isinstance(domain, dict):
        return None
    domain_id = domain.get("id")
    if not isinstance(domain_id, str):
        found = projects.find_domain(tx, str(domain.get("name"))[:64])
        domain_id = found.id if found is not None else ""
    user = users.find_user(tx, name[:255], domain_id[:64])
    return user.id if user is not None else None


def _write(tx: Tx, batch: list[SignIn]) -> None:
    for one in batch:
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
