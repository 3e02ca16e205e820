"""Settings of single domains: which back end holds its people, and how to reach it.

Rule: what is secret goes in and never comes out through the API.
"""

from typing import Any

import msgspec

from pileus.kernel import events
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Forbidden, NotFound
from pileus.kernel.runtime import Runtime, runtime_of
from pileus.services.identity.app.secrets import CredentialKeys
from pileus.services.identity.model import DEFAULT_DOMAIN, IdentitySettings
from pileus.services.identity.model.domain_configs import DEFAULTS, SECRET, DomainOption
from pileus.services.identity.store import domain_configs

COMPLIANCE = "security_compliance"
READABLE = ("password_regex", "password_regex_description")


def _refused(reason: str) -> Forbidden:
    return Forbidden(f"Invalid domain specific configuration: {reason}")


def _is_secret(section: str, name: str) -> bool:
    return name in SECRET.get(section, ())


def check_names(section: str | None, name: str | None) -> None:
    """Raise Forbidden for a group or an option that domains cannot set."""
    if section is not None and section not in DEFAULTS:
        raise _refused(f"group {section} is not supported; the groups are {', '.join(DEFAULTS)}.")
    if section is not None and name is not None and name not in DEFAULTS[section] and not _is_secret(section, name):
        raise _refused(f"option {name} in group {section} is not supported.")


def _check_config(config: dict[str, Any]) -> None:
    if not config:
        raise _refused("no options were given.")
    for section, options in config.items():
        if not isinstance(options, dict) or not options:
            raise _refused(f"the value of group {section} must be an object of options.")
        for name, value in options.items():
            check_names(section, name)
            if (section, name) == ("identity", "list_limit") and value is not None and _count(value) is None:
                raise _refused("list_limit in group identity must be a whole number from 1 on, or null for no limit.")


def _count(value: Any) -> int | None:
    """Return a number from 1 on, which clients may send as text; None for anything else."""
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 10**9 else None


def list_limit(tx: Tx, domain_id: str | None) -> int | None:
    """Return how many entries a list has at most: what the domain has set for its people, else what holds for all."""
    rows = domain_configs.list_options(tx, domain_id, "identity", "list_limit") if domain_id is not None else []
    own = _count(msgspec.json.decode(rows[0].value)) if rows else None
    return own or runtime_of(tx).config.get(IdentitySettings).list_limit


def _missing(domain_id: str, section: str | None, name: str | None) -> NotFound:
    what = f"option {name} in group {section}" if name else f"group {section}" if section else "any options"
    return NotFound(f"Could not find {what} in domain configuration for domain {domain_id}.")


def show(tx: Tx, domain_id: str, section: str | None = None, name: str | None = None) -> dict[str, Any]:
    """Return what a domain has set, secrets left out; raise NotFound when that is nothing."""
    check_names(section, name)
    rows = [
        row
        for row in domain_configs.list_options(tx, domain_id, section, name)
        if not _is_secret(row.section, row.name)
    ]
    if not rows:
        raise _missing(domain_id, section, name)
    if name is not None:
        return {name: msgspec.json.decode(rows[0].value)}
    return _nested(rows)


def _nested(rows: list[DomainOption]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for row in rows:
        config.setdefault(row.section, {})[row.name] = msgspec.json.decode(row.value)
    return config


def create(
    tx: Tx, runtime: Runtime, ctx: Context, domain_id: str, config: dict[str, Any]
) -> tuple[dict[str, Any], bool]:
    """Replace all that a domain has set; return what is shown of it, and whether there was nothing before."""
    _check_config(config)
    before = domain_configs.list_options(tx, domain_id)
    domain_configs.delete_options(tx, before)
    _write(tx, runtime, domain_id, config)
    events.emit(tx, "identity.domain.updated", domain_id, ctx=ctx)
    shown = [row for row in domain_configs.list_options(tx, domain_id) if not _is_secret(row.section, row.name)]
    return _nested(shown), not before


def _write(tx: Tx, runtime: Runtime, domain_id: str, config: dict[str, Any]) -> None:
    for section, options in config.items():
        for name, value in options.items():
            text = msgspec.json.encode(value)
            kept = runtime.part(CredentialKeys).encrypt(text) if _is_secret(section, name) else text
            domain_configs.put_option(tx, domain_id, section, name, kept.decode())
    tx.flush()


def update(
    tx: Tx,
    runtime: Runtime,
    ctx: Context,
    domain_id: str,
    config: dict[str, Any],
    section: str | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """Change some options; with a group or an option named, that alone, and it must have been set before."""
    check_names(section, name)
    if section is not None and name is not None:
        config = {section: config}
    _check_config(config)
    if section is not None:
        if set(config) != {section} or (name is not None and set(config[section]) != {name}):
            raise _refused(f"only {f'option {name} of ' if name else ''}group {section} can be changed at this URL.")
        if not domain_configs.list_options(tx, domain_id, section, name):
            raise _missing(domain_id, section, name)
    _write(tx, runtime, domain_id, config)
    events.emit(tx, "identity.domain.updated", domain_id, ctx=ctx)
    return show(tx, domain_id)


def delete(tx: Tx, ctx: Context, domain_id: str, section: str | None = None, name: str | None = None) -> None:
    """Forget what a domain has set: all, a group or an option; raise NotFound for one that was not set."""
    check_names(section, name)
    rows = domain_configs.list_options(tx, domain_id, section, name)
    if not rows and section is not None:
        raise _missing(domain_id, section, name)
    domain_configs.delete_options(tx, rows)
    events.emit(tx, "identity.domain.updated", domain_id, ctx=ctx)


def default(section: str | None = None, name: str | None = None) -> dict[str, Any]:
    """Return what counts for a domain that has set nothing."""
    check_names(section, name)
    if section is None:
        return DEFAULTS
    if name is None:
        return {section: DEFAULTS[section]}
    if _is_secret(section, name):
        raise _refused(f"option {name} in group {section} is secret.")
    return {name: DEFAULTS[section][name]}


def compliance(settings: IdentitySettings, domain_id: str, name: str | None = None) -> dict[str, Any]:
    """Return the rules for passwords that users may read, so that forms can check what is typed."""
    if domain_id != DEFAULT_DOMAIN:
        raise _refused("the rules for passwords are those of the default domain; ask for them there.")
    if name is not None and name not in READABLE:
        raise _refused(f"of group {COMPLIANCE} only {' and '.join(READABLE)} can be read.")
    rules = {option: getattr(settings.security_compliance, option) for option in READABLE}
    return {name: rules[name]} if name is not None else {COMPLIANCE: rules}


def complete(tx: Tx, runtime: Runtime, domain_id: str) -> dict[str, dict[str, Any]]:
    """Return every option of a domain with its secrets, for back ends; ``%(password)s`` in a text is filled in."""
    config: dict[str, dict[str, Any]] = {section: dict(options) for section, options in DEFAULTS.items()}
    secrets: dict[str, Any] = {}
    rows = domain_configs.list_options(tx, domain_id)
    for row in rows:
        if _is_secret(row.section, row.name):
            value = msgspec.json.decode(runtime.part(CredentialKeys).decrypt(row.value.encode()))
            config[row.section][row.name] = secrets[row.name] = value
    for row in rows:
        if not _is_secret(row.section, row.name):
            value = msgspec.json.decode(row.value)
            config[row.section][row.name] = _filled(value, secrets)
    return config


def _filled(value: Any, secrets: dict[str, Any]) -> Any:
    if isinstance(value, str):
        for name, secret in secrets.items():
            value = value.replace(f"%({name})s", str(secret))
    return value
