"""Consumers, their request and access tokens, and the nonces they used."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, or_, select

from pileus.kernel.db import Tx
from pileus.services.identity.model.oauth1 import AccessToken, Consumer, RequestToken, SpentNonce


def get_consumer(tx: Tx, id: str) -> Consumer | None:
    """Return a consumer."""
    return tx.get(Consumer, id)


def select_consumers() -> Select[Any]:
    """Return the statement of a listing."""
    return select(Consumer)


def get_request_token(tx: Tx, id: str) -> RequestToken | None:
    """Return a request token."""
    return tx.get(RequestToken, id)


def get_access_token(tx: Tx, id: str) -> AccessToken | None:
    """Return an access token."""
    return tx.get(AccessToken, id)


def select_access_tokens(user_id: str) -> Select[Any]:
    """Return the statement of the listing of what a user authorized."""
    return select(AccessToken).where(AccessToken.authorizing_user_id == user_id)


def delete_tokens(
    tx: Tx, *, consumer_ids: Sequence[str] = (), user_ids: Sequence[str] = (), project_ids: Sequence[str] = ()
) -> None:
    """Remove the tokens of consumers, users or projects."""
    for row in (RequestToken, AccessToken):
        matching = or_(
            row.consumer_id.in_(consumer_ids),
            row.authorizing_user_id.in_(user_ids),
            row.project_id.in_(project_ids),
        )
        tx.execute(delete(row).where(matching))


def spend_nonce(tx: Tx, id: str, until: datetime) -> bool:
    """Take a nonce; False when it was taken before."""
    if tx.get(SpentNonce, id) is not None:
        return False
    tx.add(SpentNonce(id=id, until=until))
    tx.flush()
    return True


def forget_past(tx: Tx, now: datetime) -> None:
    """Forget nonces of signatures that are too old to count, and tokens that have expired."""
    tx.execute(delete(SpentNonce).where(SpentNonce.until < now))
    for row in (RequestToken, AccessToken):
        tx.execute(delete(row).where(row.expires_at < now))
