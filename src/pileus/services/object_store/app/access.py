"""Who may do what: the account's own project by role, others by the container's access lists.

The one rule: access lists open a container to more callers, they never close it to its owner.  A refusal says
the same whether or not the container exists.
Syntax of the lists: https://docs.openstack.org/swift/latest/overview_acl.html
"""

from urllib.parse import urlsplit

from pileus.kernel.context import ANONYMOUS, Context
from pileus.kernel.errors import Forbidden, Invalid, Unauthenticated
from pileus.kernel.policy import Rule
from pileus.services.object_store.model import ContainerRow
from pileus.services.object_store.store import Found

PREFIX = "AUTH_"
DEFAULT_DOMAIN = "default"
_OPERATOR = "role:member or role:manager or role:admin or role:swiftoperator"
READ = Rule(
    "object_store:read",
    f"role:ResellerAdmin or (project_id:%(project_id)s and ({_OPERATOR} or role:reader))",
    "Read everything in the project's account.",
)
WRITE = Rule(
    "object_store:write",
    f"role:ResellerAdmin or (project_id:%(project_id)s and ({_OPERATOR}))",
    "Change everything in the project's account.",
)
RESELL = Rule("object_store:resell", "role:ResellerAdmin", "Set account quotas, make and delete accounts.")


def _target(account: str) -> dict[str, str]:
    return {"project_id": account.removeprefix(PREFIX) if account.startswith(PREFIX) else ""}


def require(ctx: Context, rule: Rule, account: str) -> None:
    """Raise unless the caller may act on the whole account."""
    if not ctx.allows(rule, _target(account)):
        refuse(ctx, account)


def refuse(ctx: Context, what: str) -> None:
    """Raise the refusal that fits the caller: 401 for nobody, 403 for somebody."""
    if ctx.caller is ANONYMOUS:
        raise Unauthenticated(f"Access to {what} needs a token: send one in X-Auth-Token.")
    raise Forbidden(f"Access to {what} is not granted to user {ctx.user_id} of project {ctx.project_id}.")


def require_read(ctx: Context, account: str, found: Found, referrer: str, *, listing: bool) -> None:
    """Raise unless the caller may read a container's objects, or list them."""
    if ctx.allows(READ, _target(account)):
        return
    entries = _entries(found.container, "x-container-read")
    if _is_named(ctx, account, found, entries):
        return
    if _admits_referrer(entries, referrer) and (not listing or ".rlistings" in entries):
        return
    refuse(ctx, account)


def require_write(ctx: Context, account: str, found: Found) -> None:
    """Raise unless the caller may change a container's objects."""
    if ctx.allows(WRITE, _target(account)):
        return
    if not _is_named(ctx, account, found, _entries(found.container, "x-container-write")):
        refuse(ctx, account)


def owns(ctx: Context, account: str) -> bool:
    """Tell whether the caller runs the account: it sees the access lists and keys."""
    return ctx.allows(WRITE, _target(account))


def domain_of(ctx: Context, account: str) -> str | None:
    """Return the domain of the account's project as the caller's token says it; None for tokens of other projects."""
    return ctx.caller.project_domain_id if account == f"{PREFIX}{ctx.caller.project_id}" else None


def _entries(container: ContainerRow | None, header: str) -> list[str]:
    text = container.headers.get(header, "") if container is not None else ""
    return [entry for entry in text.split(",") if entry]


def _is_named(ctx: Context, account: str, found: Found, entries: list[str]) -> bool:
    caller = ctx.caller
    if caller is ANONYMOUS or not entries:
        return False
    is_own = account == f"{PREFIX}{caller.project_id}"
    projects, users = {"*", caller.project_id}, {"*", caller.user_id}
    if _names_count(ctx, found, is_own=is_own):
        projects.add(caller.project_name)
        users.add(caller.user_name)
    roles = {role.lower() for role in caller.roles} if is_own else set[str]()
    for entry in entries:
        project, colon, user = entry.partition(":")
        if entry.startswith("."):
            continue
        if (project in projects and user in users) if colon else entry.lower() in roles:
            return True
    return False


def _names_count(ctx: Context, found: Found, *, is_own: bool) -> bool:
    """Tell whether names in the list mean this caller: they are unique in one domain only, and mean the default one.

    The user, its project and the account's project must all be of it; an account whose domain is not known is not.
    """
    domains = {ctx.caller.user_domain_id, ctx.caller.project_domain_id}
    if not is_own:
        domains.add(found.account.project_domain_id if found.account is not None else None)
    return domains == {DEFAULT_DOMAIN}


def _admits_referrer(entries: list[str], referrer: str) -> bool:
    host = urlsplit(referrer).hostname or ""
    admitted = False
    for entry in entries:
        if entry.startswith(".r:"):
            pattern = entry[3:]
            denies, pattern = pattern.startswith("-"), pattern.removeprefix("-")
            if pattern == "*" or pattern == host or (pattern.startswith(".") and host.endswith(pattern)):
                admitted = not denies
    return admitted


def cleaned(header: str, text: str) -> str:
    """Return an access list in its canonical form.  Raises Invalid when it cannot be read."""
    entries = []
    for raw in text.split(","):
        entry = raw.strip()
        if not entry:
            continue
        if not entry.startswith("."):
            entries.append(entry)
            continue
        kind, colon, value = entry.partition(":")
        kind, value = kind.strip(), value.strip()
        if kind == ".rlistings" and not colon:
            entries.append(entry)
            continue
        if kind not in (".r", ".ref", ".referer", ".referrer"):
            raise Invalid(f"Unknown designator '{kind}' in {header}: use .r:HOST, .rlistings or PROJECT:USER.")
        if header == "x-container-write":
            raise Invalid(f"Referrers are not allowed in {header}: '{entry}'.")
        denies, value = value.startswith("-"), value.removeprefix("-").strip()
        if value not in ("*", "") and value.startswith("*"):
            value = value[1:]
        if not value or value == ".":
            raise Invalid(f"No host in the referrer designator '{entry}' of {header}.")
        entries.append(f".r:{'-' if denies else ''}{value}")
    return ",".join(entries)
