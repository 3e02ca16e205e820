"""Which steps are undone together, and in which order.  Rule: the order follows the body's text, not the clock."""

from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pileus.kernel.operations.journal import Step


@dataclass(frozen=True, slots=True)
class Undo:
    """How to take one step back, and to record that it has been."""

    step: str
    run: "Callable[[Step], Awaitable[None]]"


@dataclass(slots=True)
class Frame:
    """What fails as one: the operation, or an attempt inside it."""

    parent: "Frame | None" = None
    undoing: bool = False
    failure: Exception | None = None

    @property
    def closed(self) -> bool:
        """Tell whether no new step may begin."""
        return self.undoing or self.failure is not None or (self.parent is not None and self.parent.closed)

    @property
    def replaying(self) -> bool:
        """Tell whether the body runs only to find out what has to be undone."""
        return self.undoing or (self.parent is not None and self.parent.replaying)


@dataclass(slots=True)
class Scope:
    """A stack of undos; a list in it holds the scopes of branches that ran side by side."""

    frame: Frame
    undos: "list[Undo | list[Scope]]" = field(default_factory=list)

    def last_first(self) -> Iterator[Undo]:
        """Yield the undos in the order in which they run."""
        for entry in reversed(self.undos):
            if isinstance(entry, Undo):
                yield entry
            else:
                for scope in reversed(entry):
                    yield from scope.last_first()


current: ContextVar[Scope] = ContextVar("pileus_operation_scope")
