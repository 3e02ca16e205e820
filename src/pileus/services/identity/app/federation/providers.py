"""Identity providers, protocols, mappings and service providers: made, changed and removed.

Rule: what a provider's people rest on cannot be pulled away under them unseen: disabling or removing a provider ends
their tokens in the same transaction.
"""

from typing import Any

from pileus.kernel import events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.services.identity.app import people, tenancy
from pileus.services.identity.app.federation.mapping import check_rules
from pileus.services.identity.model.federation import IdentityProvider, Mapping, Protocol, ServiceProvider
from pileus.services.identity.store import federation, tokens, users

RELAY_STATE_PREFIX = "ss:mem:"


def _missing(noun: str, id: str) -> NotFound:
    return NotFound(f"Could not find {noun}: {id}.")


def _taken(noun: str, id: str) -> Conflict:
    return Conflict(f"Conflict occurred attempting to store {noun} - Duplicate entry found with ID {id}.")


def require_provider(tx: Tx, id: str) -> IdentityProvider:
    """Return an identity provider; raise NotFound."""
    row = federation.get_provider(tx, id)
    if row is None:
        raise _missing("Identity Provider", id)
    return row


def create_provider(
    tx: Tx, ctx: Context, id: str, *, domain_id: str | None, remote_ids: list[str], **more: Any
) -> IdentityProvider:
    """Add an identity provider; without a domain it gets one of its own."""
    if federation.get_provider(tx, id) is not None:
        raise _taken("identity_provider", id)
    if domain_id is None:
        domain_id = ids.new_hex_id()
        description = f"Made for the people of the identity provider {id}"
        tenancy.create_domain(tx, ctx, id=domain_id, name=domain_id, tags=[], description=description)
    people.require_domain(tx, domain_id)
    row = IdentityProvider(id=id, domain_id=domain_id, **more)
    tx.add(row)
    tx.flush()
    _set_remote_ids(tx, id, remote_ids)
    events.emit(tx, "identity.identity_provider.created", id, ctx=ctx)
    return row


def _set_remote_ids(tx: Tx, provider_id: str, remote_ids: list[str]) -> None:
    for remote_id in remote_ids:
        owner = federation.owner_of_remote_id(tx, remote_id)
        if owner is not None and owner != provider_id:
            raise Conflict(f"Duplicate remote ID: {remote_id}. It belongs to the identity provider {owner} already.")
    federation.set_remote_ids(tx, provider_id, remote_ids)


def update_provider(tx: Tx, ctx: Context, row: IdentityProvider, given: dict[str, Any]) -> None:
    """Change an identity provider; disabling it ends the tokens of its people."""
    if "remote_ids" in given:
        _set_remote_ids(tx, row.id, given.pop("remote_ids") or [])
    for name, value in given.items():
        setattr(row, name, value)
    tx.flush()
    tokens.move_revision(tx)
    events.emit(tx, "identity.identity_provider.updated", row.id, ctx=ctx)


def delete_provider(tx: Tx, ctx: Context, row: IdentityProvider) -> None:
    """Remove an identity provider with its protocols and the users that only it vouched for."""
    for user in users.users_by_id(tx, federation.users_only_of(tx, row.id)).values():
        people.delete_user(tx, ctx, user)
    federation.delete_provider(tx, row)
    tokens.move_revision(tx)
    events.emit(tx, "identity.identity_provider.deleted", row.id, ctx=ctx)


def require_protocol(tx: Tx, provider_id: str, id: str) -> Protocol:
    """Return a protocol of a provider; raise NotFound."""
    row = federation.get_protocol(tx, provider_id, id)
    if row is None:
        raise NotFound(f"Could not find federated protocol {id} for Identity Provider: {provider_id}.")
    return row


def _require_mapping_of(tx: Tx, mapping_id: str) -> None:
    if federation.get_mapping(tx, mapping_id) is None:
        raise Invalid(f"Invalid mapping id: {mapping_id}. Make the mapping first.")


