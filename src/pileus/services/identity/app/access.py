"""Access rules: the only requests that some application credentials may make.

Rule: a request that matches no rule is refused; a path pattern's ``*`` and ``{name}`` stand for one segment,
``**`` for any number.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import re2

from pileus.kernel.errors import Unauthenticated
from pileus.kernel.rest import Request
from pileus.kernel.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Allowed:
    """One rule."""

    id: str
    service: str
    path: str
    method: str


@functools.lru_cache(maxsize=4096)
def _pattern(path: str) -> Any:
    """Return the path as an expression of RE2's, since ``re`` takes ages for many ``**``; it reads bytes."""
    parts = re.split(r"(\*\*|\*|\{[^}]*\})", path)
    translated = {"**": "(?s:.*)", "*": "[^/]+"}
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    return re2.compile(
        "".join(translated.get(p) or ("[^/]+" if p.startswith("{") else re2.escape(p)) for p in parts).encode(), options
    )


def check(rules: Sequence[Allowed], request: Request, runtime: Runtime) -> None:
    """Raise Unauthenticated unless a rule allows the request."""
    for service in runtime.services:
        if request.path == service.path or request.path.startswith(f"{service.path}/"):
            types = {entry.type for entry in service.catalog} | {service.type.replace("_", "-")}
            path = request.path.removeprefix(service.path).encode()
            for rule in rules:
                if rule.service in types and rule.method == request.method and _pattern(rule.path).fullmatch(path):
                    return
    raise Unauthenticated(
        f"The application credential's access rules do not allow {request.method} {request.path}. "
        "Use one with a rule for it."
    )
