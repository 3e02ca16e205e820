"""Receipts: what was proven already, for somebody whose rules ask for more.

Rule: a receipt is sealed like a token, but is none; it ends soon, and with whatever ends its user's tokens.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography.fernet import InvalidToken

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.fernet import LONGEST, REFUSAL, microseconds
from pileus.services.identity.app.validation import Named, Tokens
from pileus.services.identity.model import IdentitySettings
from pileus.services.identity.store import facts

HEADER = "Openstack-Auth-Receipt"
KIND = "receipt"


class Receipt(msgspec.Struct, array_like=True, frozen=True):
    """What a receipt says; ``kind`` comes first, where tokens have a number."""

    kind: str
    user_id: str
    methods: tuple[str, ...]
    issued_us: int
    expires_us: int


class MoreMethodsNeeded(Unauthenticated):
    """What was shown is right but not enough; ``text`` is the receipt and ``document`` what the client is told."""

    def __init__(self, text: str, document: dict[str, Any]) -> None:
        super().__init__("More methods are needed: repeat the request with one of them and with the receipt.")
        self.text = text
        self.document = document


def make(
    runtime: Runtime, user_id: str, user_name: str, domain: Named, methods: tuple[str, ...], rules: list[list[str]]
) -> MoreMethodsNeeded:
    """Return the refusal that carries a new receipt."""
    now = clock.now()
    expires = now + timedelta(seconds=runtime.config.get(IdentitySettings).receipt_lifetime_s)
    receipt = Receipt(KIND, user_id, methods, microseconds(now), microseconds(expires))
    text = runtime.part(Tokens).keys.encrypt(msgspec.msgpack.encode(receipt)).rstrip(b"=").decode()
    shown = {
        "methods": list(methods),
        "user": {"id": user_id, "name": user_name, "domain": {"id": domain.id, "name": domain.name}},
        "issued_at": f"{clock.iso_micro(now)}Z",
        "expires_at": f"{clock.iso_micro(expires)}Z",
    }
    return MoreMethodsNeeded(text, {"receipt": shown, "required_auth_methods": rules})


def methods_of(tx: Tx, runtime: Runtime, text: str, user_id: str, domain_id: str) -> tuple[str, ...]:
    """Return what a user has proven by a receipt; raise Unauthenticated for one that is not good (any more)."""
    if len(text) > LONGEST or not text.isascii():
        raise Unauthenticated(REFUSAL)
    try:
        content = runtime.part(Tokens).keys.decrypt(text.encode() + b"=" * (-len(text) % 4))
        receipt = msgspec.msgpack.decode(content, type=Receipt)
    except (InvalidToken, msgspec.DecodeError, ValueError):
        raise Unauthenticated(REFUSAL) from None
    if receipt.kind != KIND or receipt.user_id != user_id or microseconds(clock.now()) >= receipt.expires_us:
        raise Unauthenticated(REFUSAL)
    if facts.is_revoked(
        tx,
        audit_id="",
        audit_chain_id="",
        user_ids={user_id},
        project_id=None,
        domain_ids={domain_id},
        issued_at=datetime.fromtimestamp(receipt.issued_us / 1e6, UTC),
    ):
        raise Unauthenticated(REFUSAL)
    return receipt.methods
