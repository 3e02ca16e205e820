"""Who may touch an object: a token with its role or access list, or a temporary URL."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.rest import Request
from pileus.services.object_store import store
from pileus.services.object_store.app import access, tempurl
from pileus.services.object_store.app.objects import Path
from pileus.services.object_store.model import ContainerRow
from pileus.services.object_store.store import Found


@dataclass(frozen=True, slots=True)
class Permit:
    """What the caller may do beyond the object itself."""

    found: Found
    may_read: Callable[[ContainerRow], None]
    """Raises unless objects of another container (segments) may be read too."""
    is_temporary: bool = False


def permit(tx: Tx, ctx: Context, request: Request, path: Path, *, write: bool) -> Permit:
    """Return the permit to read or write the object.  Raises Unauthenticated or Forbidden."""
    query = dict(request.query_items())
    found = store.find(tx, path.account, path.container, path.name)
    if "temp_url_sig" in query or "temp_url_expires" in query:
        return _temporary(ctx, request, path, query, found)
    referrer = request.headers.get("referer", "")
    if write:
        access.require_write(ctx, path.account, found.container)
    else:
        access.require_read(ctx, path.account, found.container, referrer, listing=False)

    def may_read(container: ContainerRow) -> None:
        access.require_read(ctx, path.account, container, referrer, listing=False)

    return Permit(found, may_read)


def _temporary(ctx: Context, request: Request, path: Path, query: dict[str, str], found: Found) -> Permit:
    plain, mounted = f"/v1{path}", f"{tempurl.MOUNT}{path}"
    spellings = {plain, mounted, quote(plain), quote(mounted)}
    keys = tempurl.keys_of(found)
    scope = tempurl.check(request.method, spellings, path, query, request.source_ip, keys)

    def may_read(container: ContainerRow) -> None:
        if scope == "container" and container.name != path.container:
            raise Unauthenticated("Temp URL invalid: the container's key opens no segments in other containers.")

    return Permit(found, may_read, is_temporary=True)
