"""What a panel is: a list of things of one kind, pages about one of them, and forms that change them.

Rule: a service adds its panel as one module in ``panels``; the site finds it there and knows no service by name.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request

from pileus.kernel.rest.local import LocalClient
from pileus.services.dashboard.session import Session


@dataclass(frozen=True)
class Visit:
    """One request to a panel: who asks, and the APIs as that user."""

    request: Request
    session: Session
    api: LocalClient
    form: FormData | None = None

    def text(self, name: str) -> str:
        """Return a field of the form, without blanks around it."""
        value = self.form.get(name) if self.form is not None else None
        return value.strip() if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """Return all values of a repeated field."""
        return [value for value in self.form.getlist(name) if isinstance(value, str)] if self.form is not None else []


Load = Callable[[Visit], Awaitable[dict[str, Any]]]
LoadOne = Callable[[Visit, str], Awaitable[dict[str, Any]]]
Act = Callable[[Visit], Awaitable[str]]
ActOnOne = Callable[[Visit, str], Awaitable[str]]


@dataclass(frozen=True)
class Panel:
    """One entry of the menu.

    ``load`` returns what ``<slug>.html`` shows, ``load_one`` what ``<slug>_one.html`` shows, ``load_form`` what
    ``<slug>_new.html`` needs.  ``create`` and the ``actions`` return a sentence for the user; refusals of the
    APIs are shown as they are.  ``events`` are the prefixes of event kinds after which the page shows itself anew.
    """

    slug: str
    title: str
    order: int
    load: Load
    load_one: LoadOne | None = None
    load_form: Load | None = None
    create: Act | None = None
    actions: Mapping[str, ActOnOne] = field(default_factory=dict)
    downloads: Mapping[str, LoadOne] = field(default_factory=dict)
    """Parts of one thing's page that are fetched alone (a console log): name to loader."""
    events: Sequence[str] = ()


def find_panels() -> list[Panel]:
    """Return every module's panel, in the order of the menu."""
    package = importlib.import_module("pileus.services.dashboard.panels")
    modules = [
        importlib.import_module(f"{package.__name__}.{one.name}") for one in pkgutil.iter_modules(package.__path__)
    ]
    return sorted((module.PANEL for module in modules), key=lambda panel: panel.order)
