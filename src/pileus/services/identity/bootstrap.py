"""What a new cloud starts with: a domain, roles, projects, people, and the catalog of what it serves.

Rule: it only adds what is missing; what an operator changed or removed by choice of value stays so.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from pileus.kernel import clock, events, ids
from pileus.kernel.db import Tx
from pileus.kernel.files import write_durably
from pileus.kernel.runtime import Runtime
from pileus.services.identity.app.passwords import hash_now
from pileus.services.identity.first_passwords import PEOPLE, hash_of, password_of
from pileus.services.identity.model import (
    BASE_ROLES,
    DEFAULT_DOMAIN,
    IMPLIED,
    INTERFACES,
    NO_DOMAIN,
    SYSTEM,
    Assignment,
    CatalogService,
    Endpoint,
    IdentitySettings,
    ImpliedRole,
    Project,
    Region,
    Revision,
    Role,
    User,
)
from pileus.services.identity.model.audit import CONSUMER
from pileus.services.identity.store import catalog, tokens

PROJECTS = ("admin", "demo", "alt_demo", "service", "invisible_to_admin")


def bootstrap(tx: Tx, runtime: Runtime) -> None:
    """Add what is missing; runs at every start."""
    if tx.get(Revision, 1) is None:
        _first_start(tx, runtime)
    _catalog(tx, runtime)
    events.follow_from_now(tx, CONSUMER)


def _first_start(tx: Tx, runtime: Runtime) -> None:
    tx.add(Revision(id=1, value=1))
    tx.add(
        Project(
            id=DEFAULT_DOMAIN,
            domain_id=NO_DOMAIN,
            parent_id=None,
            is_domain=True,
            name="Default",
            description="The default domain",
        )
    )
    role_ids = {name: ids.new_hex_id() for name in BASE_ROLES}
    tx.add_all(Role(id=id, name=name, options={"immutable": True}) for name, id in role_ids.items())
    for prior, implied in IMPLIED.items():
        tx.add_all(ImpliedRole(prior_role_id=role_ids[prior], implied_role_id=role_ids[name]) for name in implied)
    project_ids = {name: ids.new_hex_id() for name in PROJECTS}
    tx.add_all(
        Project(id=id, domain_id=DEFAULT_DOMAIN, parent_id=DEFAULT_DOMAIN, name=name)
        for name, id in project_ids.items()
    )
    hashes = _hashes(runtime)
    for name, grants in PEOPLE.items():
        user = _person(name, hashes[name])
        tx.add(user)
        for project, role in grants:
            tx.add(_grant(user.id, "project", project_ids[project], role_ids[role]))
        if name == "admin":
            tx.add(_grant(user.id, "domain", DEFAULT_DOMAIN, role_ids["admin"]))
            tx.add(_grant(user.id, SYSTEM, SYSTEM, role_ids["admin"]))
    tx.flush()


def _hashes(runtime: Runtime) -> dict[str, str]:
    """Return the hash of everybody's password; bcrypt works outside the interpreter's lock, so on all cores."""
    rounds = runtime.config.get(IdentitySettings).password_hash_rounds
    known = _credentials(runtime)
    with ThreadPoolExecutor() as threads:
        made = threads.map(lambda name: _hash(name, known[name]["password"], rounds), PEOPLE)
        return dict(zip(PEOPLE, made, strict=True))


def _hash(name: str, password: str, rounds: int) -> str:
    return hash_of(name, password, rounds) or hash_now(password, rounds)


def _person(name: str, hashed: str) -> User:
    now = clock.now()
    return User(
        id=ids.new_hex_id(),
        domain_id=DEFAULT_DOMAIN,
        name=name,
        password_hash=hashed,
        password_changed_at=now,
        created_at=now,
    )


def _grant(user_id: str, kind: str, target_id: str, role_id: str) -> Assignment:
    return Assignment(
        actor_id=user_id, actor_kind="user", target_kind=kind, target_id=target_id, role_id=role_id, inherited=False
    )


def credentials_file(state: Path) -> Path:
    """Return where the passwords of the users made at first start are kept."""
    return state / "credentials.json"


def _credentials(runtime: Runtime) -> dict[str, dict[str, str]]:
    """Return name to user, password and project; written to the file once, readable by its owner only."""
    path = credentials_file(runtime.config.state)
    if path.exists():
        return msgspec.json.decode(path.read_bytes())
    settings = runtime.config.get(IdentitySettings)
    found: dict[str, Any] = {
        name: {
            "user": name,
            "password": getattr(settings, f"{name}_password") or password_of(name),
            "project": grants[0][0],
        }
        for name, grants in PEOPLE.items()
    }
    write_durably(path, msgspec.json.format(msgspec.json.encode(found)))
    return found


def _catalog(tx: Tx, runtime: Runtime) -> None:
    """Add the services of this program that the catalog does not have."""
    region = runtime.config.cloud.region
    if catalog.get_region(tx, region) is None:
        tx.add(Region(id=region))
    there = {(row.type, row.name) for row in tx.scalars(select(CatalogService))}
    for service in runtime.services:
        for entry in service.catalog:
            if (entry.type, entry.name) in there:
                continue
            tokens.move_revision(tx)
            row = CatalogService(id=ids.new_hex_id(), type=entry.type, name=entry.name, description=entry.description)
            tx.add(row)
            url = f"$(base_url)s{entry.url.replace('%(', '$(')}"
            tx.add_all(
                Endpoint(id=ids.new_hex_id(), service_id=row.id, interface=interface, region_id=region, url=url)
                for interface in INTERFACES
            )
