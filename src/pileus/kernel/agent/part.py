"""What a service brings to a host.  Rule: a part knows its drivers and its commands, no database and no API."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from pileus.kernel.agent.command import Command

Handler = Callable[[Any], Awaitable[Any]]


class HostContext(Protocol):
    """What the host lends to its parts."""

    @property
    def name(self) -> str:
        """The host's name, as the control plane knows it."""
        ...

    def publish(self, topic: str, message: Any = None) -> None:
        """Wake the control plane: something on this host has changed by itself.  May be lost."""
        ...

    def report(self) -> None:
        """Have the facts of all parts gathered and reported anew."""
        ...


class AgentPart:
    """Base of a service's host side; subclasses set ``service`` and ``handles``."""

    service: str = ""
    """The service this part belongs to ("compute")."""

    @property
    def handles(self) -> Mapping[type[Command[Any]], Handler]:
        """Return what this part obeys: command type -> ``async def handler(command)``."""
        return {}

    async def start(self, host: HostContext) -> None:
        """Find what is on the host already; called before the first command."""

    async def stop(self) -> None:
        """Let go; what runs on the host stays."""

    async def facts(self) -> dict[str, Any]:
        """Return what the control plane should know of this host: plain JSON, small."""
        return {}

    async def clear(self, *, purge: bool) -> None:
        """Shut down what runs on this host; with ``purge`` remove everything that this cloud has made here.

        Called on a part that was not started, when the cloud is down: nothing but the host itself is there to
        ask.  What belongs to other clouds or other programs is left alone.
        """
