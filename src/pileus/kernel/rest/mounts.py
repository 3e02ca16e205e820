"""Applications of their own beside the APIs.  Rule: imported by their first request, on a thread of its own."""

import asyncio
import importlib
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from pileus.kernel.rest.http import Receive, Send

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime


class Mounted:
    """One application, named ``module:function``; the function makes it of the runtime."""

    def __init__(self, runtime: "Runtime", name: str) -> None:
        self._runtime = runtime
        self._module, _, self._function = name.partition(":")
        self._making = asyncio.Lock()
        self._made: Any = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if self._made is None:
            async with self._making:
                if self._made is None:
                    module = await asyncio.to_thread(importlib.import_module, self._module)
                    self._made = getattr(module, self._function)(self._runtime)
        await self._made(scope, receive, send)
