"""Somebody arrives whom a provider vouches for: found or added here, put into groups and projects, given a token.

Rule: the provider is asked before, in no transaction; everything here happens in one, so that a refused arrival
leaves nothing behind.
"""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden, Unauthenticated
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app import documents, granting, people, tenancy
from pileus.services.identity.app.federation import mapping as engine
from pileus.services.identity.app.federation.mapping import Assertion, Domain, Mapped, ProjectRule
from pileus.services.identity.app.federation.providers import require_protocol, require_provider
from pileus.services.identity.app.issuing import issue
from pileus.services.identity.app.public_ids import public_id
from pileus.services.identity.app.scope import Chosen, DomainReference, find_domain
from pileus.services.identity.app.validation import Tokens
from pileus.services.identity.model import NO_DOMAIN, IdentitySettings, Project, User
from pileus.services.identity.model.federation import FederatedUser, FederationSettings, IdentityProvider
from pileus.services.identity.store import federation, projects, roles, tokens, users

LONGEST_NAME = 255


async def arrive(
    runtime: Runtime,
    ctx: Context,
    provider_id: str,
    protocol_id: str,
    issuer: str,
    assertion: Assertion,
    *,
    once: tuple[str, datetime] | None = None,
) -> tuple[str, dict[str, Any]]:
    """Return the text and document of an unscoped token for whom ``issuer`` described in ``assertion``.

    ``once`` is the id and the end of what may be shown one time only.
    """
    return await runtime.db.write(_arrive, runtime, ctx, provider_id, protocol_id, issuer, assertion, once)


def _arrive(
    tx: Tx,
    runtime: Runtime,
    ctx: Context,
    provider_id: str,
    protocol_id: str,
    issuer: str,
    assertion: Assertion,
    once: tuple[str, datetime] | None,
) -> tuple[str, dict[str, Any]]:
    provider = enabled_provider(tx, provider_id)
    protocol = require_protocol(tx, provider_id, protocol_id)
    _check_remote_id(tx, provider, protocol.remote_id_attribute, issuer, assertion)
    if once is not None and not federation.use_assertion(tx, provider_id, *once):
        raise Unauthenticated("This assertion was used before: each is good once.")
    rules = federation.get_mapping(tx, protocol.mapping_id)
    if rules is None:
        raise Unauthenticated(
            f"The mapping {protocol.mapping_id} of protocol {protocol_id} is gone: it has to name another."
        )
    mapped = engine.apply(rules.rules, rules.schema_version, assertion)
    if mapped.user is not None and mapped.user.type == "local":
        user, whence = _local_user(tx, mapped), None
    else:
        user, whence = _shadow(tx, ctx, provider, protocol_id, mapped), (provider_id, protocol_id)
        _put_into_groups(tx, runtime, provider, user, mapped)
        for project in mapped.projects:
            _put_into_project(tx, runtime, ctx, provider, user, project)
    domain = projects.get_domain(tx, user.domain_id)
    if not user.enabled or domain is None or not domain.enabled:
        raise Unauthenticated(f"The user {user.name} or its domain is disabled here.")
    tx.flush()
    text, token = issue(tx, runtime, Chosen("", "", user.id), ("mapped",), whence=whence)
    return text, documents.token_document(tx, runtime, ctx, token)


def enabled_provider(tx: Tx, id: str) -> IdentityProvider:
    """Return an identity provider that people may come from; raise NotFound or Forbidden."""
    provider = require_provider(tx, id)
    if not provider.enabled:
        raise Forbidden(f"Identity Provider {id} is disabled.")
    return provider


def _check_remote_id(
    tx: Tx, provider: IdentityProvider, attribute: str | None, issuer: str, assertion: Assertion
) -> None:
    known = federation.remote_ids_of(tx, [provider.id]).get(provider.id, [])
    if not known:
        return
    said = list(assertion.get(attribute, ())) if attribute else [issuer]
    if not set(said) & set(known):
        raise Forbidden(
            f"Incoming identity provider identifier not included among the accepted identifiers: {', '.join(said)} "
            f"is none of the remote_ids of {provider.id}."
        )


def _local_user(tx: Tx, mapped: Mapped) -> User:
    rule = mapped.user
    assert rule is not None
    user = None
    if rule.id is not None:
        user = users.get_user(tx, rule.id)
    elif rule.name is not None and (domain := _find_domain(tx, mapped.user_domain)) is not None:
        user = users.find_user(tx, rule.name, domain.id)
    if user is None:
        raise Unauthenticated("The mapping leads to a local user who is not here. Make the user, or mend the mapping.")
    return user


def _find_domain(tx: Tx, given: Domain | None) -> Project | None:
    return find_domain(tx, DomainReference(given.id, given.name)) if given is not None else None


