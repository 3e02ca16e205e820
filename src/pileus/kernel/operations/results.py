"""Step results on their way into the journal and back.

Rule: a result is brought through JSON even when the step has just run, so that the first run and a later one
cannot differ.
"""

from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import Any, get_type_hints

import msgspec

_types: dict[CodeType, Any] = {}
_encode = msgspec.json.Encoder().encode


def result_type(fn: Callable[..., Any]) -> Any:
    """Return the declared return type of a step's function; ``Any`` when it declares none."""
    while isinstance(fn, partial):
        fn = fn.func
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    if code is None:
        return Any
    if code not in _types:
        try:
            _types[code] = get_type_hints(fn).get("return", Any)
        except NameError as error:
            raise TypeError(
                f"{fn.__qualname__} returns a type that cannot be looked up when it runs ({error}); import it at the "
                "top of its module, not under TYPE_CHECKING: the journal needs it"
            ) from error
    return _types[code]


def encoder(name: str) -> Callable[[Any], str]:
    """Return the function that writes the result of step ``name``."""

    def encode(value: Any) -> str:
        try:
            return _encode(value).decode()
        except (TypeError, msgspec.MsgspecError) as error:
            raise TypeError(
                f"step {name} returned a {type(value).__name__}, which a journal cannot hold: {error}"
            ) from error

    return encode


def decode(text: str | None, returns: Any) -> Any:
    """Return a result as its step's function declares it."""
    if text is None or text == "null":
        return None
    return msgspec.json.decode(text, type=returns)
