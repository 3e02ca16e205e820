"""The API object every resource registers with, and what their documents share.

Rule: a resource's document is a mapping, because Identity keeps and returns attributes it does not know.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from sqlalchemy import Select

from pileus.dialects.keystone import EVERYTHING, RESERVED, Keystone, compared, keystone_page, parse
from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.rest import Api, Page, Request, page, sort_order
from pileus.kernel.rest.regular import CREATE, DELETE, LIST, SHOW, UPDATE, ListQuery, Resource
from pileus.services.identity.api.rules import ADMIN, SYSTEM_READER
from pileus.services.identity.app.domain_configs import list_limit
from pileus.services.identity.app.telling import tell_of_change, tell_of_refusal


class Identity(Keystone):
    """Identity's own policies, and a bound of lists that an operator may set."""

    checks = {CREATE: ADMIN, LIST: SYSTEM_READER, SHOW: SYSTEM_READER, UPDATE: ADMIN, DELETE: ADMIN}

    def largest_page(self, resource: Resource[Any], tx: Tx, query: ListQuery) -> int | None:
        """Return ``[identity] list_limit``, or no bound."""
        return list_limit(tx, None) or EVERYTHING


api = Api(
    "identity",
    "/v3",
    page=keystone_page,
    dialect=Identity(),
    hide_foreign=False,
    judge_missing=True,
    written=tell_of_change,
    refused=tell_of_refusal,
)
versions = Api("identity", "", page=keystone_page)

NO_NUL = r"^[^\x00]*$"
"""What a name must match: not every database can keep the character NUL."""
SEEN = r"^[^\x00]*[^\s\x00][^\x00]*$"
"""The same, and it has something in it that can be seen."""


def url(ctx: Context, path: str) -> str:
    """Return the URL of something below ``/identity/v3``."""
    return f"{ctx.base_url}/identity/v3{path}"


def extra(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes to keep of those the API does not know."""
    return {name: value for name, value in given.items() if name not in RESERVED}


def moment(value: Any) -> str | None:
    """Return a moment in Identity's form."""
    return f"{clock.iso_micro(value)}Z" if value is not None else None


def missing(noun: str, id: str) -> NoReturn:
    """Raise NotFound; those who may not do anyway what they ask for are told that instead (``judge_missing``)."""
    raise NotFound(f"Could not find {noun}: {id}.")


def listing(
    tx: Tx,
    request: Request,
    statement: Select[Any],
    row: Any,
    columns: Mapping[str, Any],
    domain_id: str | None = None,
) -> tuple[list[Any], str | None]:
    """Return the records of a listing, filtered and sorted by the URL's parameters, and the next page's marker.

    ``domain_id`` is the domain whose people are listed, which may have a bound of its own.  ``columns`` maps the API's
    names of filters and sort keys to columns.  ``name__contains`` and the like compare text.
    """
    query = parse(request.query_items())
    narrowed = statement.where(*compared(columns, query))
    order = sort_order(query.sort_keys or [next(iter(columns))], query.sort_dirs, dict(columns))
    most = list_limit(tx, domain_id) or EVERYTHING
    return page(
        tx,
        narrowed,
        row,
        order=order,
        limit=query.limit,
        marker=query.marker,
        max_limit=most,
        plain=True,
        seen=statement,
    )


def pages(rows: tuple[list[Any], str | None], views: list[dict[str, Any]]) -> Page:
    """Return the answer to a listing."""
    return Page(views, rows[1])
