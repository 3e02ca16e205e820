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

EVERY = policy.EVERY_SCOPE
CLOUD = policy.SYSTEM_OR_PROJECT
"""Scopes of tokens that act on what belongs to no domain: a domain's administrator has no business there."""
OF_PROJECT = policy.PROJECT
ADMIN_REQUIRED = Rule(
    "admin_required",
    "role:admin and domain_id:None",
    "Who administers every domain. With a token for a domain an admin is what a manager is: that domain's.",
    scopes=EVERY,
)
ADMIN = f"rule:{ADMIN_REQUIRED.name}"
SYSTEM_READER = f"{ADMIN} or (role:reader and system_scope:all)"
MANAGED_ROLE = " or ".join(f"'{name}':%(target.role.name)s" for name in ("manager", "member", "reader"))
"""Roles that a domain's manager may see and give."""


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
