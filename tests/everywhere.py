"""Every endpoint of every service, found in the declarations, and things of a project for all of them to be tried on.

Rule: nothing is remembered by hand, so that an endpoint or a table that is added is tried as well.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from sqlalchemy import Boolean, Date, Float, Integer, LargeBinary, insert, select

from pileus.kernel.db import Row, Tx
from pileus.kernel.db.base import JsonText, UtcDateTime
from pileus.kernel.rest.binding import Endpoint
from pileus.kernel.rest.tree import Tree
from pileus.kernel.rest.versions import version
from pileus.kernel.service import Service, find_services

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
REQUEST_ID = re.compile("req-[0-9a-f-]{36}")
MARK = "belongs-to-the-owner"
"""What stands in every text of the owner's things: nobody else may ever read it."""
SHARED = {"key_manager_secret_stores", "key_manager_transport_keys"}
"""Tables of what is no project's and every reader sees, as upstream."""


@dataclass(frozen=True)
class Way:
    """One verb on one path, and in a body that names an action."""

    service: Service
    endpoint: Endpoint

    @property
    def method(self) -> str:
        return self.endpoint.route.method

    @property
    def template(self) -> str:
        return f"{self.service.path}{self.endpoint.api.prefix}{self.endpoint.route.path}"

    @property
    def name(self) -> str:
        action = self.endpoint.route.action
        return f"{self.method} {self.template}{f' ({action})' if action else ''}"

    @property
    def names_something(self) -> bool:
        """Tell whether the path is about one thing."""
        return "{" in self.template

    def path(self, id: str) -> str:
        """Return the path with every parameter filled in alike."""
        parts = self.template.split("/")
        return "/".join(id if part.startswith("{") else part for part in parts)

    @property
    def body(self) -> dict[str, Any] | None:
        """Return as little as gets past the envelope."""
        route = self.endpoint.route
        if self.method in ("GET", "HEAD", "DELETE"):
            return None
        member = route.action or route.body or route.wrap
        return {member: {}} if member else {}

    @property
    def headers(self) -> dict[str, str]:
        """Return the microversion in which the endpoint is there."""
        versions, api = self.endpoint.route.versions, self.endpoint.api
        if api.microversions is None:
            return {}
        wanted = api.microversions.maximum
        if versions.last < version(wanted):
            wanted = f"{versions.last[0]}.{versions.last[1]}"
        return {"OpenStack-API-Version": f"{api.microversions.service} {wanted}"}


def ways() -> Iterator[Way]:
    """Yield every endpoint that is reached by HTTP."""
    for service in find_services():
        if service.apis:
            for endpoint in Tree(list(service.apis)).endpoints:
                if not endpoint.route.websocket and endpoint.route.method in METHODS:
                    yield Way(service, endpoint)


def put_everywhere(
    tx: Tx, id: str, project_id: str, user_id: str, mark: str = MARK, but: Container[str] = ()
) -> list[str]:
    """Put one thing of the owner's, all under one id, into every table of a service ``but`` some; return the tables."""
    services = {service.type for service in find_services()} - {"identity"}
    filled = []
    for table in Row.metadata.sorted_tables:
        if table.name in SHARED or table.name in but:
            continue
        if not any(table.name.startswith(f"{service}_") for service in services):
            continue
        values: dict[str, Any] = {}
        for column in table.columns:
            key = column.primary_key or bool(column.foreign_keys) or column.name.endswith("_id") or column.name == "id"
            if column.name == "project_id" or column.name == "owner":
                values[column.name] = project_id
            elif column.name == "user_id":
                values[column.name] = user_id
            else:
                values[column.name] = _filler(column, id if key else mark)
        tx.execute(insert(table).values(values))
        filled.append(table.name)
    return filled


def _filler(column: Any, text: str) -> Any:
    kind = column.type
    if isinstance(kind, JsonText):
        return {} if column.default is None or column.default.arg is dict or callable(column.default.arg) else []
    if isinstance(kind, UtcDateTime):
        return None if column.nullable else datetime(2020, 1, 1, tzinfo=UTC)
    if isinstance(kind, Boolean):
        return False
    if isinstance(kind, Integer | Float):
        return 424242 if column.primary_key or column.unique else 1
    if isinstance(kind, Date):
        return date(2020, 1, 1)
    if isinstance(kind, LargeBinary):
        return text.encode()
    length = getattr(kind, "length", None)
    return text[:length] if length else text


def picture(tx: Tx, tables: list[str]) -> dict[str, set[str]]:
    """Return what stands in the tables, as text, a row each."""
    return {name: {repr(row) for row in tx.execute(select(Row.metadata.tables[name]))} for name in tables}


def same_but_for(first: bytes, second: bytes, ids: tuple[str, str]) -> bool:
    """Tell whether two answers differ in nothing but the ids they are about, and in their request's id."""
    texts = []
    for text, id in ((first.decode(errors="replace"), ids[0]), (second.decode(errors="replace"), ids[1])):
        texts.append(REQUEST_ID.sub("req-", text.replace(id, "ID").replace(id.replace("-", ""), "ID")))
    return texts[0] == texts[1]


def decoded(text: bytes) -> Any:
    """Return a body's JSON, None where it is none."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
