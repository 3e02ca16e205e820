"""What makes the regular resources of one API differ from those of another: a dialect.

Rule: a dialect says how a client and Pileus speak of any resource (methods, statuses, envelopes, lists, refusals, names
of policy rules), never what one resource is.  This one speaks plainly: one project owns a thing and sees it, unknown
attributes are refused, lists have ``limit``, ``marker``, ``sort_key`` and ``sort_dir``.  ``pileus.dialects`` has those
of the OpenStack APIs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from msgspec import UNSET
from sqlalchemy import ColumnElement, Select

from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, PROJECT, Rule
from pileus.kernel.rest.http import Request, Response, json_response
from pileus.kernel.rest.paging import page, sort_order
from pileus.kernel.rest.regular.filters import Filter, ListQuery, column_filter, conditions, limit_of
from pileus.kernel.rest.schema import decode

if TYPE_CHECKING:
    from pileus.kernel.rest.regular.resource import Resource

CREATE, LIST, SHOW, UPDATE, DELETE = "create", "list", "show", "update", "delete"


class Dialect:
    """The manners of an API's regular resources; a subclass changes what its API does otherwise."""

    update_method: ClassVar[str] = "PUT"
    statuses: ClassVar[Mapping[str, int]] = {CREATE: 201, UPDATE: 200, DELETE: 204}
    many: ClassVar[bool] = False
    """A creation may hold a list of things under the plural's name."""
    detail: ClassVar[str] = ""
    """Where whole things are listed, when the list itself has only those attributes that are ``on`` "b" (brief)."""
    scopes: ClassVar[tuple[str, ...]] = PROJECT
    checks: ClassVar[Mapping[str, str]] = {
        CREATE: ADMIN_OR_MEMBER, LIST: ADMIN_OR_READER, SHOW: ADMIN_OR_READER, UPDATE: ADMIN_OR_MEMBER,
        DELETE: ADMIN_OR_MEMBER,
    }  # fmt: skip
    """The policy of each verb, unless the resource has its own."""
    parameter: ClassVar[str] = "id"
    """What stands for a thing's id in paths; "": the resource's name."""
    judged_by_thing: ClassVar[bool] = False
    """The rule of showing is judged against the thing, as those of changes are, not against the caller's project."""
    plain: ClassVar[bool] = False
    """Lists read named tuples, not rows: they cost a third, and ``related`` gets them."""

    def rule_name(self, resource: "Resource[Any]", verb: str) -> str:
        """Return the name of a verb's policy rule."""
        return f"{resource.api.service}:{verb}_{resource.plural if verb == LIST else resource.name}"

    def rule(self, resource: "Resource[Any]", verb: str, check: str) -> Rule:
        """Return a verb's policy rule."""
        return Rule(self.rule_name(resource, verb), check, scopes=self.scopes)

    def guard(self, resource: "Resource[Any]", use: str, attribute: str, check: str) -> Rule:
        """Return the policy rule of a single attribute; ``use`` is create, update or get."""
        return Rule(f"{resource.api.service}:{use}_{resource.name}:{attribute}", check, scopes=self.scopes)

    # What a client sends.

    def bodies(self, resource: "Resource[Any]", raw: Any) -> list[Any]:
        """Return the body of a creation, in a list since some dialects take many."""
        return [self.enveloped(resource, raw)]

    def enveloped(self, resource: "Resource[Any]", raw: Any) -> dict[str, Any]:
        """Return the object inside the envelope; raise Invalid without it."""
        if not isinstance(raw, dict) or not isinstance(raw.get(resource.name), dict):
            raise Invalid(f"The request body must be a JSON object with the member '{resource.name}', an object.")
        return raw[resource.name]

    def accept(self, resource: "Resource[Any]", raw: dict[str, Any], use: str, ctx: Context) -> dict[str, Any]:
        """Return what may be decoded: attributes that exist in this use ("c" or "u") and version; or raise Invalid."""
        known = resource.known(ctx.version)
        unknown = sorted(raw.keys() - known.keys())
        if unknown:
            allowed = ", ".join(sorted(api for api, field in known.items() if use in field.attr.on))
            raise Invalid(
                f"Additional properties are not allowed ({', '.join(map(repr, unknown))} was unexpected): what may be"
                f" given is {allowed}."
            )
        fixed = sorted(api for api in raw if use not in known[api].attr.on)
        if fixed:
            raise Invalid(f"'{fixed[0]}' of {resource.title} cannot be set{' any more' if use == 'u' else ''}.")
        return self.without_nulls(resource, raw)

    def without_nulls(self, resource: "Resource[Any]", raw: dict[str, Any]) -> dict[str, Any]:
        """Return a body whose nulls are what the attributes say that they mean."""
        raw = dict(raw)
        for api in [api for api, value in raw.items() if value is None]:
            null = resource.by_api[api].attr.null
            if null is False:
                raise Invalid(f"Invalid input for {api}. Reason: it cannot be null.")
            if null is not True:
                raw[api] = null()
        return raw

    def own(self, resource: "Resource[Any]", raw: dict[str, Any], ctx: Context) -> None:
        """Write into a creation whose the thing shall be, where a client can say so; raise Invalid where it may not."""

    def decode(self, resource: "Resource[Any]", raw: dict[str, Any], kind: type[msgspec.Struct], ctx: Context) -> Any:
        """Return a body as its struct; raise Invalid naming the attribute."""
        return decode(raw, kind, resource.name, ctx.version, strict=resource.api.strict)

    def values(self, resource: "Resource[Any]", ctx: Context, body: Any) -> dict[str, Any]:
        """Return what a new row is made with, where no function of its own makes it."""
        given = {field.source: getattr(body, field.name) for field in resource.fields if "c" in field.attr.on}
        if hasattr(resource.row, "project_id"):
            given.setdefault("project_id", ctx.project_id)
        return {name: value for name, value in given.items() if name and value is not UNSET}

    def apply(self, resource: "Resource[Any]", row: Any, changes: Mapping[str, Any]) -> None:
        """Change a row, where no function of its own does."""
        for field in resource.fields:
            if field.source and field.name in changes:
                setattr(row, field.source, changes[field.name])

    def precondition(self, resource: "Resource[Any]", row: Any, request: Request) -> None:
        """Raise PreconditionFailed when the client asks for another state of the row than it has."""

    def claim(self, tx: Tx, limit: quota.Limit, project_id: str) -> None:
        """Raise OverQuota unless the project may have one more."""
        quota.claim(tx, project_id, {limit.name: limit}, {limit.name: 1})

    # Lists.

    def parse(self, resource: "Resource[Any]", items: Iterable[tuple[str, str]], ctx: Context) -> ListQuery:
        """Read a list's query string."""
        query = ListQuery()
        for name, value in items:
            match name:
                case "sort_key":
                    query.sort_keys += value.split(",")
                case "sort_dir":
                    query.sort_dirs += value.split(",")
                case "limit":
                    query.limit = limit_of(value)
                case "marker":
                    query.marker = value
                case _:
                    query.filters.setdefault(name, []).append(value)
        return query

    def filters(self, resource: "Resource[Any]") -> dict[str, Filter]:
        """Return the filters that a resource has without a word: its attributes that are columns."""
        return {api: column_filter(api, column) for api, column in resource.columns("f").items()}

    def conditions(self, resource: "Resource[Any]", ctx: Context, query: ListQuery) -> list[ColumnElement[bool]]:
        """Return one condition for each filter; raise Invalid for one that does not exist."""
        return conditions(ctx, query.filters, resource.filters)

    def order(self, resource: "Resource[Any]", query: ListQuery) -> list[tuple[Any, bool]]:
        """Return ``[(column, descending), ...]``; the id is added last."""
        return sort_order(query.sort_keys, query.sort_dirs, resource.sortable)

    def largest_page(self, resource: "Resource[Any]", tx: Tx, query: ListQuery) -> int | None:
        """Return how many entries a page has at most; None: the setting ``page``."""
        return None

    def page(
        self, resource: "Resource[Any]", tx: Tx, query: ListQuery, statement: Select[Any], seen: Select[Any],
        order: list[tuple[Any, bool]],
    ) -> tuple[list[Any], str | None]:  # fmt: skip
        """Return the rows of a page, and the marker of the next one; ``seen`` is the list without its filters."""
        return page(
            tx,
            statement,
            resource.row,
            order=order,
            limit=query.limit,
            marker=query.marker,
            max_limit=self.largest_page(resource, tx, query),
            plain=self.plain,
            seen=seen,
        )

    # What a client receives.

    def dress(self, resource: "Resource[Any]", ctx: Context, row: Any, view: Any) -> Any:
        """Return a view with what every thing of the API bears, such as links to itself."""
        return view

    def shown(self, resource: "Resource[Any]", view: Any) -> Any:
        """Return the answer that holds one thing."""
        return {resource.name: view}

    def created(self, resource: "Resource[Any]", views: Sequence[Any], many: bool) -> Response:
        """Return the answer to a creation, of one thing or of ``many``."""
        content = {resource.plural: views} if many else self.shown(resource, views[0])
        return json_response(content, resource.statuses[CREATE])

    def listed(
        self, resource: "Resource[Any]", views: Sequence[Any], rows: Sequence[Any], following: str | None,
        query: ListQuery, request: Request, ctx: Context,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the answer that holds a page; ``following`` is the marker of the next."""
        return resource.api.page(resource.plural, list(views), following, request, ctx)

    # Whose it is.

    def visible(self, resource: "Resource[Any]", ctx: Context) -> ColumnElement[bool] | None:
        """Return the condition of what a caller can see at all, None for everything."""
        owner: Any = getattr(resource.row, "project_id", None)
        return None if owner is None or ctx.is_admin else owner == ctx.project_id

    def not_found(self, resource: "Resource[Any]", id: str) -> NotFound:
        """Return the refusal of a thing that is not there, or not for this caller."""
        return NotFound(f"{resource.title} {id} could not be found.", kind=resource.not_found)
