"""GET /role_assignments: who has which role where."""

from typing import Any

from pileus.dialects.keystone import truth
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Page, Request
from pileus.services.identity.api.router import api, url
from pileus.services.identity.api.rules import EVERY, LIST, seen_domain
from pileus.services.identity.app import assignments
from pileus.services.identity.app.assignments import Entry, Wanted
from pileus.services.identity.store import projects, roles, users

LIST_ASSIGNMENTS = Rule("identity:list_role_assignments", LIST, scopes=EVERY)
LIST_FOR_TREE = Rule("identity:list_role_assignments_for_tree", LIST, scopes=EVERY)


@api.get("/role_assignments", LIST_ASSIGNMENTS, wrap="role_assignments")
def list_role_assignments(tx: Tx, ctx: Context, request: Request) -> Page:
    asked = dict(request.query_items())
    wanted = _wanted(asked)
    if wanted.include_subtree:
        top = projects.get_project(tx, wanted.project_id or "")
        ctx.require(LIST_FOR_TREE, {"target": {"domain_id": top.domain_id if top is not None else None}})
    is_effective = "effective" in asked and truth(asked["effective"])
    found = (assignments.effective if is_effective else assignments.direct)(tx, wanted)
    if (domain := seen_domain(ctx)) is not None:
        found = _within(tx, found, domain)
    names = Names(tx, found) if "include_names" in asked and truth(asked["include_names"]) else None
    return Page([_view(ctx, entry, names) for entry in found])


def _within(tx: Tx, entries: list[Entry], domain_id: str) -> list[Entry]:
    """Return the assignments on a domain and on its projects."""
    targets = projects.projects_by_id(tx, (entry.target_id for entry in entries if entry.target_kind != "system"))
    return [
        entry
        for entry in entries
        if (target := targets.get(entry.target_id)) is not None and domain_id == (target.domain_id or target.id)
    ]


def _wanted(asked: dict[str, str]) -> Wanted:
    """Return the filters; raise Invalid for those that contradict each other."""
    inherited = asked.get("scope.OS-INHERIT:inherited_to")
    wanted = Wanted(
        user_id=asked.get("user.id"),
        group_id=asked.get("group.id"),
        role_id=asked.get("role.id"),
        project_id=asked.get("scope.project.id"),
        domain_id=asked.get("scope.domain.id"),
        system="scope.system" in asked,
        inherited=None if inherited is None else inherited == "projects",
        include_subtree="include_subtree" in asked and truth(asked["include_subtree"]),
    )
    if wanted.user_id and wanted.group_id:
        raise Invalid("Specify a user or group, not both.")
    if sum((wanted.project_id is not None, wanted.domain_id is not None, wanted.system)) > 1:
        raise Invalid("Specify one of scope.project.id, scope.domain.id and scope.system.")
    if wanted.group_id and "effective" in asked and truth(asked["effective"]):
        raise Invalid("Combining effective and group filters makes no sense: an effective list has no groups.")
    if wanted.include_subtree and wanted.project_id is None:
        raise Invalid("scope.project.id must be specified if include_subtree is.")
    return wanted


class Names:
    """The rows that a list of assignments mentions: one query per kind."""

    def __init__(self, tx: Tx, entries: list[Entry]) -> None:
        self.users = users.users_by_id(tx, (e.actor_id for e in entries if e.actor_kind == "user"))
        self.groups = users.groups_by_id(tx, (e.actor_id for e in entries if e.actor_kind == "group"))
        self.projects = projects.projects_by_id(tx, (e.target_id for e in entries if e.target_kind != "system"))
        self.roles = roles.roles_by_id(tx, (e.role_id for e in entries))
        rows = (*self.users.values(), *self.groups.values(), *self.projects.values(), *self.roles.values())
        self.domains = projects.projects_by_id(tx, (row.domain_id for row in rows if row.domain_id))

    def of(self, rows: dict[str, Any], id: str) -> dict[str, Any]:
        """Return ``{"id", "name", "domain"}`` of one row."""
        row = rows.get(id)
        if row is None:
            return {"id": id, "name": ""}
        domain = self.domains.get(row.domain_id)
        shown: dict[str, Any] = {"id": id, "name": row.name}
        if domain is not None:
            shown["domain"] = {"id": domain.id, "name": domain.name}
        return shown


def _view(ctx: Context, entry: Entry, names: Names | None) -> dict[str, Any]:
    actor: dict[str, Any] = {"id": entry.actor_id}
    role: dict[str, Any] = {"id": entry.role_id}
    target: Any = {"id": entry.target_id}
    if names is not None:
        actor = names.of(names.users if entry.actor_kind == "user" else names.groups, entry.actor_id)
        role = names.of(names.roles, entry.role_id)
        target = names.of(names.projects, entry.target_id)
    scope: dict[str, Any] = {entry.target_kind: {"all": True} if entry.target_kind == "system" else target}
    if entry.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
    return {"role": role, entry.actor_kind: actor, "scope": scope, "links": _links(ctx, entry)}


def _links(ctx: Context, entry: Entry) -> dict[str, str]:
    """Return where the assignment was given, and the membership and inference that made it effective."""
    kind, id = (entry.from_kind, entry.from_id) if entry.from_id else (entry.target_kind, entry.target_id)
    place = "/system" if kind == "system" else f"/{kind}s/{id}"
    actor = f"/groups/{entry.group_id}" if entry.group_id else f"/{entry.actor_kind}s/{entry.actor_id}"
    path = f"{place}{actor}/roles/{entry.prior_role_id or entry.role_id}"
    if entry.inherited:
        path = f"/OS-INHERIT{path}/inherited_to_projects"
    links = {"assignment": url(ctx, path)}
    if entry.group_id:
        links["membership"] = url(ctx, f"/groups/{entry.group_id}/users/{entry.actor_id}")
    if entry.prior_role_id:
        links["prior_role"] = url(ctx, f"/prior_role/{entry.prior_role_id}/implies/{entry.role_id}")
    return links
