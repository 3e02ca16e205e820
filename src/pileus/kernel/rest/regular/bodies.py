"""What a client sends to a regular resource, before it is decoded.  Rule: what cannot be said is refused by name."""

from collections.abc import Mapping
from typing import Any

from pileus.kernel.errors import Invalid, PreconditionFailed
from pileus.kernel.rest.http import Request
from pileus.kernel.rest.regular.attributes import Field


def bodies_in(raw: Any, name: str, plural: str) -> tuple[list[dict[str, Any]], bool]:
    """Return the bodies of a creation, of one or of many, and whether there may be many."""
    if isinstance(raw, dict) and isinstance(raw.get(name), dict):
        return [raw[name]], False
    many = raw.get(plural) if isinstance(raw, dict) else None
    if isinstance(many, list) and many:
        if not all(isinstance(item, dict) for item in many):
            raise Invalid(f"Every entry of '{plural}' in the request body must be an object.")
        return [item.get(name, item) if len(item) == 1 else item for item in many], True
    raise Invalid(
        f"The request body must be a JSON object with the member '{name}', an object, or '{plural}',"
        " a list of them that is not empty.",
    )


def normalised(raw: dict[str, Any], use: str, known: Mapping[str, Field]) -> dict[str, Any]:
    """Return a body with ``project_id`` for ``tenant_id``; raise Invalid for what is unknown or fixed."""
    raw = dict(raw)
    if "tenant_id" in raw and "project_id" in known:
        owner = raw.pop("tenant_id")
        if raw.setdefault("project_id", owner) != owner:
            raise Invalid("'project_id' and 'tenant_id' do not match: give only project_id.")
    unknown = sorted(raw.keys() - known.keys())
    if unknown:
        raise Invalid(f"Unrecognized attribute(s) '{', '.join(unknown)}'.")
    fixed = sorted(api for api in raw if use not in known[api].attr.on)
    if fixed and use == "c":
        raise Invalid(f"Attribute '{fixed[0]}' not allowed in POST.")
    if fixed:
        raise Invalid(f"Cannot update read-only attribute {fixed[0]}.")
    for api in [api for api, value in raw.items() if value is None]:
        null = known[api].attr.null
        if null is False:
            raise Invalid(f"Invalid input for {api}. Reason: it cannot be null.")
        if null is not True:
            raw[api] = null()
    return raw


def match_revision(row: Any, request: Request, title: str) -> None:
    """Raise PreconditionFailed when ``If-Match: revision_number=N`` names another revision than the row has."""
    condition = request.headers.get("if-match", "").strip()
    if not condition or not hasattr(row, "revision_number"):
        return
    name, _, number = condition.partition("=")
    if name.strip() != "revision_number" or not number.strip().isdecimal():
        raise Invalid(f"Invalid If-Match header '{condition}': it must be revision_number=NUMBER.")
    if int(number) != row.revision_number:
        raise PreconditionFailed(
            f"Constrained to {number.strip()}, but current revision is {row.revision_number}: read the "
            f"{title.lower()} again and repeat the change if it is still wanted.",
            kind="RevisionNumberConstraintFailed",
        )
