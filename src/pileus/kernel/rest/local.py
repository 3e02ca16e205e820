"""Calls the public APIs from inside the process: same policy, same validation, same answers, no socket.

Rule: for pages that show what the APIs show (the dashboard), never for one service to use another.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from pileus.kernel.context import ANONYMOUS, Context
from pileus.kernel.errors import ApiError
from pileus.kernel.rest.http import Request

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime


class Refused(ApiError):
    """An API's refusal, with its own status and sentence."""


class LocalClient:
    """The APIs as one user, by token; ``source_ip`` is the address of whoever the calls are made for."""

    def __init__(
        self,
        runtime: "Runtime",
        token: str | None = None,
        base_url: str = "http://127.0.0.1",
        source_ip: str | None = None,
    ) -> None:
        self._runtime = runtime
        self._token = token
        self._base_url = base_url
        self._source_ip = source_ip

    def with_token(self, token: str) -> "LocalClient":
        """Return the APIs as another user."""
        return LocalClient(self._runtime, token, self._base_url, self._source_ip)

    async def get(self, path: str, **query: Any) -> Any:
        """Return the decoded answer of GET; a query value of list type is repeated."""
        return (await self.call("GET", path, query=query))[0]

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """Return the decoded answer of POST."""
        return (await self.call("POST", path, body, headers=headers))[0]

    async def put(self, path: str, body: Any = None) -> Any:
        """Return the decoded answer of PUT."""
        return (await self.call("PUT", path, body))[0]

    async def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        """Return the decoded answer of PATCH."""
        return (await self.call("PATCH", path, body, headers=headers))[0]

    async def delete(self, path: str) -> None:
        """Send DELETE."""
        await self.call("DELETE", path)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[Any, dict[str, str]]:
        """Send a request and return (decoded answer or None, headers); raise Refused for 400 and above.

        Header names in ``headers`` may be written with underscores.
        """
        given = {name.lower().replace("_", "-"): value for name, value in (headers or {}).items()}
        if self._token is not None:
            given["x-auth-token"] = self._token
        content = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
        wanted = {name: value for name, value in (query or {}).items() if value is not None}
        query_string = urlencode(wanted, doseq=True).encode()
        request = Request(method, path, given, query_string, "http", self._source_ip, body=content)
        ctx = Context(ANONYMOUS, self._runtime.policy, base_url=self._base_url, source_ip=self._source_ip)
        response = await self._runtime.app.handle(request, ctx)
        answer = response.body if isinstance(response.body, bytes) else b"".join([c async for c in response.body])
        if response.status >= 400:
            raise Refused(sentence_of(answer), status=response.status)
        is_json = answer and response.media_type is not None and "json" in response.media_type
        found = {name.lower(): value for name, value in response.headers}
        return (msgspec.json.decode(answer) if is_json else answer or None), found


def sentence_of(answer: bytes) -> str:
    """Return the sentence in a refusal's body, whatever the service's format."""
    try:
        found = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return answer.decode(errors="replace").strip()
    while isinstance(found, dict | list) and found:
        if isinstance(found, list):
            found = found[0]
            continue
        told = found.get("message") or found.get("detail")
        if isinstance(told, str):
            return told
        found = next(iter(found.values()))
    return str(found)
