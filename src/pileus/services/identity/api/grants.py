"""Roles of users and groups on projects, domains and the system: one family of paths for each pair.

Rule: who gives a role must be allowed for the actor, the target and the role together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Page, Request
from pileus.services.identity.api.domains import load_domain
from pileus.services.identity.api.groups import load_group
from pileus.services.identity.api.projects import load_project
from pileus.services.identity.api.router import api
from pileus.services.identity.api.rules import ADMIN, CLOUD, EVERY, MANAGED_ROLE, SYSTEM_READER, named
from pileus.services.identity.api.users import load_user
from pileus.services.identity.api.views import role_view
from pileus.services.identity.app import granting
from pileus.services.identity.model import SYSTEM, Role
from pileus.services.identity.store import roles


def _within(role: str) -> str:
    """Return the check of a domain's reader or manager: actor and target both stand in the caller's domain."""
    pairs = " or ".join(
        f"(domain_id:%(target.{actor}.domain_id)s and domain_id:%(target.{target})s)"
        for actor in ("user", "group")
        for target in ("project.domain_id", "domain.id")
    )
    return f"(role:{role} and ({pairs}))"


_OWN_ROLE = "(domain_id:%(target.role.domain_id)s or '':%(target.role.domain_id)s)"
"""A role of all domains, or of the caller's own."""
_MANAGE = f"rule:admin_required or ({_within('manager')} and ({MANAGED_ROLE}))"
LIST_GRANTS = Rule("identity:list_grants", f"{SYSTEM_READER} or {_within('reader')}", scopes=EVERY)
CHECK_GRANT = Rule("identity:check_grant", f"{SYSTEM_READER} or ({_within('reader')} and {_OWN_ROLE})", scopes=EVERY)
CREATE_GRANT = Rule("identity:create_grant", _MANAGE, scopes=EVERY)
REVOKE_GRANT = Rule("identity:revoke_grant", _MANAGE, scopes=EVERY)


@dataclass(frozen=True)
class Verbs:
    """The rules of one family's verbs."""

    list: Rule
    check: Rule
    create: Rule
    revoke: Rule


def _on_system(actor: str) -> Verbs:
    noun = f"for_{actor}"
    return Verbs(
        Rule(f"identity:list_system_grants_{noun}", SYSTEM_READER, scopes=CLOUD),
        Rule(f"identity:check_system_grant_{noun}", SYSTEM_READER, scopes=CLOUD),
        Rule(f"identity:create_system_grant_{noun}", ADMIN, scopes=CLOUD),
        Rule(f"identity:revoke_system_grant_{noun}", ADMIN, scopes=CLOUD),
    )


LOADERS: dict[str, Callable[[Tx, Context, str], Any]] = {
    "user": load_user,
    "group": load_group,
    "project": load_project,
    "domain": load_domain,
}


@dataclass(frozen=True)
class Family:
    """One pair of actor and target, inherited or not."""

    target: str
    actor: str
    inherited: bool = False

    @property
    def path(self) -> str:
        """Return the path of the list."""
        target = "/system" if self.target == SYSTEM else f"/{self.target}s/{{{self.target}}}"
        path = f"{target}/{self.actor}s/{{{self.actor}}}/roles"
        return f"/OS-INHERIT{path}" if self.inherited else path

    def parties(
        self, tx: Tx, ctx: Context, request: Request, rule: Rule, role: Role | None = None
    ) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return actor and target as (kind, id), loaded and judged."""
        things: dict[str, Any] = {}
        try:
            actor = things[self.actor] = LOADERS[self.actor](tx, ctx, request.params[self.actor])
            target_id = SYSTEM
            if self.target != SYSTEM:
                target = things[self.target] = LOADERS[self.target](tx, ctx, request.params[self.target])
                target_id = target.id
        except NotFound:
            named(ctx, rule, **things)
            raise
        if role is not None:
            things["role"] = role
        named(ctx, rule, **things)
        return (self.actor, actor.id), (self.target, target_id)


def declare(family: Family) -> None:
    """Declare the verbs of one family."""
    plain = Verbs(LIST_GRANTS, CHECK_GRANT, CREATE_GRANT, REVOKE_GRANT)
    verbs = _on_system(family.actor) if family.target == SYSTEM else plain
    one = f"{family.path}/{{role}}{'/inherited_to_projects' if family.inherited else ''}"
    many = f"{family.path}{'/inherited_to_projects' if family.inherited else ''}"

    @api.get(many, verbs.list, wrap="roles", by_handler=True)
    def list_grants(tx: Tx, ctx: Context, request: Request) -> Page:
        actor, target = family.parties(tx, ctx, request, verbs.list)
        rows = roles.roles_between(tx, actor[1], target[1], family.inherited)
        return Page([role_view(ctx, row) for row in rows])

    @api.get(one, verbs.check, by_handler=True)
    def check_grant(tx: Tx, ctx: Context, request: Request, role: Role) -> None:
        actor, target = family.parties(tx, ctx, request, verbs.check, role)
        if roles.get_assignment(tx, actor[1], target[1], role.id, family.inherited) is None:
            raise granting.not_granted(actor, target, role.id)

    @api.put(one, verbs.create, by_handler=True)
    def create_grant(tx: Tx, ctx: Context, request: Request, role: Role) -> None:
        actor, target = family.parties(tx, ctx, request, verbs.create, role)
        granting.grant(tx, ctx, actor=actor, target=target, role=role, inherited=family.inherited)

    @api.delete(one, verbs.revoke, by_handler=True)
    def revoke_grant(tx: Tx, ctx: Context, request: Request, role: Role) -> None:
        actor, target = family.parties(tx, ctx, request, verbs.revoke, role)
        granting.revoke(tx, ctx, actor=actor, target=target, role_id=role.id, inherited=family.inherited)


for _actor in ("user", "group"):
    declare(Family(SYSTEM, _actor))
    for _target in ("project", "domain"):
        declare(Family(_target, _actor))
        declare(Family(_target, _actor, inherited=True))
