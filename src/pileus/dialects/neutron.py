"""Neutron's way: bodies of one or of many, ``fields`` of views, filters by any attribute, tags, revisions, tenants.

Rule: a name that means nothing is refused, so that a misspelt filter never shows more than was asked for.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from pileus.kernel import quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Invalid, OverQuota, PreconditionFailed
from pileus.kernel.policy import ADMIN_OR_MEMBER, ADMIN_OR_SERVICE, Rule
from pileus.kernel.rest.formats import error_headers
from pileus.kernel.rest.http import Request, Response, json_response
from pileus.kernel.rest.regular.attributes import expected
from pileus.kernel.rest.regular.dialect import CREATE, DELETE, LIST, SHOW, UPDATE, Dialect
from pileus.kernel.rest.regular.filters import Filter, ListQuery, boolean, changed_since, limit_of
from pileus.kernel.rest.regular.resource import Resource
from pileus.kernel.rest.regular.tags import tag_filters
from pileus.kernel.rest.schema import refuse_large

READ = f"{ADMIN_OR_SERVICE} or role:reader"
"""Who may read: anybody's reader; which rows those are is what ``visible`` says."""
NO_LIMIT = 1 << 31

_TYPES = {
    400: "HTTPBadRequest",
    401: "HTTPUnauthorized",
    403: "PolicyNotAuthorized",
    404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed",
    409: "HTTPConflict",
    412: "HTTPPreconditionFailed",
    413: "HTTPRequestEntityTooLarge",
    422: "HTTPUnprocessableEntity",
    429: "HTTPTooManyRequests",
    500: "HTTPInternalServerError",
    503: "HTTPServiceUnavailable",
}


def neutron_error(error: ApiError, request_id: str) -> Response:
    """``{"NeutronError": {"type": ..., "message": ..., "detail": ""}}``."""
    content = {
        "type": error.kind or _TYPES.get(error.status, f"HTTP{type(error).__name__}"),
        "message": error.message,
        "detail": "",
    }
    return json_response({"NeutronError": content}, error.status, error_headers(error))


