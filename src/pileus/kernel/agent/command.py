"""What a host can be told to do.  Rule: a command is a value, "ensure" or "ensure gone", safe to repeat."""

from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

import msgspec

Result = TypeVar("Result")
_known: dict[str, "type[Command[Any]]"] = {}


class Command(msgspec.Struct, Generic[Result], frozen=True, kw_only=True):
    """Base of every command: ``class EnsureGuest(Command[GuestFacts]): server_id: str``.

    The type in brackets is the answer's (``None`` when there is nothing to tell); command and answer travel as
    MessagePack.  Names are unique over all services, since the name is what travels.
    """

    returns: ClassVar[Any] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        known = _known.get(cls.__name__)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"two commands are called {cls.__name__}: in {known.__module__} and in {cls.__module__}")
        for base in cls.__dict__.get("__orig_bases__", ()):
            if get_origin(base) is Command:
                (cls.returns,) = get_args(base)
        _known[cls.__name__] = cls


def commands() -> "dict[str, type[Command[Any]]]":
    """Return every command there is, by name."""
    return dict(_known)
