"""Groups and who is in them."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from pileus.kernel.context import Context
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Extra, OpenBody, Page, Request, changes
from pileus.kernel.runtime import Runtime
from pileus.services.identity.api.router import NO_NUL, api, extra, listing, missing
from pileus.services.identity.api.rules import EVERY, LIST, asked_domain, manager_of, named, reader_of, seen_domain
from pileus.services.identity.api.users import FILTERS as USER_FILTERS
from pileus.services.identity.api.users import user_views
from pileus.services.identity.api.views import group_view
from pileus.services.identity.app import people
from pileus.services.identity.app.directories import Directories, refuse_entry
from pileus.services.identity.app.references import DomainId
from pileus.services.identity.model import Group, User
from pileus.services.identity.store import directories, users

LIST_GROUPS = Rule("identity:list_groups", LIST, scopes=EVERY)
GET_GROUP = Rule("identity:get_group", reader_of("group"), scopes=EVERY)
CREATE_GROUP = Rule("identity:create_group", manager_of("group"), scopes=EVERY)
UPDATE_GROUP = Rule("identity:update_group", manager_of("group"), scopes=EVERY)
DELETE_GROUP = Rule("identity:delete_group", manager_of("group"), scopes=EVERY)
LIST_USERS_IN = Rule("identity:list_users_in_group", reader_of("group"), scopes=EVERY)
_BOTH = "domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s"
CHECK_USER_IN = Rule(
    "identity:check_user_in_group",
    f"rule:admin_required or (role:reader and system_scope:all) or (role:reader and {_BOTH})",
    scopes=EVERY,
)
ADD_USER = Rule("identity:add_user_to_group", f"rule:admin_required or (role:manager and {_BOTH})", scopes=EVERY)
REMOVE_USER = Rule(
    "identity:remove_user_from_group", f"rule:admin_required or (role:manager and {_BOTH})", scopes=EVERY
)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=NO_NUL)]
FILTERS = {"id": Group.id, "name": Group.name, "domain_id": Group.domain_id}


class GroupCreate(OpenBody):
    name: Name
    domain_id: DomainId | None = None
    description: str | None = None
    extra: Extra = {}


class GroupUpdate(OpenBody):
    name: Name | UnsetType = UNSET
    domain_id: DomainId | UnsetType | None = UNSET
    description: str | UnsetType = UNSET
    extra: Extra = {}


@api.loader(Group)
def load_group(tx: Tx, ctx: Context, id: str) -> Group:
    return users.get_group(tx, id) or missing("group", id)


@api.get("/groups", LIST_GROUPS, wrap="groups")
async def list_groups(ctx: Context, runtime: Runtime, db: Database, request: Request) -> Page:
    asked = seen_domain(ctx) or asked_domain(request)
    kept_elsewhere = await runtime.part(Directories).refresh(ctx, asked)

    def listed(tx: Tx) -> Page:
        statement = users.select_groups()
        if (domain := seen_domain(ctx)) is not None:
            statement = statement.where(Group.domain_id == domain)
        if kept_elsewhere and asked is not None:
            statement = statement.where(Group.id.not_in(directories.select_gone(asked, "group")))
        rows, marker = listing(tx, request, statement, Group, FILTERS, asked)
        return Page([group_view(ctx, row) for row in rows], marker)

    return await db.read(listed)


@api.get("/groups/{group}", GET_GROUP, wrap="group")
def show_group(ctx: Context, group: Group) -> dict[str, Any]:
    return group_view(ctx, group)


@api.post("/groups", CREATE_GROUP, wrap="group", status=201)
def create_group(tx: Tx, ctx: Context, runtime: Runtime, body: GroupCreate) -> dict[str, Any]:
    domain_id = body.domain_id or people.own_domain(ctx)
    named(ctx, CREATE_GROUP, group={"domain_id": body.domain_id})
    runtime.part(Directories).refuse_writes(tx, domain_id)
    kept = extra(body.extra)
    row = people.create_group(
        tx, ctx, name=body.name, domain_id=domain_id, description=body.description or "", extra=kept
    )
    return group_view(ctx, row)


@api.patch("/groups/{group}", UPDATE_GROUP, wrap="group")
def update_group(tx: Tx, ctx: Context, group: Group, body: GroupUpdate) -> dict[str, Any]:
    refuse_entry(tx, group.id)
    given = changes(body)
    kept = extra(given.pop("extra"))
    people.update_group(tx, ctx, group, given, kept)
    return group_view(ctx, group)


@api.delete("/groups/{group}", DELETE_GROUP, by_handler=True)
def delete_group(tx: Tx, ctx: Context, group: Group) -> None:
    ctx.require(DELETE_GROUP, group)
    refuse_entry(tx, group.id)
    people.delete_group(tx, ctx, group)


@api.get("/groups/{group}/users", LIST_USERS_IN, wrap="users")
async def list_users_in(ctx: Context, runtime: Runtime, db: Database, request: Request, group: Group) -> Page:
    await runtime.part(Directories).refresh(ctx, group.domain_id)

    def listed(tx: Tx) -> Page:
        statement = users.select_users_in(group.id)
        if (domain := seen_domain(ctx)) is not None:
            statement = statement.where(User.domain_id == domain)
        rows, marker = listing(tx, request, statement, User, USER_FILTERS, group.domain_id)
        return Page(user_views(tx, ctx, runtime, rows), marker)

    return await db.read(listed)


def _pair(tx: Tx, ctx: Context, group_id: str, user_id: str, rule: Rule) -> tuple[Group, User]:
    """Return a group and a user, judged together; what is missing is told to those only who may act on the other."""
    group, user = users.get_group(tx, group_id), users.get_user(tx, user_id)
    named(ctx, rule, group=group, user=user)
    return group or missing("group", group_id), user or missing("user", user_id)


@api.put("/groups/{group}/users/{user}", ADD_USER, by_handler=True)
def add_user(tx: Tx, ctx: Context, group: str, user: str) -> None:
    found, member = _pair(tx, ctx, group, user, ADD_USER)
    refuse_entry(tx, found.id)
    people.join_group(tx, member, found)


@api.get("/groups/{group}/users/{user}", CHECK_USER_IN, by_handler=True)
def check_user(tx: Tx, ctx: Context, group: str, user: str) -> None:
    found, member = _pair(tx, ctx, group, user, CHECK_USER_IN)
    if users.get_membership(tx, member.id, found.id) is None:
        raise NotFound(f"User {member.id} is not found in group {found.id}.")


@api.delete("/groups/{group}/users/{user}", REMOVE_USER, by_handler=True)
def remove_user(tx: Tx, ctx: Context, group: str, user: str) -> None:
    found, member = _pair(tx, ctx, group, user, REMOVE_USER)
    refuse_entry(tx, found.id)
    people.leave_group(tx, member, found)
