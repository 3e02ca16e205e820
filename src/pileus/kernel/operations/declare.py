"""What an operation is called, what it takes and how it ends.  Rule: declared once, beside its body."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from pileus.kernel.db import Tx

if TYPE_CHECKING:
    from pileus.kernel.operations.body import Operation

Input = TypeVar("Input", bound=msgspec.Struct)
Body = Callable[["Operation", Input], Awaitable[None]]
OnFailure = Callable[[Tx, Any, str], object]

_declared: dict[str, "Declaration"] = {}


@dataclass(frozen=True, slots=True)
class Declaration:
    """One kind of operation."""

    kind: str
    body: Callable[..., Awaitable[None]]
    input: type[msgspec.Struct]
    deadline_s: float
    cancellable: bool
    on_failure: OnFailure | None
    queues: bool = False
    part: Callable[[Any], str] | None = None


def operation(
    kind: str,
    *,
    input: type[Input],
    deadline_s: float = 600,
    cancellable: bool = True,
    on_failure: Callable[[Tx, Input, str], object] | None = None,
    queues: bool = False,
    part: Callable[[Input], str] | None = None,
) -> Callable[[Body[Input]], Body[Input]]:
    """Declare ``async def body(op, input)`` as the operation ``kind`` ("server.create").

    ``deadline_s`` bounds the way forward: once it has passed, the operation is undone.  ``on_failure(tx, input,
    reason)`` runs in the transaction that concludes a failed operation, after everything has been undone: it
    puts the resource into its error state.  ``cancellable`` tells whether a later operation on the resource
    (its delete) may have this one undone instead of waiting for its end.

    With ``queues`` a second operation on the resource is not refused but waits for its turn; all kinds of one
    resource queue, or none does.  ``part(input)`` names what of the resource a queueing kind changes
    ("volume/<id>"): operations on different parts run side by side, one without a part changes all of it.
    """

    def register(body: Body[Input]) -> Body[Input]:
        known = _declared.get(kind)
        if known is not None and (known.body.__module__, known.body.__qualname__) != (
            body.__module__,
            body.__qualname__,
        ):
            raise ValueError(f"operation {kind} is declared twice: in {known.body.__module__} and {body.__module__}")
        _declared[kind] = Declaration(
            kind, body, input, deadline_s, cancellable, on_failure, queues or part is not None, part
        )
        return body

    return register


def declared() -> Mapping[str, Declaration]:
    """Return every operation there is, by kind: what tests walk."""
    return MappingProxyType(_declared)


def declaration(kind: str) -> Declaration:
    """Return one kind's declaration."""
    try:
        return _declared[kind]
    except KeyError:
        raise LookupError(f"no operation is called {kind}: its service is not part of this process") from None
