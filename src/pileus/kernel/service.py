"""What the kernel needs to know of a service, and how services are found.

Rule: a folder in ``pileus.services`` with a ``service.py`` that defines ``SERVICE`` is a service; nothing else
has to be touched to add one.  The rooms ``DECLARING`` of the folder are imported by the kernel: routes, operations,
reconcilers and consumers of events are declared where they are written, and listed nowhere.
"""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pileus.kernel.agent import AgentPart
from pileus.kernel.config import Configuration
from pileus.kernel.context import Caller
from pileus.kernel.db import Tx
from pileus.kernel.rest.http import Request
from pileus.kernel.rest.routing import Api

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime

DECLARING = ("api", "consumers", "operations", "reconcile")
Authenticate = Callable[[Tx, Request, "Runtime"], Caller]
"""Return who a request's token stands for, ANONYMOUS when there is none; raise Unauthenticated for a bad one."""


@dataclass(frozen=True)
class CatalogEntry:
    """How clients find a service: ``url`` is below the cloud's base URL, ``%(project_id)s`` is filled in."""

    type: str
    name: str
    url: str
    description: str = ""


@dataclass(frozen=True)
class AgentSettings:
    """What a service's part of a host is made from."""

    config: Configuration
    host: str

    @property
    def fake(self) -> bool:
        """Whether to use fake drivers."""
        return self.config.cloud.fake

    @property
    def cloud_id(self) -> str:
        """The four hex digits that mark everything of this cloud on the host."""
        return self.config.cloud.cloud_id

    def folder(self, service: str) -> Path:
        """Return where the part keeps its files: ``STATE/<service>``, or a folder per fake host."""
        base = self.config.state / service
        return base / "hosts" / self.host if self.fake else base


@dataclass(frozen=True)
class Service:
    """One service.  ``type`` is its official type with underscores, the name of its folder."""

    type: str
    path: str
    apis: Sequence[Api] = ()
    catalog: Sequence[CatalogEntry] = ()
    authenticate: Authenticate | None = None
    """Identity only."""
    bootstrap: Callable[[Tx, "Runtime"], None] | None = None
    """Puts in what a new cloud needs; runs at every start in one transaction, so it only adds what is missing."""
    start: Callable[["Runtime"], Awaitable[None]] | None = None
    """Runs after bootstrap, before the first request: caches, background tasks (``runtime.spawn``)."""
    stop: Callable[["Runtime"], Awaitable[None]] | None = None
    at_root: Callable[[Configuration], Iterable[str]] | None = None
    """First segments of paths that the service also answers without its own ``path`` before them, if it is so set."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    """Path to ``module:function``, which makes an ASGI application of its own of the runtime: the dashboard, metadata.

    It is imported at the first request: a site costs a start more than an API does.
    """
    raw_mounts: Sequence[str] = ()
    """Paths of ``mounts`` that look at ``X-Forwarded-*`` themselves; others are told of clients, not of proxies."""
    agent: Callable[["AgentSettings"], AgentPart] | None = None
    """Makes the service's part of a host: with real drivers in the agent process, with fake ones in a fake cloud."""
    order: int = 0
    """Bootstrap order: lower first (identity 0)."""


def agent_parts(services: Sequence[Service], settings: AgentSettings) -> list[AgentPart]:
    """Return every service's part of one host."""
    return [service.agent(settings) for service in services if service.agent is not None]


def find_services(only: Sequence[str] | None = None) -> list[Service]:
    """Return every service there is, or those named, lowest order first."""
    package = importlib.import_module("pileus.services")
    found = []
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg or (only is not None and module.name not in only):
            continue
        name = f"pileus.services.{module.name}.service"
        if importlib.util.find_spec(name) is not None:
            found.append(importlib.import_module(name).SERVICE)
            declare(f"{package.__name__}.{module.name}")
    return sorted(found, key=lambda service: service.order)


def declare_all(services: Sequence[Service]) -> None:
    """Import what the services declare, of those that have a folder in ``pileus.services``."""
    for service in services:
        package = f"pileus.services.{service.type}"
        module = sys.modules.get(f"{package}.service")
        if module is not None and module.SERVICE is service:
            declare(package)


def declare(package: str) -> None:
    """Import the rooms of a service that declare something by being imported, each with all that is in it."""
    for room in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if room.name in DECLARING:
            found = importlib.import_module(f"{package}.{room.name}")
            for module in pkgutil.walk_packages(found.__path__, f"{found.__name__}.") if room.ispkg else ():
                importlib.import_module(module.name)
