"""Identity providers, protocols, mappings, service providers, and the users and memberships that came of them."""

import hashlib
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Mapping_
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, select

from pileus.kernel.db import Tx
from pileus.services.identity.model.federation import (
    ExpiringMembership,
    FederatedUser,
    IdentityProvider,
    Mapping,
    Protocol,
    RemoteId,
    ServiceProvider,
    UsedAssertion,
)


def get_provider(tx: Tx, id: str) -> IdentityProvider | None:
    """Return an identity provider."""
    return tx.get(IdentityProvider, id)


def select_providers() -> Select[Any]:
    """Return the statement of a listing."""
    return select(IdentityProvider)


def providers_in(tx: Tx, domain_id: str) -> list[IdentityProvider]:
    """Return the providers whose people are in a domain."""
    return list(tx.scalars(select(IdentityProvider).where(IdentityProvider.domain_id == domain_id)))


def remote_ids_of(tx: Tx, provider_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the remote ids of providers, in the order they were given."""
    found: dict[str, list[str]] = {}
    statement = select(RemoteId).where(RemoteId.provider_id.in_(provider_ids)).order_by(RemoteId.position)
    for row in tx.scalars(statement) if provider_ids else ():
        found.setdefault(row.provider_id, []).append(row.remote_id)
    return found


def owner_of_remote_id(tx: Tx, remote_id: str) -> str | None:
    """Return the id of the provider that goes by a remote id."""
    row = tx.get(RemoteId, remote_id)
    return row.provider_id if row is not None else None


def set_remote_ids(tx: Tx, provider_id: str, remote_ids: Iterable[str]) -> None:
    """Replace the remote ids of a provider."""
    tx.execute(delete(RemoteId).where(RemoteId.provider_id == provider_id))
    tx.add_all(
        RemoteId(remote_id=remote_id, provider_id=provider_id, position=position)
        for position, remote_id in enumerate(remote_ids)
    )
    tx.flush()


def delete_provider(tx: Tx, row: IdentityProvider) -> None:
    """Remove a provider, its remote ids, protocols and the memberships it vouched for."""
    for kind in (RemoteId, Protocol, ExpiringMembership, FederatedUser):
        tx.execute(delete(kind).where(kind.provider_id == row.id))
    tx.delete(row)
    tx.flush()


def get_protocol(tx: Tx, provider_id: str, id: str) -> Protocol | None:
    """Return a protocol of a provider."""
    return tx.get(Protocol, (provider_id, id))


def select_protocols(provider_id: str) -> Select[Any]:
    """Return the statement of the listing of a provider's protocols."""
    return select(Protocol).where(Protocol.provider_id == provider_id)


def providers_with(tx: Tx, protocol_id: str) -> list[IdentityProvider]:
    """Return the enabled providers that have a protocol of that name."""
    statement = select(IdentityProvider).join(Protocol, Protocol.provider_id == IdentityProvider.id)
    wanted = statement.where(Protocol.id == protocol_id, IdentityProvider.enabled.is_(True))
    return list(tx.scalars(wanted.order_by(IdentityProvider.id)))


def enabled_protocols(tx: Tx) -> list[Protocol]:
    """Return the protocols of enabled providers, by provider."""
    statement = select(Protocol).join(IdentityProvider, IdentityProvider.id == Protocol.provider_id)
    return list(
        tx.scalars(statement.where(IdentityProvider.enabled.is_(True)).order_by(Protocol.provider_id, Protocol.id))
    )


def get_mapping(tx: Tx, id: str) -> Mapping | None:
    """Return a mapping."""
    return tx.get(Mapping, id)


def select_mappings() -> Select[Any]:
    """Return the statement of a listing."""
    return select(Mapping)


def get_service_provider(tx: Tx, id: str) -> ServiceProvider | None:
    """Return a service provider."""
    return tx.get(ServiceProvider, id)


def select_service_providers() -> Select[Any]:
    """Return the statement of a listing."""
    return select(ServiceProvider)


def enabled_service_providers(tx: Tx) -> list[ServiceProvider]:
    """Return the service providers that tokens tell of."""
    return list(
        tx.scalars(select(ServiceProvider).where(ServiceProvider.enabled.is_(True)).order_by(ServiceProvider.id))
    )


def find_federated_user(tx: Tx, provider_id: str, protocol_id: str, unique_id: str) -> FederatedUser | None:
    """Return who a provider means by a name of its own."""
    return tx.scalar(
        select(FederatedUser).where(
            FederatedUser.provider_id == provider_id,
            FederatedUser.protocol_id == protocol_id,
            FederatedUser.unique_id == unique_id,
        )
    )


def federated_users_of(tx: Tx, user_ids: Sequence[str]) -> dict[str, list[FederatedUser]]:
    """Return what providers call these users."""
    found: dict[str, list[FederatedUser]] = {}
    statement = select(FederatedUser).where(FederatedUser.user_id.in_(user_ids))
    for row in tx.scalars(statement.order_by(FederatedUser.provider_id, FederatedUser.protocol_id)) if user_ids else ():
        found.setdefault(row.user_id, []).append(row)
    return found


def select_linked(given: Mapping_[str, str]) -> Select[Any] | None:
    """Return the statement of the users whom providers call so: by ``idp_id``, ``protocol_id``, ``unique_id``."""
    row = FederatedUser
    columns = {"idp_id": row.provider_id, "protocol_id": row.protocol_id, "unique_id": row.unique_id}
    asked = [column == given[name] for name, column in columns.items() if name in given]
    return select(row.user_id).where(*asked) if asked else None


def users_only_of(tx: Tx, provider_id: str) -> list[str]:
    """Return the ids of the users that nobody but this provider vouches for."""
    theirs = select(FederatedUser.user_id).where(FederatedUser.provider_id == provider_id)
    others = select(FederatedUser.user_id).where(FederatedUser.provider_id != provider_id)
    return list(tx.scalars(theirs.where(FederatedUser.user_id.not_in(others)).distinct()))


def set_memberships(tx: Tx, user_id: str, provider_id: str, group_ids: Iterable[str], expires_at: datetime) -> bool:
    """Replace what a provider says of a user's groups; tell whether the groups are others than before."""
    mine = (ExpiringMembership.user_id == user_id, ExpiringMembership.provider_id == provider_id)
    before = {row.group_id: row for row in tx.scalars(select(ExpiringMembership).where(*mine))}
    wanted = set(group_ids)
    for group_id in wanted:
        if group_id in before:
            before[group_id].expires_at = expires_at
        else:
            tx.add(
                ExpiringMembership(user_id=user_id, group_id=group_id, provider_id=provider_id, expires_at=expires_at)
            )
    for group_id in before.keys() - wanted:
        tx.delete(before[group_id])
    tx.flush()
    return before.keys() != wanted


def group_ids_of(tx: Tx, user_id: str, provider_id: str, now: datetime) -> list[str]:
    """Return the ids of the groups that a provider put a user into and that last."""
    row = ExpiringMembership
    wanted = select(row.group_id).where(row.user_id == user_id, row.provider_id == provider_id, row.expires_at > now)
    return list(tx.scalars(wanted.order_by(row.group_id)))


def delete_memberships(tx: Tx, *, user_ids: Sequence[str] = (), group_ids: Sequence[str] = ()) -> None:
    """Remove what providers said of these users or groups."""
    row = ExpiringMembership
    tx.execute(delete(row).where(row.user_id.in_(user_ids) | row.group_id.in_(group_ids)))


def delete_federated_users(tx: Tx, user_ids: Sequence[str]) -> None:
    """Forget what providers call these users."""
    tx.execute(delete(FederatedUser).where(FederatedUser.user_id.in_(user_ids)))


def use_assertion(tx: Tx, provider_id: str, id: str, expires_at: datetime) -> bool:
    """Remember that an assertion was used; False when it had been used before."""
    digest = hashlib.sha256(f"{provider_id} {id}".encode()).hexdigest()
    if tx.get(UsedAssertion, digest) is not None:
        return False
    tx.add(UsedAssertion(digest=digest, expires_at=expires_at))
    tx.flush()
    return True


def any_expired(tx: Tx, now: datetime) -> bool:
    """Tell whether a membership or the memory of an assertion has ended."""
    if tx.scalar(select(UsedAssertion.digest).where(UsedAssertion.expires_at <= now).limit(1)) is not None:
        return True
    return (
        tx.scalar(select(ExpiringMembership.user_id).where(ExpiringMembership.expires_at <= now).limit(1)) is not None
    )


def delete_expired_memberships(tx: Tx, now: datetime) -> int:
    """Remove the memberships that have ended, and the memory of assertions that have; return how many memberships."""
    tx.execute(delete(UsedAssertion).where(UsedAssertion.expires_at <= now))
    ended = list(tx.scalars(select(ExpiringMembership).where(ExpiringMembership.expires_at <= now)))
    for row in ended:
        tx.delete(row)
    tx.flush()
    return len(ended)
