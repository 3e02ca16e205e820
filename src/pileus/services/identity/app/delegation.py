"""Application credentials: a user hands some of its roles to a program.

Rule: nobody hands on more than the token at hand grants, and a restricted credential hands on nothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from pileus.kernel import clock, events, ids
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Forbidden, Invalid
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.passwords import Passwords, hash_generated
from pileus.services.identity.app.validation import Token
from pileus.services.identity.model import AccessRule, ApplicationCredential
from pileus.services.identity.store import application_credentials, tokens

RuleGiven = tuple[str | None, str | None, str | None, str | None]
"""An access rule by its id, or by service, path and method."""


async def secret(runtime: Runtime, given: str | None) -> tuple[str, str]:
    """Return a secret, made here unless given, and its hash."""
    if given is None:
        made = ids.new_secret(48)
        return made, hash_generated(made)
    return given, await runtime.part(Passwords).hash(given)


def expiry(text: str | None) -> datetime | None:
    """Return the moment a credential ends; raise Invalid for what is no time or past."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"expires_at must be a time such as 2030-01-31T09:30:00.000000, not {text[:64]!r}.") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment <= clock.now():
        raise Invalid(f"expires_at must be in the future, not {text[:64]}.")
    return moment


PRIMARY = frozenset({"external", "kerberos", "mapped", "openid", "password", "saml2", "token", "totp", "x509"})
"""Methods by which somebody comes in person; tokens of all others stand for a part of what somebody may do."""


def is_delegated(methods: Sequence[str]) -> bool:
    """Tell whether a token made by these methods stands for less than its user."""
    return not methods or not PRIMARY.issuperset(methods)


def require_in_person(token: Token) -> None:
    """Raise Forbidden for tokens that somebody was handed: what they make would outlive what they stand for."""
    if token.trust is not None or is_delegated(token.payload.methods):
        raise Forbidden("A delegated token (application credential, trust, EC2, OAuth) may not do this: log in.")


def require_keeper(token: Token) -> None:
    """Raise Forbidden for tokens that may not even look at the application credentials of their user."""
    if token.application_credential is None and (token.trust is not None or is_delegated(token.payload.methods)):
        raise Forbidden(
            "A token of a trust, of an EC2 credential or of OAuth may not manage application credentials: log in."
        )


def require_unrestricted(token: Token) -> None:
    """Raise Forbidden for tokens that may make and remove no application credentials."""
    require_keeper(token)
    if token.restricted:
        raise Forbidden(
            "This token came of a restricted application credential, which may not manage others: log in as the user."
        )


def require_giver(token: Token) -> None:
    """Raise Forbidden for tokens that may have nothing to do with trusts; those of trusts may, to hand them on."""
    if is_delegated(token.payload.methods):
        raise Forbidden("A token of an application or EC2 credential or of OAuth may not manage trusts: log in.")


def create_application_credential(
    tx: Tx,
    ctx: Context,
    *,
    user_id: str,
    name: str,
    asked_roles: Sequence[tuple[str | None, str | None]] | None,
    rules: Sequence[RuleGiven] | None,
    **more: object,
) -> ApplicationCredential:
    """Add a credential for the token's project."""
    token: Token = ctx.caller.token
    require_unrestricted(token)
    if token.project is None:
        raise Invalid("An application credential is for a project: use a token of a project to make one.")
    if application_credentials.find_application_credential(tx, user_id, name) is not None:
        raise Conflict(
            f"Conflict occurred attempting to store application_credential - Duplicate entry found with name {name}."
        )
    row = ApplicationCredential(
        id=ids.new_hex_id(),
        user_id=user_id,
        project_id=token.project.id,
        name=name,
        role_ids=_roles(token, asked_roles),
        access_rule_ids=None if rules is None else [_rule(tx, user_id, rule) for rule in rules],
        **more,
    )
    tx.add(row)
    tx.flush()
    events.emit(tx, "identity.application_credential.created", row.id, ctx=ctx)
    return row


def _roles(token: Token, asked: Sequence[tuple[str | None, str | None]] | None) -> list[str]:
    """Return the ids of the roles asked for, all of the token's by default; raise Invalid for one it lacks."""
    if asked is None:
        return [role.id for role in token.roles]
    found = []
    for id, name in asked:
        match = [role.id for role in token.roles if role.id == id or (id is None and role.name == name)]
        if not match:
            raise Invalid(f"Invalid application credential: this token does not have the role {id or name}.")
        found.append(match[0])
    return found


def _rule(tx: Tx, user_id: str, given: RuleGiven) -> str:
    """Return the id of an access rule, the user's own or a new one."""
    id, service, path, method = given
    if id is not None:
        row = application_credentials.get_access_rule(tx, id)
        if row is None or row.user_id != user_id:
            raise Invalid(f"Could not find access rule: {id}.")
        return row.id
    if service is None or path is None or method is None:
        raise Invalid("An access rule has an id, or a service, a path and a method.")
    row = application_credentials.find_access_rule(tx, user_id, service, path, method)
    if row is None:
        row = AccessRule(id=ids.new_hex_id(), user_id=user_id, service=service, path=path, method=method)
        tx.add(row)
        tx.flush()
    return row.id


def delete_application_credential(tx: Tx, ctx: Context, row: ApplicationCredential) -> None:
    """Remove a credential; its tokens end with it."""
    tx.delete(row)
    tokens.move_revision(tx)
    events.emit(tx, "identity.application_credential.deleted", row.id, ctx=ctx)
