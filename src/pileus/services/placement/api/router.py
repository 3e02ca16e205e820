"""The API object every resource registers with, and what their documents share."""

from typing import Annotated, Any

import msgspec

from pileus.dialects.placement import placement_error
from pileus.kernel import ids, policy
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Invalid
from pileus.kernel.rest import Api, Microversions, Response, at_most, plain_page
from pileus.kernel.rest.references import Refers
from pileus.services.placement.app.inventory import require_provider
from pileus.services.placement.model import Provider

PREFIX = "/placement"
OPERATOR = policy.ADMIN_OR_SERVICE
UUID = r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$"

Uuid = Annotated[str, msgspec.Meta(max_length=36, pattern=UUID)]
ProviderId = Annotated[Uuid, Refers("resource_provider", loaded=False)]
Uuids = Annotated[list[Uuid], at_most(1000)]
ClassName = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9_]+$", max_length=255)]
CustomName = Annotated[str, msgspec.Meta(pattern=r"^CUSTOM_[A-Z0-9_]+$", max_length=255)]
TraitName = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9_]+$", max_length=255)]
Generation = Annotated[int, msgspec.Meta(ge=0)]


def error(refusal: ApiError, request_id: str) -> Response:
    """Dress a refusal; every one has a code, as clients of 1.23 and later expect."""
    refusal.kind = refusal.kind or "placement.undefined_code"
    return placement_error(refusal, request_id)


api = Api(
    "placement",
    "",
    Microversions("placement", "1.0", "1.39"),
    error=error,
    page=plain_page,
    hide_foreign=False,
    judge_missing=True,
)


@api.loader(Provider)
def load_provider(tx: Tx, ctx: Context, uuid: str) -> Provider:
    return require_provider(tx, dashed(uuid))


def dashed(uuid: str) -> str:
    """Return a UUID in the form in which rows keep it."""
    if ids.is_uuid(uuid) and "-" not in uuid:
        return f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}"
    return uuid


def links(path: str, *more: str) -> list[dict[str, str]]:
    """Return the links of something at ``path`` and of what hangs on it."""
    own = f"{PREFIX}{path}"
    return [{"rel": "self", "href": own}, *({"rel": name, "href": f"{own}/{name}"} for name in more)]


def created(ctx: Context, path: str, content: Any = None) -> Response:
    """Return 201 with the place of what was made."""
    headers = [("Location", f"{ctx.base_url}{PREFIX}{path}")]
    if content is None:
        return Response(201, headers=headers, media_type=None)
    return Response(200, msgspec.json.encode(content), headers)


def split_filter(text: str, name: str) -> set[str]:
    """Return the words of ``in:A,B``; raise Invalid."""
    words = {word for word in text.removeprefix("in:").split(",") if word}
    if not words:
        raise Invalid(f"Badly formatted {name} parameter: expected a comma-separated list, got: {text[:200]!r}.")
    return words
