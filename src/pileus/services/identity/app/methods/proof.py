"""What every method is given and gives back.

Rule: a method does not refuse a name that is not there; it returns a proof without a user, and the refusal comes
once everything was checked that would have been checked for one who is.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.rest import Request
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.fernet import Payload
from pileus.services.identity.app.scope import Chosen, DomainReference, find_domain
from pileus.services.identity.model import User
from pileus.services.identity.store import users


@dataclass(frozen=True, slots=True)
class Attempt:
    """The request somebody tries to log in with."""

    runtime: Runtime
    ctx: Context
    request: Request


@dataclass(slots=True, kw_only=True)
class Proof:
    """What one method showed."""

    user_id: str | None = None
    """None: nobody was found, or nothing was shown."""
    secret: str | None = None
    """What is still to be compared with ``hashed``, off the event loop."""
    hashed: str | None = None
    needs_secret: bool = False
    credential_id: str | None = None
    chosen: Chosen | None = None
    """The scope, where the method leaves no choice."""
    parent: Payload | None = None
    """The token that this one comes of."""
    spend: Callable[[Tx], None] | None = None
    """Runs in a transaction of its own that writes, once all proofs held; raises Unauthenticated for what counts once
    and was used before."""
    ask: Callable[[], Awaitable[str | None]] | None = None
    """Asks somebody else, in no transaction, and returns the id of the user who it is, or None."""
    failed: Callable[[Tx], None] | None = None
    """Runs in a transaction of its own that writes, when the secret did not fit."""
    settle: Callable[[Tx], None] | None = None
    """Runs in the transaction that makes the token, once all proofs held; raises Unauthenticated."""
    writes: bool = False
    """``settle`` changes something."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to prove who one is."""

    body: type[msgspec.Struct]
    """What ``auth.identity.<method>`` holds."""
    prove: Callable[[Tx, Attempt, Any], Proof]
    """``prove(tx, attempt, body)`` in a transaction that only reads; it may be run again."""


class UserReference(msgspec.Struct):
    """A user by id, or by name and domain."""

    id: str | None = None
    name: str | None = None
    domain: DomainReference | None = None


def _texts(given: UserReference) -> list[str]:
    """Return what names a user."""
    domain = given.domain
    return [text for text in (given.id, given.name, domain and domain.id, domain and domain.name) if text]


def named_users(given: Mapping[str, msgspec.Struct]) -> list[str]:
    """Return what stands for those who are named, whether or not there are such."""
    found = []
    for body in given.values():
        user = getattr(body, "user", None)
        if isinstance(user, UserReference):
            found.append("\0".join(_texts(user)).lower())
        elif isinstance(named := getattr(body, "id", None), str):
            found.append(named)
    return found


def find_user(tx: Tx, given: UserReference) -> User | None:
    """Return the user that is meant, only to be looked at; raise Invalid when none is named."""
    if any("\0" in text for text in _texts(given)):
        return None  # nobody is called so, and not every database can be asked
    if given.id:
        return users.get_user(tx, given.id)
    if not given.name:
        raise Invalid("Who logs in must be named by user.id, or by user.name and user.domain.")
    if given.domain is None or not (given.domain.id or given.domain.name):
        raise Invalid("user.domain with an id or a name is needed beside user.name.")
    if given.domain.id:
        return users.find_record(tx, given.name, given.domain.id)
    domain = find_domain(tx, given.domain)
    return users.find_record(tx, given.name, domain.id) if domain is not None else None
