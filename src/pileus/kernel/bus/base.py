"""Commands to hosts, their answers, and wake-ups.

Rule: the bus may lose anything.  Whoever calls repeats until answered; whoever hears a wake-up looks into the
database; so a lost message costs time, never truth.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from pileus.kernel import clock, errors, ids
from pileus.kernel.agent.command import Command

R = TypeVar("R")
Listener = Callable[[Any], None]

_encode = msgspec.msgpack.Encoder().encode


class Caller(msgspec.Struct, frozen=True, array_like=True):
    """On whose behalf a command is sent, and until when it may be started.

    A repeat of the same (operation, step) joins the first; a lower epoch than the highest seen of the same
    operation is refused; so is whatever arrives after ``expires_at`` (seconds since 1970), which never lies
    beyond the sender's lease.
    """

    operation: str = ""
    resource: str = ""
    step: str = ""
    epoch: int = 0
    expires_at: float = 0.0
    request_id: str = ""
    final: bool = False
    """Whether a refusal ends the step, so that a repeat that comes late is refused alike and not carried out."""


NOBODY = Caller()


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """A command on its way."""

    id: str
    command: str
    payload: msgspec.Raw
    caller: Caller


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What became of a command: a result, or the class and the sentence of its failure."""

    id: str
    payload: msgspec.Raw = msgspec.Raw()
    error: str = ""
    message: str = ""
    status: int = 0
    refused: bool = False
    """Whether the host's driver failed, and not the way to it."""


class CommandFailed(errors.ApiError):
    """A host's driver failed in a way that has no name of its own; trying again would not help."""

    title = "Host command failed"


class Unreachable(errors.Unavailable):
    """The host is not connected: the command has not left the sender."""


class StaleEpoch(errors.Unavailable):
    """The host has obeyed a later epoch of this operation."""


class Bus(Protocol):
    """What the control plane needs of a message engine."""

    async def start(self) -> None:
        """Open sockets; idempotent."""
        ...

    async def stop(self) -> None:
        """Close them; calls under way fail with ``Unavailable``."""
        ...

    async def call(self, host: str, command: Command[R], caller: Caller = NOBODY, *, timeout_s: float = 30) -> R:
        """Have ``host`` carry out ``command`` and return its answer.

        Raises ``Unavailable`` naming the host when it is not there (at once) or does not answer in time; any
        other ``ApiError`` is the host's own.
        """
        ...

    def publish(self, topic: str, message: Any = None) -> None:
        """Wake whoever subscribes to ``topic`` in this process; other processes find out when they next look."""
        ...

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Call ``listener(message)`` on the event loop for each wake-up; returns the way to stop it."""
        ...


class Subscriptions:
    """Who wants to hear of which topic, in this process."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def subscribe(self, topic: str, listener: Listener) -> Callable[[], None]:
        listeners = self._listeners.setdefault(topic, [])
        listeners.append(listener)

        def unsubscribe() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return unsubscribe

    def tell(self, topic: str, message: Any) -> None:
        for listener in list(self._listeners.get(topic, ())):
            listener(message)


def envelope(command: Command[Any], caller: Caller, timeout_s: float) -> Envelope:
    """Return ``command`` ready to travel; without an operation it expires with the caller's patience."""
    if not caller.expires_at:
        caller = msgspec.structs.replace(caller, expires_at=clock.now().timestamp() + timeout_s)
    return Envelope(ids.new_id(), type(command).__name__, msgspec.Raw(_encode(command)), caller)


def result_of(answer: Answer, host: str, returns: Any) -> Any:
    """Return an answer's result, or raise the failure it reports."""
    if answer.error:
        raise _failure(answer, host)
    return None if returns is None else msgspec.msgpack.decode(answer.payload, type=returns)


def answer_with(id: str, result: Any) -> Answer:
    """Return a result ready to travel."""
    return Answer(id, msgspec.Raw(_encode(result)))


def answer_failed(id: str, error: BaseException) -> Answer:
    """Return a failure ready to travel; what is not an ``ApiError`` keeps only its words."""
    if isinstance(error, errors.ApiError):
        return Answer(id, _NIL, type(error).__name__, error.message, error.status)
    return Answer(id, _NIL, CommandFailed.__name__, f"{type(error).__name__}: {error}", 500)


def may_pass(answer: Answer) -> bool:
    """Tell whether an answer is a failure after which the same command is sent again."""
    return bool(answer.error) and issubclass(_FAILURES.get(answer.error, CommandFailed), errors.Unavailable)


def unreachable(host: str) -> Unreachable:
    """Return the failure of a call to a host whose agent is not there."""
    return Unreachable(f"Host {host} is not reachable: its agent is not running or not connected.")


def no_answer(host: str, command: Command[Any], timeout_s: float) -> errors.Unavailable:
    """Return the failure of a call that was not answered in time."""
    return errors.Unavailable(f"Host {host} did not answer {type(command).__name__} within {timeout_s:.3g} s.")


def _failure(answer: Answer, host: str) -> errors.ApiError:
    """Return a host's failure with a sentence that users may read, and the host's own words for operators."""
    kind = _FAILURES.get(answer.error, CommandFailed)
    told = answer.message or f"Host {host} failed without saying why."
    failure = kind(errors.without_paths(told), status=answer.status or None)
    failure.told_by_host = told
    if isinstance(failure, errors.Unavailable):
        failure.refused = answer.refused
    return failure


_NIL = msgspec.Raw(_encode(None))
_FAILURES: dict[str, type[errors.ApiError]] = {
    kind.__name__: kind
    for kind in (CommandFailed, StaleEpoch, *vars(errors).values())
    if isinstance(kind, type) and issubclass(kind, errors.ApiError)
}
