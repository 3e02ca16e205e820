"""What identity providers call a user, as administrators write it down beforehand.

Rule: one name of a provider leads to one user; who is linked before the first arrival is that user from then on.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid
from pileus.kernel.rest import at_most
from pileus.services.identity.app.references import ProtocolId, ProviderId
from pileus.services.identity.model import User
from pileus.services.identity.model.federation import FederatedUser
from pileus.services.identity.store import federation


class ProtocolLink(msgspec.Struct, forbid_unknown_fields=True):
    protocol_id: ProtocolId
    unique_id: str


class ProviderLink(msgspec.Struct, forbid_unknown_fields=True):
    """One member of a user's ``federated``."""

    idp_id: ProviderId
    protocols: Annotated[list[ProtocolLink], at_most(20)]


def set_links(tx: Tx, user: User, links: Sequence[ProviderLink]) -> None:
    """Replace what providers call a user; raise Invalid for an unknown protocol, Conflict for a name in use."""
    federation.delete_federated_users(tx, [user.id])
    for link in links:
        for protocol in link.protocols:
            if federation.get_protocol(tx, link.idp_id, protocol.protocol_id) is None:
                raise Invalid(
                    f"Could not find federated protocol {protocol.protocol_id} for Identity Provider: {link.idp_id}."
                )
            if federation.find_federated_user(tx, link.idp_id, protocol.protocol_id, protocol.unique_id) is not None:
                raise Conflict(f"{link.idp_id} means another user by {protocol.unique_id} already.")
            tx.add(
                FederatedUser(
                    user_id=user.id,
                    provider_id=link.idp_id,
                    protocol_id=protocol.protocol_id,
                    unique_id=protocol.unique_id,
                )
            )
            tx.flush()


def links_of(tx: Tx, users: Sequence[User]) -> dict[str, list[dict[str, Any]]]:
    """Return the ``federated`` of those users who have any.  Most have a password and no need to be looked for."""
    rows = federation.federated_users_of(tx, [user.id for user in users if user.password_hash is None])
    found: dict[str, list[dict[str, Any]]] = {}
    for user_id, known in rows.items():
        by_provider: dict[str, list[dict[str, str]]] = {}
        for row in known:
            protocols = by_provider.setdefault(row.provider_id, [])
            protocols.append({"protocol_id": row.protocol_id, "unique_id": row.unique_id})
        found[user_id] = [{"idp_id": id, "protocols": protocols} for id, protocols in by_provider.items()]
    return found
