"""Links to the neighbouring pages of a regular list.  Rule: only a list with a limit has them."""

from urllib.parse import urlencode

from pileus.kernel.context import Context
from pileus.kernel.rest.http import Request
from pileus.kernel.rest.regular.filters import ListQuery


def page_links(request: Request, ctx: Context, query: ListQuery, ids: list[str]) -> list[dict[str, str]]:
    """Return ``[{"rel": "next", "href": ...}, {"rel": "previous", ...}]`` as far as there may be more rows.

    A page shorter than its limit is the last one in the direction of reading, an empty one too: from there the way
    back begins at the list's end.
    """
    if not query.limit:
        return []
    last = len(ids) < query.limit
    kept = [(name, value) for name, value in request.query_items() if name not in ("marker", "page_reverse")]
    links = []
    if not last or query.page_reverse:
        links.append({"rel": "next", "href": _url(request, ctx, [*kept, *(("marker", id) for id in ids[-1:])])})
    if not last or not query.page_reverse:
        more = [*kept, *(("marker", id) for id in ids[:1]), ("page_reverse", "True")]
        links.append({"rel": "previous", "href": _url(request, ctx, more)})
    return links


def _url(request: Request, ctx: Context, items: list[tuple[str, str]]) -> str:
    return f"{ctx.base_url}{request.path}?{urlencode(items)}"
