"""Who may touch an object: a token with its role or access list, or a temporary URL."""

from dataclasses import dataclass
from urllib.parse import quote

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, Unauthenticated
from pileus.kernel.rest import Request
from pileus.services.object_store import store
from pileus.services.object_store.app import access, tempurl
from pileus.services.object_store.app.content import MayRead
from pileus.services.object_store.app.objects import Path
from pileus.services.object_store.model import ContainerRow
from pileus.services.object_store.store import Found


@dataclass(frozen=True, slots=True)
class Permit:
    """What the caller may do beyond the object itself."""

    found: Found
    may_read: MayRead
    """Raises unless objects of another container (segments) may be read too."""
    is_temporary: bool = False


def permit(tx: Tx, ctx: Context, request: Request, path: Path, *, write: bool) -> Permit:
    """Return the permit to read or write the object.  Raises Unauthenticated or Forbidden."""
    query = dict(request.query_items())
    found = store.find(tx, path.account, path.container, path.name)
    if is_temporary(query):
        return _temporary(ctx, request, path, query, found)
    referrer = request.headers.get("referer", "")
    if write:
        access.require_write(ctx, path.account, found)
    else:
        access.require_read(ctx, path.account, found, referrer, listing=False)

    def may_read(container: ContainerRow) -> None:
        access.require_read(ctx, path.account, found._replace(container=container), referrer, listing=False)

    return Permit(found, may_read)


def is_temporary(query: dict[str, str]) -> bool:
    """Tell whether the request comes by a temporary URL."""
    return "temp_url_sig" in query or "temp_url_expires" in query


REACHING = {
    "headers": ("x-object-manifest", "x-copy-from", "x-symlink-target"),
    "query": ("bulk-delete", "extract-archive"),
}
"""What makes a request touch more than the one object that its path names."""


def refuse_reach(request: Request) -> None:
    """Refuse what would let a temporary URL, signed for one object, reach others.  Raises Invalid.

    Reading a large object through one reads its segments, as far as the key that signed it reaches.
    """
    query = dict(request.query_items())
    if not is_temporary(query):
        return
    reaching = [name.title() for name in REACHING["headers"] if name in request.headers]
    reaching += [f"?{name}" for name in REACHING["query"] if name in query]
    if query.get("multipart-manifest", "get") != "get":
        reaching.append(f"?multipart-manifest={query['multipart-manifest']}")
    if request.method == "COPY":
        reaching.append("COPY")
    if reaching:
        raise Invalid(
            f"{', '.join(reaching)} is not possible through a temporary URL: it opens the one object that it was"
            " signed for, and this would reach others. Use a token."
        )


def _temporary(ctx: Context, request: Request, path: Path, query: dict[str, str], found: Found) -> Permit:
    plain, mounted = f"/v1{path}", f"{tempurl.MOUNT}{path}"
    spellings = {plain, mounted, quote(plain), quote(mounted)}
    keys = tempurl.keys_of(found)
    scope = tempurl.check(request.method, spellings, path, query, request.source_ip, keys)

    def may_read(container: ContainerRow) -> None:
        if scope == "container" and container.name != path.container:
            raise Unauthenticated("Temp URL invalid: the container's key opens no segments in other containers.")

    return Permit(found, may_read, is_temporary=True)
