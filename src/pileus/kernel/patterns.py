"""Regular expressions that callers write.  Rule: RE2 matches them, in time linear in the text, and never ``re``.

A pattern costs the size of its program for each character in the worst case: who looks through many texts counts
that, so that no pattern holds the process.
"""

from functools import lru_cache
from typing import Any

import re2

from pileus.kernel.errors import Invalid

LONGEST = 255
"""Characters of a pattern."""
MEMORY_BYTES = 1 << 16
"""For a pattern's program and its automaton; what needs more is refused as too complicated."""


class Pattern:
    """A caller's regular expression, compiled; it regards no case, as MySQL's do under upstream's Compute."""

    __slots__ = ("_match", "cost")

    def __init__(self, compiled: Any) -> None:
        self._match = compiled.search
        self.cost: int = compiled.programsize
        """Steps for one character of a text, at worst."""

    def is_in(self, text: str) -> bool:
        """Tell whether any part of ``text`` matches."""
        return self._match(text) is not None


def pattern(text: str, name: str, *, anchored: bool = False) -> Pattern:
    """Return the pattern that a caller gave for ``name``; raise Invalid when RE2 cannot read or will not run it.

    ``anchored`` ones match from the beginning of a text on.
    """
    if len(text) > LONGEST:
        raise Invalid(
            f"Invalid input for query parameters {name}: the pattern has {len(text)} characters, more than {LONGEST}."
        )
    try:
        return _compiled(text, anchored)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error.args[0]
        raise Invalid(
            f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'regex' that can be matched"
            f" in bounded time: {reason}."
        ) from error


@lru_cache(maxsize=256)
def _compiled(text: str, anchored: bool) -> Pattern:
    re2.compile(text, _options())  # as it stands, lest a stray parenthesis be closed by the ones put around it
    return Pattern(re2.compile(rf"\A(?:{text})" if anchored else text, _options()))


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem = MEMORY_BYTES
    options.case_sensitive = False
    options.never_capture = True
    options.log_errors = False
    return options


def regexp(text: str, value: Any) -> bool:
    """SQL's ``value REGEXP text`` for an engine that has none of its own."""
    return value is not None and pattern(text, "regexp").is_in(str(value))
