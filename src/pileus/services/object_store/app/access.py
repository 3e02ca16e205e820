"""Who may do what: the account's own project by role, others by the container's access lists.

The one rule: access lists open a container to more callers, they never close it to its owner.
Syntax of the lists: https://docs.openstack.org/swift/latest/overview_acl.html
"""

from urllib.parse import urlsplit

from pileus.kernel.context import ANONYMOUS, Context
from pileus.kernel.errors import Forbidden, Invalid, Unauthenticated
from pileus.kernel.policy import Rule
from pileus.services.object_store.model import ContainerRow

PREFIX = "AUTH_"
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


def require_read(ctx: Context, account: str, container: ContainerRow | None, referrer: str, *, listing: bool) -> None:
    """Raise unless the caller may read a container's objects, or list them."""
    if ctx.allows(READ, _target(account)):
        return
    entries = _entries(container, "x-container-read")
    if _is_named(ctx, entries):
        return
    if _admits_referrer(entries, referrer) and (not listing or ".rlistings" in entries):
        return
    refuse(ctx, f"{account}/{container.name}" if container else account)


def require_write(ctx: Context, account: str, container: ContainerRow | None) -> None:
    """Raise unless the caller may change a container's objects."""
    if ctx.allows(WRITE, _target(account)) or _is_named(ctx, _entries(container, "x-container-write")):
        return
    refuse(ctx, f"{account}/{container.name}" if container else account)


def owns(ctx: Context, account: str) -> bool:
    """Tell whether the caller runs the account: it sees the access lists and keys."""
    return ctx.allows(WRITE, _target(account))


def _entries(container: ContainerRow | None, header: str) -> list[str]:
    text = container.headers.get(header, "") if container is not None else ""
    return [entry for entry in text.split(",") if entry]


def _is_named(ctx: Context, entries: list[str]) -> bool:
    caller = ctx.caller
    if caller is ANONYMOUS or not entries:
        return False
    projects = {"*", caller.project_id} | ({caller.project_name} if caller.project_domain_id == "default" else set())
    users = {"*", caller.user_id} | ({caller.user_name} if caller.user_domain_id == "default" else set())
    for entry in entries:
        project, colon, user = entry.partition(":")
        if entry.startswith("."):
            continue
        if (project in projects and user in users) if colon else entry in caller.roles:
            return True
    return False


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