class Neutron(Dialect):
    """The dialect of Networking, and of what was cut from it."""

    many = True
    checks = {
        CREATE: ADMIN_OR_MEMBER, LIST: READ, SHOW: READ, UPDATE: ADMIN_OR_MEMBER, DELETE: ADMIN_OR_MEMBER
    }  # fmt: skip

    def rule_name(self, resource: Resource[Any], verb: str) -> str:
        """Return ``get_network``, which is asked for lists too, ``create_network`` and so on."""
        return f"{'get' if verb in (LIST, SHOW) else verb}_{resource.name}"

    def guard(self, resource: Resource[Any], use: str, attribute: str, check: str) -> Rule:
        """Return ``create_network:shared``."""
        return Rule(f"{use}_{resource.name}:{attribute}", check)

    def bodies(self, resource: Resource[Any], raw: Any) -> list[Any]:
        """Return the bodies of a creation, of one or of many."""
        name, plural = resource.name, resource.plural
        if isinstance(raw, dict) and isinstance(raw.get(name), dict):
            return [raw[name]]
        many = raw.get(plural) if isinstance(raw, dict) else None
        if isinstance(many, list) and many:
            if not all(isinstance(item, dict) for item in many):
                raise Invalid(f"Every entry of '{plural}' in the request body must be an object.")
            return [item.get(name, item) if len(item) == 1 else item for item in many]
        raise Invalid(
            f"The request body must be a JSON object with the member '{name}', an object, or '{plural}',"
            " a list of them that is not empty.",
        )

    def accept(self, resource: Resource[Any], raw: dict[str, Any], use: str, ctx: Context) -> dict[str, Any]:
        """Return a body with ``project_id`` for ``tenant_id``; raise Invalid for what is unknown or fixed."""
        raw, known = dict(raw), resource.by_api
        if "tenant_id" in raw and "project_id" in known:
            owner = raw.pop("tenant_id")
            if raw.setdefault("project_id", owner) != owner:
                raise Invalid("'project_id' and 'tenant_id' do not match: give only project_id.")
        unknown = sorted(raw.keys() - known.keys())
        if unknown:
            raise Invalid(f"Unrecognized attribute(s) '{', '.join(unknown)}'.")
        fixed = sorted(api for api in raw if use not in known[api].attr.on)
        if fixed and use == "c":
            raise Invalid(f"Attribute '{fixed[0]}' not allowed in POST.")
        if fixed:
            raise Invalid(f"Cannot update read-only attribute {fixed[0]}.")
        return self.without_nulls(resource, raw)

    def own(self, resource: Resource[Any], raw: dict[str, Any], ctx: Context) -> None:
        """Let administrators say whose a thing shall be, and nobody else."""
        if "project_id" not in resource.by_api:
            return
        owner = raw.setdefault("project_id", ctx.project_id)
        if owner != ctx.project_id and not ctx.is_admin:
            raise Invalid(
                "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires"
                " admin privileges."
            )
        if not owner:
            raise Invalid(f"{resource.title}: an owner is needed: name a project in 'project_id'.")

    def decode(self, resource: Resource[Any], raw: dict[str, Any], kind: type[msgspec.Struct], ctx: Context) -> Any:
        """Return a body as its struct, numbers and booleans as text allowed."""
        try:
            body = msgspec.convert(raw, kind, strict=False)
        except msgspec.ValidationError as error:
            raise Invalid(_readable(str(error))) from None
        refuse_large(body, kind.__name__)
        return body

    def precondition(self, resource: Resource[Any], row: Any, request: Request) -> None:
        """Raise PreconditionFailed when ``If-Match: revision_number=N`` names another revision than the row has."""
        condition = request.headers.get("if-match", "").strip()
        if not condition or not hasattr(row, "revision_number"):
            return
        name, _, number = condition.partition("=")
        if name.strip() != "revision_number" or not number.strip().isdecimal():
            raise Invalid(f"Invalid If-Match header '{condition}': it must be revision_number=NUMBER.")
        if int(number) != row.revision_number:
            raise PreconditionFailed(
                f"Constrained to {number.strip()}, but current revision is {row.revision_number}: read the "
                f"{resource.title.lower()} again and repeat the change if it is still wanted.",
                kind="RevisionNumberConstraintFailed",
            )

    def claim(self, tx: Tx, limit: quota.Limit, project_id: str) -> None:
        """Raise OverQuota, with 409, unless the project may have one more."""
        claim(tx, project_id, {limit.name: limit}, limit.name)

    def parse(self, resource: Resource[Any], items: Iterable[tuple[str, str]], ctx: Context) -> ListQuery:
        """Read a query string: whatever is no word of lists is a filter."""
        query = ListQuery()
        for name, value in items:
            match name:
                case "fields":
                    query.fields.append(value)
                case "sort_key":
                    query.sort_keys.append(value)
                case "sort_dir":
                    query.sort_dirs.append(value)
                case "limit":
                    query.limit = limit_of(value)
                case "marker":
                    query.marker = value
                case "page_reverse":
                    query.page_reverse = boolean(name, value)
                case _:
                    query.filters.setdefault(name, []).append(value)
        return query

    def filters(self, resource: Resource[Any]) -> dict[str, Filter]:
        """Add ``tenant_id``, ``changed_since`` and those of tags."""
        found = super().filters(resource)
        if "tenant_id" not in found and "project_id" in found:
            found["tenant_id"] = found["project_id"]
            resource.sortable["tenant_id"] = resource.sortable["project_id"]
        if "updated_at" in resource.by_api:
            found["changed_since"] = changed_since(resource.row.updated_at)
        if resource.tagged:
            found.update(tag_filters(resource.row.id))
        return found

    def largest_page(self, resource: Resource[Any], tx: Tx, query: ListQuery) -> int | None:
        """Return no bound: a list without a limit is whole, as the setting ``whole`` allows."""
        return NO_LIMIT

    def listed(
        self, resource: Resource[Any], views: Sequence[Any], rows: Sequence[Any], following: str | None,
        query: ListQuery, request: Request, ctx: Context,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the page, with links to its neighbours when it has a limit."""
        content: dict[str, Any] = {resource.plural: views}
        if links := _links(request, ctx, query, [row.id for row in rows]):
            content[f"{resource.plural}_links"] = links
        return content


NEUTRON = Neutron()


def claim(tx: Tx, project_id: str, limits: dict[str, quota.Limit], name: str, amount: int = 1) -> None:
    """Raise OverQuota in Neutron's words unless the project may have ``amount`` more of ``name``."""
    try:
        quota.claim(tx, project_id, limits, {name: amount})
    except OverQuota as error:
        raise OverQuota(
            f"Quota exceeded for resources: ['{name}']. {error.message}", kind="OverQuota", status=409
        ) from None


def _links(request: Request, ctx: Context, query: ListQuery, ids: list[str]) -> list[dict[str, str]]:
    """Return ``[{"rel": "next", "href": ...}, {"rel": "previous", ...}]`` as far as there may be more rows.

    A page shorter than its limit is the last one in the direction of reading, an empty one too: from there the way
    back begins at the list's end.
    """
    if not query.limit:
        return []
    last = len(ids) < query.limit
    kept = [(name, value) for name, value in request.query_items() if name not in ("marker", "page_reverse")]
    links = []
    if not last or query.page_reverse:
        links.append({"rel": "next", "href": _url(request, ctx, [*kept, *(("marker", id) for id in ids[-1:])])})
    if not last or not query.page_reverse:
        more = [*kept, *(("marker", id) for id in ids[:1]), ("page_reverse", "True")]
        links.append({"rel": "previous", "href": _url(request, ctx, more)})
    return links


def _url(request: Request, ctx: Context, items: list[tuple[str, str]]) -> str:
    return f"{ctx.base_url}{request.path}?{urlencode(items)}"


def _readable(message: str) -> str:
    reason, at, path = message.partition(" - at `$.")
    reason = reason.replace("`", "'")
    _, regex, pattern = reason.partition(" matching regex ")
    if regex:
        reason = f"Expected {expected(pattern)}"
    if not at:
        return f"Invalid input: {reason}."
    return f"Invalid input for {path.rstrip('`')}. Reason: {reason}."
