"""The API of key management."""

from typing import Any

from pileus.dialects.barbican import BARBICAN, barbican_error
from pileus.kernel.rest import Api, Microversions
from pileus.kernel.rest.http import Request
from pileus.kernel.rest.routing import Route
from pileus.services.key_manager.app.payloads import UnsupportedMediaType

VERSIONS = Microversions("key-manager", "1.0", "1.2")
JSON = ("", "application/json")


def refuse_other_types(request: Request, route: Route) -> None:
    """Raise UnsupportedMediaType for a body that is no JSON, but where a payload is sent."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method in ("POST", "PATCH") and given not in JSON:
        raise UnsupportedMediaType(f"The Content-Type must be application/json, not {given[:64]}.")


def make_api(prefix: str, **more: Any) -> Api:
    """Return an Api of this service."""
    return Api(
        "key_manager",
        prefix,
        VERSIONS,
        error=barbican_error,
        hide_foreign=False,  # as upstream: what a rule forbids is 403, another project's too
        screen=refuse_other_types,
        dialect=BARBICAN,
        **more,
    )


api = make_api("/v1", is_default=True)