def create_protocol(
    tx: Tx, ctx: Context, provider_id: str, id: str, mapping_id: str, remote_id_attribute: str | None
) -> Protocol:
    """Add a protocol to a provider."""
    require_provider(tx, provider_id)
    if federation.get_protocol(tx, provider_id, id) is not None:
        raise _taken("federation_protocol", id)
    _require_mapping_of(tx, mapping_id)
    row = Protocol(provider_id=provider_id, id=id, mapping_id=mapping_id, remote_id_attribute=remote_id_attribute)
    tx.add(row)
    events.emit(tx, "identity.federation_protocol.created", id, ctx=ctx, identity_provider=provider_id)
    return row


def update_protocol(tx: Tx, ctx: Context, row: Protocol, given: dict[str, Any]) -> None:
    """Change a protocol."""
    if "mapping_id" in given:
        _require_mapping_of(tx, given["mapping_id"])
    for name, value in given.items():
        setattr(row, name, value)
    events.emit(tx, "identity.federation_protocol.updated", row.id, ctx=ctx, identity_provider=row.provider_id)


def delete_protocol(tx: Tx, ctx: Context, row: Protocol) -> None:
    """Remove a protocol; tokens that came in by it end."""
    tx.delete(row)
    tokens.move_revision(tx)
    events.emit(tx, "identity.federation_protocol.deleted", row.id, ctx=ctx, identity_provider=row.provider_id)


def require_mapping(tx: Tx, id: str) -> Mapping:
    """Return a mapping; raise NotFound."""
    row = federation.get_mapping(tx, id)
    if row is None:
        raise _missing("mapping", id)
    return row


def create_mapping(tx: Tx, ctx: Context, id: str, rules: list[dict[str, Any]], version: str) -> Mapping:
    """Add a mapping; raise Invalid when its rules have not the form of their version."""
    check_rules(rules, version)
    if federation.get_mapping(tx, id) is not None:
        raise _taken("mapping", id)
    row = Mapping(id=id, rules=rules, schema_version=version)
    tx.add(row)
    events.emit(tx, "identity.mapping.created", id, ctx=ctx)
    return row


def update_mapping(tx: Tx, ctx: Context, row: Mapping, rules: list[dict[str, Any]], version: str) -> None:
    """Replace the rules of a mapping."""
    check_rules(rules, version)
    row.rules, row.schema_version = rules, version
    events.emit(tx, "identity.mapping.updated", row.id, ctx=ctx)


def delete_mapping(tx: Tx, ctx: Context, row: Mapping) -> None:
    """Remove a mapping; a protocol that names it refuses everybody until it names another."""
    tx.delete(row)
    events.emit(tx, "identity.mapping.deleted", row.id, ctx=ctx)


def require_service_provider(tx: Tx, id: str) -> ServiceProvider:
    """Return a service provider; raise NotFound."""
    row = federation.get_service_provider(tx, id)
    if row is None:
        raise _missing("Service Provider", id)
    return row


def create_service_provider(tx: Tx, ctx: Context, id: str, **given: Any) -> ServiceProvider:
    """Add a service provider."""
    if federation.get_service_provider(tx, id) is not None:
        raise _taken("service_provider", id)
    row = ServiceProvider(id=id, **given)
    tx.add(row)
    tokens.move_revision(tx)
    events.emit(tx, "identity.service_provider.created", id, ctx=ctx)
    return row


def update_service_provider(tx: Tx, ctx: Context, row: ServiceProvider, given: dict[str, Any]) -> None:
    """Change a service provider."""
    for name, value in given.items():
        setattr(row, name, value)
    tokens.move_revision(tx)
    events.emit(tx, "identity.service_provider.updated", row.id, ctx=ctx)


def delete_service_provider(tx: Tx, ctx: Context, row: ServiceProvider) -> None:
    """Remove a service provider."""
    tx.delete(row)
    tokens.move_revision(tx)
    events.emit(tx, "identity.service_provider.deleted", row.id, ctx=ctx)
