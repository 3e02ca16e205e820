"""Who asks, and on whose behalf.  Rule: a context says who and what is allowed; it decides nothing itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pileus.kernel import ids
from pileus.kernel.errors import Forbidden
from pileus.kernel.policy import CONTEXT_IS_ADMIN, Policy, Rule, in_scope, in_words, scope_of

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Caller:
    """What a token proves; made once per token and shared by its requests, so it never changes.

    ``roles`` holds the implied ones too.  ``token`` is the identity service's own record of the token.
    """

    user_id: str | None = None
    user_name: str | None = None
    user_domain_id: str | None = None
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    roles: frozenset[str] = frozenset()
    expires_at: datetime | None = None
    token: Any = None
    internal: bool = False
    """Not a token's: work of the cloud itself, which no rule and no scope holds back."""


ANONYMOUS = Caller()


@dataclass(slots=True)
class Context:
    """One request: its caller, its id, its microversion, and the policy that judges it."""

    caller: Caller
    policy: Policy
    request_id: str = field(default_factory=ids.new_request_id)
    global_request_id: str | None = None
    version: Version = (0, 0)
    base_url: str = "http://127.0.0.1"
    service_roles: frozenset[str] = frozenset()
    source_ip: str | None = None
    refusal: str | None = None
    """The sentence the request was refused with, for its trace."""
    asked: set[str] = field(default_factory=set)
    """The names of the rules that were asked for this request."""

    @property
    def user_id(self) -> str:
        return self.caller.user_id or ""

    @property
    def project_id(self) -> str:
        """The project of the token; empty for tokens without one."""
        return self.caller.project_id or ""

    @property
    def domain_id(self) -> str | None:
        return self.caller.domain_id

    @property
    def roles(self) -> frozenset[str]:
        return self.caller.roles

    @property
    def is_admin(self) -> bool:
        """Whether the caller is the cloud's administrator, by the rule ``context_is_admin``: sees every project."""
        return self.policy.allows(CONTEXT_IS_ADMIN, self, self.own)

    def allows(self, rule: Rule, target: object | Mapping[str, Any] | None = None) -> bool:
        """Tell whether ``rule`` lets this caller act on ``target`` (a row or a mapping; by default its own project)."""
        self.asked.add(rule.name)
        return self.policy.allows(rule, self, target if target is not None else self.own)

    def require(self, rule: Rule, target: object | Mapping[str, Any] | None = None) -> None:
        """Raise Forbidden, naming the rule, unless it allows the caller to act on ``target``."""
        self.require_scope(rule)
        if not self.allows(rule, target):
            raise Forbidden(
                f"Policy doesn't allow {rule.name} to be performed. It needs: {self.policy.spelt_out(rule)}.",
                kind="PolicyNotAuthorized",
            )

    def require_scope(self, rule: Rule) -> None:
        """Raise Forbidden, naming the scopes that would do, when the token is for another one."""
        if not in_scope(rule, self.caller):
            raise Forbidden(
                f"Policy doesn't allow {rule.name} to be performed with a token for {in_words(scope_of(self.caller))}: "
                f"it needs a token for {rule.scopes_in_words}.",
                kind="PolicyNotAuthorized",
            )

    @property
    def own(self) -> Mapping[str, Any]:
        """The target of requests that name no resource: the caller's own project, user and domain."""
        caller = self.caller
        return {"project_id": caller.project_id, "user_id": caller.user_id, "domain_id": caller.domain_id}


def internal(policy: Policy, *, project_id: str | None = None, user_id: str | None = None) -> Context:
    """Return the context of work that no request asked for (bootstrap, reconcilers): it may do everything."""
    roles = frozenset({"admin", "manager", "member", "reader", "service"})
    return Context(Caller(user_id=user_id, project_id=project_id, system=True, roles=roles, internal=True), policy)


def seeing_as(policy: Policy, *, project_id: str, user_id: str | None, admin: bool) -> Context:
    """Return the context of what is done later for a user, with that user's sight and no more.

    It is a member's of a project, or an administrator's, who sees everything.
    """
    roles = frozenset({"member", "reader"})
    return Context(
        Caller(user_id=user_id, project_id=project_id, roles=roles | {"admin", "manager"} if admin else roles), policy
    )