def _domain_id(tx: Tx, given: Domain | None, otherwise: str) -> str:
    if given is None:
        return otherwise
    row = _find_domain(tx, given)
    if row is None:
        raise Unauthenticated(f"The mapping names the domain {given.id or given.name}, which is not here.")
    return row.id


def _shadow(tx: Tx, ctx: Context, provider: IdentityProvider, protocol_id: str, mapped: Mapped) -> User:
    """Return the user that stands for somebody of a provider; add it at the first time."""
    rule = mapped.user
    if rule is None or not (rule.id or rule.name):
        raise Unauthenticated("Could not map user: the mapping gives neither a name nor an id.")
    unique_id, name = quote(rule.id or rule.name or ""), (rule.name or rule.id or "")
    if max(len(unique_id), len(name)) > LONGEST_NAME:
        raise Unauthenticated(f"Could not map user: its name or id is longer than {LONGEST_NAME} characters.")
    known = federation.find_federated_user(tx, provider.id, protocol_id, unique_id)
    user = users.get_user(tx, known.user_id) if known is not None else None
    if user is None:
        domain_id = _domain_id(tx, mapped.user_domain, provider.domain_id)
        user = _first_time(tx, ctx, provider, protocol_id, domain_id, unique_id, name)
    if name not in (user.name, _told_apart(user.name, unique_id)) and _free(tx, name, user.domain_id):
        user.name = name
        tokens.move_revision(tx)
    if rule.email and user.extra.get("email") != rule.email:
        user.extra = {**user.extra, "email": rule.email}
    return user


def _first_time(
    tx: Tx, ctx: Context, provider: IdentityProvider, protocol_id: str, domain_id: str, unique_id: str, name: str
) -> User:
    id = public_id(domain_id, "user", unique_id)
    user = users.get_user(tx, id)
    if user is None:
        wanted = name if _free(tx, name, domain_id) else _told_apart(name, unique_id)
        user = people.create_shadow(tx, ctx, id=id, name=wanted, domain_id=domain_id)
    elif all(row.provider_id != provider.id for row in federation.federated_users_of(tx, [id]).get(id, ())):
        raise Conflict(
            f"Another identity provider of domain {domain_id} has a user {unique_id} already. Providers that share a "
            "domain must not share names: give each a domain of its own, or let the mapping tell them apart."
        )
    tx.add(FederatedUser(user_id=id, provider_id=provider.id, protocol_id=protocol_id, unique_id=unique_id))
    return user


def _free(tx: Tx, name: str, domain_id: str) -> bool:
    return users.find_user(tx, name, domain_id) is None


def _told_apart(name: str, unique_id: str) -> str:
    """Return the name of somebody whose own is taken in the domain: two people may be called alike elsewhere."""
    return f"{name} ({unique_id})"[:LONGEST_NAME]


def _put_into_groups(tx: Tx, runtime: Runtime, provider: IdentityProvider, user: User, mapped: Mapped) -> None:
    known = users.groups_by_id(tx, mapped.group_ids)
    for id in mapped.group_ids - known.keys():
        raise Unauthenticated(f"The mapping names the group {id}, which is not here. Make it, or mend the mapping.")
    wanted = set(known)
    for name, given in mapped.groups:
        domain = _find_domain(tx, given)
        group = users.find_group(tx, name, domain.id) if domain is not None else None
        if group is not None:  # a provider knows many groups that mean nothing here
            wanted.add(group.id)
    if federation.set_memberships(tx, user.id, provider.id, wanted, _until(runtime, provider)):
        tokens.move_revision(tx)


def _until(runtime: Runtime, provider: IdentityProvider) -> datetime:
    """Return until when memberships last: the provider's time, or else as long as the token."""
    default = runtime.config.get(FederationSettings).default_authorization_ttl
    minutes = provider.authorization_ttl if provider.authorization_ttl is not None else default
    lasting = timedelta(minutes=minutes) if minutes else timedelta(seconds=runtime.part(Tokens).lifetime_s)
    return clock.now() + lasting


def _put_into_project(
    tx: Tx, runtime: Runtime, ctx: Context, provider: IdentityProvider, user: User, rule: ProjectRule
) -> None:
    domain_id = _domain_id(tx, rule.domain, provider.domain_id)
    project = projects.find_project(tx, rule.name, domain_id)
    if project is None:
        project = tenancy.create_project(
            tx,
            ctx,
            name=rule.name,
            domain_id=domain_id,
            parent_id=None,
            tags=[],
            settings=runtime.config.get(IdentitySettings),
        )
    for wanted in rule.roles:
        role = roles.find_role(tx, wanted.name, domain_id) or roles.find_role(tx, wanted.name, NO_DOMAIN)
        if role is None:
            raise Unauthenticated(f"The mapping gives the role {wanted.name}, which is not here.")
        granting.grant(tx, ctx, actor=("user", user.id), target=("project", project.id), role=role, inherited=False)
