"""Users: listed, shown, made, changed, removed; their passwords, groups and projects."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.context import Context
from pileus.kernel.db import Database, Tx
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Extra, InTransaction, OpenBody, Page, Request, at_most, changes
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api import options
from pileus.services.identity.api.options import UserOptions
from pileus.services.identity.api.router import NO_NUL, api, extra, listing, missing
from pileus.services.identity.api.rules import EVERY, LIST, asked_domain, manager_of, named, reader_of, seen_domain
from pileus.services.identity.api.views import group_view, project_view, user_view
from pileus.services.identity.app import compliance, password_change, people, reach
from pileus.services.identity.app.compliance import Rules
from pileus.services.identity.app.directories import Directories, refuse_entry
from pileus.services.identity.app.federation import links
from pileus.services.identity.app.federation.links import ProviderLink
from pileus.services.identity.app.passwords import LONGEST, Passwords
from pileus.services.identity.app.references import DomainId, ProjectId
from pileus.services.identity.model import Group, Project, User
from pileus.services.identity.store import directories, federation, users
from pileus.services.identity.store import projects as project_rows

SELF = "user_id:%(target.user.id)s"
LIST_USERS = Rule("identity:list_users", LIST, scopes=EVERY)
GET_USER = Rule("identity:get_user", f"{reader_of('user')} or {SELF}", scopes=EVERY)
CREATE_USER = Rule("identity:create_user", manager_of("user"), scopes=EVERY)
UPDATE_USER = Rule("identity:update_user", manager_of("user"), scopes=EVERY)
DELETE_USER = Rule("identity:delete_user", manager_of("user"), scopes=EVERY)
USER_GROUPS = Rule("identity:list_groups_for_user", f"{reader_of('user')} or {SELF}", scopes=EVERY)
USER_PROJECTS = Rule("identity:list_user_projects", f"{reader_of('user')} or {SELF}", scopes=EVERY)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=NO_NUL)]
Password = Annotated[str, msgspec.Meta(max_length=LONGEST)]
FILTERS = {
    "id": User.id,
    "name": User.name,
    "domain_id": User.domain_id,
    "enabled": User.enabled,
    "password_expires_at": User.password_expires_at,
}


class UserCreate(OpenBody):
    name: Name
    password: Password | None = None
    domain_id: DomainId | None = None
    enabled: bool = True
    default_project_id: ProjectId | None = None
    description: str | None = None
    options: UserOptions = msgspec.field(default_factory=UserOptions)
    federated: Annotated[list[ProviderLink], at_most(20)] = []
    extra: Extra = {}


class UserUpdate(OpenBody):
    name: Name | UnsetType = UNSET
    password: Password | UnsetType | None = UNSET
    domain_id: DomainId | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    default_project_id: ProjectId | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    options: UserOptions | UnsetType = UNSET
    federated: Annotated[list[ProviderLink], at_most(20)] | UnsetType = UNSET
    extra: Extra = {}


class PasswordChange(Body):
    password: Password
    original_password: Password


@api.loader(User)
def load_user(tx: Tx, ctx: Context, id: str) -> User:
    return users.get_user(tx, id) or missing("user", id)


def user_views(tx: Tx, ctx: Context, runtime: Runtime, rows: list[User]) -> list[dict[str, Any]]:
    """Return the documents of users."""
    inactive = compliance.inactive(tx, runtime.part(Rules), rows)
    linked = links.links_of(tx, rows)
    views = [user_view(ctx, row, inactive) for row in rows]
    if linked:
        for view in views:
            if view["id"] in linked:
                view["federated"] = linked[view["id"]]
    return views


@api.get("/users", LIST_USERS, wrap="users")
async def list_users(ctx: Context, runtime: Runtime, db: Database, request: Request) -> Page:
    asked = seen_domain(ctx) or asked_domain(request)
    kept_elsewhere = await runtime.part(Directories).refresh(ctx, asked)

    def listed(tx: Tx) -> Page:
        statement = users.select_users()
        if (domain := seen_domain(ctx)) is not None:
            statement = statement.where(User.domain_id == domain)
        if kept_elsewhere and asked is not None:
            statement = statement.where(User.id.not_in(directories.select_gone(asked, "user")))
        if (linked := federation.select_linked(dict(request.query_items()))) is not None:
            statement = statement.where(User.id.in_(linked))
        rows, marker = listing(tx, request, statement, User, FILTERS, asked)
        return Page(user_views(tx, ctx, runtime, rows), marker)

    return await db.read(listed)


@api.get("/users/{user}", GET_USER, wrap="user")
def show_user(tx: Tx, ctx: Context, runtime: Runtime, user: User) -> dict[str, Any]:
    return user_views(tx, ctx, runtime, [user])[0]


async def _hash(runtime: Runtime, password: str) -> str:
    runtime.part(Rules).check_strength(password)
    return await runtime.part(Passwords).hash(password)


@api.post("/users", CREATE_USER, wrap="user", status=201)
async def create_user(ctx: Context, runtime: Runtime, body: UserCreate) -> InTransaction[dict[str, Any]]:
    domain_id = body.domain_id or people.own_domain(ctx)
    named(ctx, CREATE_USER, user={"domain_id": body.domain_id})
    hashed = None if body.password is None else await _hash(runtime, body.password)
    kept = extra(body.extra) | ({"description": body.description} if body.description is not None else {})

    def create(tx: Tx) -> dict[str, Any]:
        runtime.part(Directories).refuse_writes(tx, domain_id)
        row = people.create_user(
            tx,
            ctx,
            runtime.part(Rules),
            name=body.name,
            domain_id=domain_id,
            password_hash=hashed,
            enabled=body.enabled,
            default_project_id=body.default_project_id,
            options=options.new(body.options),
            extra=kept,
        )
        links.set_links(tx, row, body.federated)
        return user_views(tx, ctx, runtime, [row])[0]

    return InTransaction(create)


@api.patch("/users/{user}", UPDATE_USER, wrap="user")
async def update_user(ctx: Context, runtime: Runtime, user: User, body: UserUpdate) -> InTransaction[dict[str, Any]]:
    given = changes(body)
    kept = extra(given.pop("extra"))
    given.pop("federated", None)
    if isinstance(body.options, UserOptions):
        given["options"] = options.given(body.options)
    if "description" in given:
        kept["description"] = given.pop("description")
    if given.get("password") is not None:
        given["password_hash"] = await _hash(runtime, given["password"])
    if "password" in given and given.pop("password") is None:
        given["password_hash"] = None

    def update(tx: Tx) -> dict[str, Any]:
        refuse_entry(tx, user.id)
        row = load_user(tx, ctx, user.id)
        people.update_user(tx, ctx, runtime.part(Rules), row, dict(given), kept)
        if isinstance(body.federated, list):
            links.set_links(tx, row, body.federated)
        return user_views(tx, ctx, runtime, [row])[0]

    return InTransaction(update)


@api.delete("/users/{user}", DELETE_USER)
def delete_user(tx: Tx, ctx: Context, user: User) -> None:
    refuse_entry(tx, user.id)
    people.delete_user(tx, ctx, user)


@api.post("/users/{user}/password", None, body="user", status=204)
async def change_password(ctx: Context, runtime: Runtime, request: Request, body: PasswordChange) -> None:
    await password_change.change_password(runtime, ctx, request.params["user"], body.original_password, body.password)


@api.get("/users/{user}/groups", USER_GROUPS, wrap="groups")
async def list_groups_of(ctx: Context, runtime: Runtime, db: Database, request: Request, user: User) -> Page:
    await runtime.part(Directories).refresh(ctx, user.domain_id)

    def listed(tx: Tx) -> Page:
        columns = {"id": Group.id, "name": Group.name}
        statement = users.select_groups_of(user.id)
        if (domain := seen_domain(ctx)) is not None:
            statement = statement.where(Group.domain_id == domain)
        rows, marker = listing(tx, request, statement, Group, columns, user.domain_id)
        return Page([group_view(ctx, row) for row in rows], marker)

    return await db.read(listed)


@api.get("/users/{user}/projects", USER_PROJECTS, wrap="projects")
def list_projects_of(tx: Tx, ctx: Context, request: Request, user: User) -> Page:
    """What a user has a role on, disabled projects too; /auth/projects lists what a token can be had for."""
    statement = project_rows.select_projects(is_domain=None).where(Project.id.in_(reach.held_projects(tx, user.id)))
    columns = {
        "id": Project.id,
        "name": Project.name,
        "domain_id": Project.domain_id,
        "enabled": Project.enabled,
    }
    rows, marker = listing(tx, request, statement, Project, columns)
    tags = project_rows.tags_of(tx, [row.id for row in rows])
    return Page([project_view(ctx, row, tags.get(row.id, [])) for row in rows], marker)
