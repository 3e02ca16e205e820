"""The personas of secure RBAC, as pieces of checks, and how a handler judges what the kernel cannot see.

Rule: names and defaults are upstream's. A rule with ``target.user...`` is judged twice where a request names things
in its body: first against the caller's own domain, then against what was named.
"""

from collections.abc import Mapping
from typing import Any

from pileus.kernel import policy
from pileus.kernel.context import Context
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Request

CLOUD = ("system", "project")
"""Scopes of tokens that act on what belongs to no domain: a domain's administrator has no business there."""
OF_PROJECT = ("project",)
ADMIN = "role:admin"
SYSTEM_READER = "role:admin or (role:reader and system_scope:all)"
MANAGED_ROLE = " or ".join(f"'{name}':%(target.role.name)s" for name in ("manager", "member", "reader"))
"""Roles that a domain's manager may see and give."""
SIGNED_IN = Rule("identity:signed_in", policy.ANYONE, "Any good token; the handler judges by the rule of the verb")


def reader_of(noun: str) -> str:
    """Return the check of reading one thing of a domain."""
    return f"{SYSTEM_READER} or (role:reader and domain_id:%(target.{noun}.domain_id)s)"


def manager_of(noun: str) -> str:
    """Return the check of changing one thing of a domain."""
    return f"{ADMIN} or (role:manager and domain_id:%(target.{noun}.domain_id)s)"


LIST = f"{SYSTEM_READER} or (role:reader and domain_id:%(target.domain_id)s)"
"""Listing: a domain's reader sees that domain only."""


def seen_domain(ctx: Context) -> str | None:
    """Return the domain a listing is bounded to: a domain's token sees that domain only, its administrator's too."""
    return ctx.domain_id


def asked_domain(request: Request) -> str | None:
    """Return the domain that a listing's filter names."""
    return next((value for name, value in request.query_items() if name == "domain_id" and value), None)


def named(ctx: Context, rule: Rule, **targets: object) -> None:
    """Raise Forbidden unless ``rule`` allows acting on these things together."""
    shown: Mapping[str, Any] = {"target": targets}
    ctx.require(rule, shown)
