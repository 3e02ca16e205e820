"""``pileus routes``: every operation of a service's API on one page, with its policy rule and where it is written."""

import argparse
import inspect
import json
from typing import Any

from pileus.cli.terminal import Problem, say, table
from pileus.kernel.rest.routing import Api, Route
from pileus.kernel.rest.versions import FIRST, LAST
from pileus.kernel.service import Service, find_services

HEADER = ("method", "path", "rule", "versions", "written in")


def run(words: argparse.Namespace) -> None:
    """Print the routes of one service, or how many each has."""
    services = {service.type: service for service in find_services()}
    if words.service is None:
        counts = [(name, str(len(routes_of(service)))) for name, service in services.items()]
        table([*counts, ("all", str(sum(int(count) for _, count in counts)))], ("service", "routes"))
        return
    named = words.service.replace("-", "_")
    if named not in services:
        raise Problem(f"There is no service '{words.service}'.", f"The services are {', '.join(services)}.")
    found = routes_of(services[named])
    if words.json:
        say(json.dumps([dict(zip(HEADER, row, strict=True)) for row in found], indent=2))
    else:
        table(found, HEADER)


def routes_of(service: Service) -> list[tuple[str, ...]]:
    """Return (method, path, rule, versions, place) of every route, by path."""
    rows = [_row(service, api, route) for api in service.apis for route in api.routes]
    return sorted(rows, key=lambda row: (row[1], row[0]))


def _row(service: Service, api: Api, route: Route) -> tuple[str, ...]:
    action = f" {{{route.action}}}" if route.action else ""
    first = "" if route.versions.first == FIRST else _dotted(route.versions.first)
    last = "" if route.versions.last == LAST else _dotted(route.versions.last)
    versions = f"{first}..{last}" if first or last else ""
    rule = route.rule.name if route.rule is not None else "-"
    return route.method, f"{service.path}{api.prefix}{route.path}{action}", rule, versions, _place(route.handler)


def _dotted(version: Any) -> str:
    return ".".join(map(str, version))


def _place(handler: Any) -> str:
    """Return ``services/network/app/routers.py:40``; of a derived handler that of the function it serves."""
    handler = getattr(handler, "serves", handler)
    where = inspect.unwrap(handler)
    module = where.__module__.removeprefix("pileus.").replace(".", "/")
    return f"{module}.py:{where.__code__.co_firstlineno}"
