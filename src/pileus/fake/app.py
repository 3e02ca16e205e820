"""The APIs, as faults let them answer."""

from typing import TYPE_CHECKING

from pileus.fake.faults import ApiFault, Faults, matches
from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.errors import ApiError, title_of
from pileus.kernel.rest.app import App
from pileus.kernel.rest.http import Request, Response, path_segments
from pileus.kernel.rest.routing import Api

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime


class FaultyApp(App):
    """Answers a request itself where a fault is for it, in the words of the API that was asked."""

    def __init__(self, runtime: "Runtime", faults: Faults) -> None:
        super().__init__(runtime)
        self._faults = faults

    async def handle(self, request: Request, ctx: Context) -> Response:
        first = request.path.split("/", 2)[1] if request.path.startswith("/") else ""
        for one in self._faults.of(ApiFault):
            fault = one.fault
            assert isinstance(fault, ApiFault)
            if not self._is_for(fault, first, request) or one.strikes() is None:
                continue
            if fault.delay_s:
                await clock.sleep(fault.delay_s)
            if fault.status is not None:
                return self._refuse(fault, fault.status, first, request, ctx)
        return await super().handle(request, ctx)

    def _is_for(self, fault: ApiFault, first: str, request: Request) -> bool:
        known = {first, self.names.get(first, first), self.names.get(first, first).replace("_", "-")}
        below = request.path.removeprefix(f"/{first}")
        return (
            any(matches(fault.service, name) for name in known)
            and matches(fault.method.upper(), request.method)
            and (matches(fault.path, request.path) or matches(fault.path, below))
        )

    def _refuse(self, fault: ApiFault, status: int, first: str, request: Request, ctx: Context) -> Response:
        headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
        words = fault.message or f"{title_of(status)}: a fault of this fake cloud was ordered for this request."
        api = self._api_of(first, request)
        return self._finish(self._refusal(ApiError(words, status=status, headers=headers), request, ctx, api), ctx, api)

    def _api_of(self, first: str, request: Request) -> Api | None:
        """Return the API to which a path belongs: it says in which form it refuses."""
        tree, segments = self.trees.get(first), path_segments(request.path)
        if tree is None:
            return None
        found = tree.find(segments[1:])
        return tree.default if found is None else next(iter(found[0].endpoints.values()))[0].api
