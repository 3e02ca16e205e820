"""Projects, their place in the tree, and their tags."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import func, select

from pileus.dialects.keystone import truth
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Request, changes
from pileus.services.identity.api import options
from pileus.services.identity.api.domains import create_as_project
from pileus.services.identity.api.options import Immutable
from pileus.services.identity.api.router import SEEN, api, extra, listing, missing, url
from pileus.services.identity.api.rules import EVERY, LIST, SYSTEM_READER, manager_of, named, reader_of, seen_domain
from pileus.services.identity.api.views import project_view
from pileus.services.identity.app import people, reach, tenancy
from pileus.services.identity.app.references import DomainId, ProjectId
from pileus.services.identity.model import IdentitySettings, Project, ProjectTag
from pileus.services.identity.store import projects

OWN = "project_id:%(target.project.id)s"
LIST_PROJECTS = Rule("identity:list_projects", LIST, scopes=EVERY)
GET_PROJECT = Rule("identity:get_project", f"{reader_of('project')} or {OWN}", scopes=EVERY)
CREATE_PROJECT = Rule("identity:create_project", manager_of("project"), scopes=EVERY)
UPDATE_PROJECT = Rule("identity:update_project", manager_of("project"), scopes=EVERY)
DELETE_PROJECT = Rule("identity:delete_project", manager_of("project"), scopes=EVERY)
READ_TAGS = f"{SYSTEM_READER} or (role:reader and domain_id:%(target.project.domain_id)s) or {OWN}"
LIST_TAGS = Rule("identity:list_project_tags", READ_TAGS, scopes=EVERY)
GET_TAG = Rule("identity:get_project_tag", READ_TAGS, scopes=EVERY)
WRITE_TAGS = f"{manager_of('project')} or (rule:admin_required and {OWN})"
UPDATE_TAGS = Rule("identity:update_project_tags", WRITE_TAGS, scopes=EVERY)
CREATE_TAG = Rule("identity:create_project_tag", WRITE_TAGS, scopes=EVERY)
DELETE_TAGS = Rule("identity:delete_project_tags", WRITE_TAGS, scopes=EVERY)
DELETE_TAG = Rule("identity:delete_project_tag", WRITE_TAGS, scopes=EVERY)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=SEEN)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^,/]*$")]
Tags = Annotated[list[Tag], msgspec.Meta(max_length=80)]
FILTERS = {
    "id": Project.id,
    "name": Project.name,
    "domain_id": Project.domain_id,
    "parent_id": Project.parent_id,
    "enabled": Project.enabled,
}


class ProjectCreate(OpenBody):
    name: Name
    domain_id: DomainId | None = None
    parent_id: ProjectId | None = None
    description: str | None = None
    enabled: bool = True
    is_domain: bool = False
    tags: Tags = []
    options: Immutable = msgspec.field(default_factory=Immutable)
    extra: Extra = {}


class ProjectUpdate(OpenBody):
    name: Name | UnsetType = UNSET
    domain_id: DomainId | UnsetType | None = UNSET
    parent_id: ProjectId | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    is_domain: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    options: Immutable | UnsetType = UNSET
    extra: Extra = {}


@api.loader(Project)
def load_project(tx: Tx, ctx: Context, id: str) -> Project:
    return projects.get_project(tx, id) or missing("project", id)


@api.get("/projects", LIST_PROJECTS, wrap="projects")
def list_projects(tx: Tx, ctx: Context, request: Request) -> Page:
    asked = dict(request.query_items())
    statement = projects.select_projects(is_domain=truth(asked.get("is_domain", "false")))
    if (domain := seen_domain(ctx)) is not None:
        statement = statement.where(Project.domain_id == domain)
    statement = _by_tags(statement, asked)
    rows, marker = listing(tx, request, statement, Project, FILTERS)
    tags = projects.tags_of(tx, [row.id for row in rows])
    return Page([project_view(ctx, row, tags.get(row.id, [])) for row in rows], marker)


def _by_tags(statement: Any, asked: dict[str, str]) -> Any:
    """Narrow a listing by ``tags`` (all of them), ``tags-any``, ``not-tags`` and ``not-tags-any``."""
    for name, negated, every in (
        ("tags", False, True),
        ("tags-any", False, False),
        ("not-tags", True, True),
        ("not-tags-any", True, False),
    ):
        if name in asked:
            wanted = set(asked[name].split(","))
            having = select(ProjectTag.project_id).where(ProjectTag.name.in_(wanted)).group_by(ProjectTag.project_id)
            if every:
                having = having.having(func.count() == len(wanted))
            statement = statement.where(Project.id.not_in(having) if negated else Project.id.in_(having))
    return statement


@api.get("/projects/{project}", GET_PROJECT, wrap="project")
def show_project(tx: Tx, ctx: Context, request: Request, project: Project) -> dict[str, Any]:
    view = project_view(ctx, project, projects.tags_of(tx, [project.id]).get(project.id, []))
    asked = dict(request.query_items())
    for name, rows in (("parents", projects.parents), ("subtree", lambda tx, row: projects.subtree(tx, row.id))):
        if f"{name}_as_list" in asked and f"{name}_as_ids" in asked:
            raise Invalid(f"Use either {name}_as_list or {name}_as_ids, not both.")
        if f"{name}_as_list" in asked:
            seen = _visible(tx, ctx, rows(tx, project))
            tags = projects.tags_of(tx, [row.id for row in seen])
            view[name] = [{"project": project_view(ctx, row, tags.get(row.id, []))} for row in seen]
        elif f"{name}_as_ids" in asked:
            view[name] = _as_ids(rows(tx, project), project.id, upwards=name == "parents")
    return view


def _visible(tx: Tx, ctx: Context, rows: list[Project]) -> list[Project]:
    """Return the projects of a tree on which the caller has a role; domains are not shown in lists."""
    reached = {row.id for row in reach.projects(tx, ctx.user_id)}
    return [row for row in rows if not row.is_domain and row.id in reached]


def _as_ids(rows: list[Project], at: str, *, upwards: bool) -> dict[str, Any] | None:
    """Return a tree of ids: what is above, or what is below."""
    if upwards:
        tree: dict[str, Any] | None = None
        for row in reversed(rows):
            tree = {row.id: tree}
        return tree
    below = {row.id: _as_ids(rows, row.id, upwards=False) for row in rows if row.parent_id == at}
    return below or None


@api.post("/projects", CREATE_PROJECT, wrap="project", status=201)
def create_project(tx: Tx, ctx: Context, settings: IdentitySettings, body: ProjectCreate) -> dict[str, Any]:
    more = {"description": body.description or "", "enabled": body.enabled, "options": options.new(body.options)}
    kept = extra(body.extra)
    if body.is_domain:
        row = create_as_project(tx, ctx, name=body.name, tags=body.tags, extra=kept, **more)
        return project_view(ctx, row, sorted(set(body.tags)))
    asked = body.domain_id or _domain_of_parent(tx, body.parent_id)
    domain_id = asked or people.own_domain(ctx)
    named(ctx, CREATE_PROJECT, project={"domain_id": asked})
    row = tenancy.create_project(
        tx,
        ctx,
        settings,
        name=body.name,
        domain_id=domain_id,
        parent_id=body.parent_id,
        tags=body.tags,
        extra=kept,
        **more,
    )
    return project_view(ctx, row, sorted(set(body.tags)))


def _domain_of_parent(tx: Tx, parent_id: str | None) -> str | None:
    parent = projects.get_project(tx, parent_id) if parent_id else None
    return None if parent is None else parent.id if parent.is_domain else parent.domain_id


@api.patch("/projects/{project}", UPDATE_PROJECT, wrap="project")
def update_project(tx: Tx, ctx: Context, project: Project, body: ProjectUpdate) -> dict[str, Any]:
    given = changes(body)
    kept = extra(given.pop("extra"))
    if isinstance(body.options, Immutable):
        given["options"] = options.given(body.options)
    tenancy.update_project(tx, ctx, project, given, kept)
    return project_view(ctx, project, projects.tags_of(tx, [project.id]).get(project.id, []))


@api.delete("/projects/{project}", DELETE_PROJECT)
def delete_project(tx: Tx, ctx: Context, project: Project) -> None:
    tenancy.delete_project(tx, ctx, project)


def _tags(tx: Tx, project: Project) -> list[str]:
    return projects.tags_of(tx, [project.id]).get(project.id, [])


@api.get("/projects/{project}/tags", LIST_TAGS)
def list_tags(tx: Tx, ctx: Context, project: Project) -> dict[str, Any]:
    links = {"self": url(ctx, f"/projects/{project.id}/tags"), "previous": None, "next": None}
    return {"tags": _tags(tx, project), "links": links}


@api.put("/projects/{project}/tags", UPDATE_TAGS, body="tags")
def replace_tags(tx: Tx, ctx: Context, project: Project, body: Tags) -> dict[str, Any]:
    tenancy.set_tags(tx, project, body)
    return list_tags(tx, ctx, project)


@api.delete("/projects/{project}/tags", DELETE_TAGS)
def delete_tags(tx: Tx, project: Project) -> None:
    tenancy.set_tags(tx, project, [])


@api.get("/projects/{project}/tags/{tag:path}", GET_TAG)
def check_tag(tx: Tx, project: Project, tag: str) -> None:
    if tag not in _tags(tx, project):
        raise NotFound(f"Could not find project tag: {tag}.")


@api.put("/projects/{project}/tags/{tag:path}", CREATE_TAG, status=201)
def add_tag(tx: Tx, project: Project, tag: str) -> None:
    if not 1 <= len(tag) <= 255 or "," in tag or "/" in tag:
        raise Invalid("A tag has 1 to 255 characters and neither ',' nor '/'.")
    there = _tags(tx, project)
    if tag in there:
        raise Invalid(f"Project {project.id} has the tag {tag} already.")
    if len(there) >= 80:
        raise Invalid(f"Project {project.id} has 80 tags already, the most that are possible.")
    tenancy.set_tags(tx, project, [*there, tag])


@api.delete("/projects/{project}/tags/{tag:path}", DELETE_TAG)
def remove_tag(tx: Tx, project: Project, tag: str) -> None:
    check_tag(tx, project, tag)
    tenancy.set_tags(tx, project, [name for name in _tags(tx, project) if name != tag])
