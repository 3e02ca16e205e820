"""Headers that are kept with accounts, containers and objects.

The one rule: kept headers have lower-case names and decoded values; which ones a verb keeps stands in ``headers.py``.
"""

from collections.abc import Mapping

from pileus.kernel.errors import Invalid, PreconditionFailed
from pileus.services.object_store.app.headers import KNOWN
from pileus.services.object_store.model import LIMITS

LONGEST_TYPE = 1024
"""Characters of a content type."""


def text_of(value: str, what: str) -> str:
    """Decode a header's value from the bytes it came as.  Raises Invalid when they are not UTF-8."""
    try:
        text = value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Invalid(f"{what} must be valid UTF-8.") from None
    if "\0" in text:
        raise Invalid(f"{what} has a NUL; leave it out.")
    return text


def meta_of(kind: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the ``x-<kind>-meta-*`` headers of a request, checked against the limits.  Raises Invalid."""
    prefix = f"x-{kind}-meta-"
    meta: dict[str, str] = {}
    for header, raw in headers.items():
        if header.startswith(prefix):
            name = header[len(prefix) :]
            if not name:
                raise Invalid("Metadata name cannot be empty.")
            if len(name) > LIMITS["max_meta_name_length"]:
                raise Invalid(f"Metadata name too long: {header}; at most {LIMITS['max_meta_name_length']} bytes.")
            value = text_of(raw, f"The value of {header}")
            if len(value.encode()) > LIMITS["max_meta_value_length"]:
                raise Invalid(f"Metadata value longer than {LIMITS['max_meta_value_length']}: {header}.")
            meta[header] = value
    check_total(prefix, meta)
    return meta


def check_total(prefix: str, headers: Mapping[str, str]) -> None:
    """Raise Invalid when there are too many metadata items or they are too large together."""
    items = {name: value for name, value in headers.items() if name.startswith(prefix) and value}
    if len(items) > LIMITS["max_meta_count"]:
        raise Invalid(f"Too many metadata items; max {LIMITS['max_meta_count']}.")
    total = sum(len(name) - len(prefix) + len(value.encode()) for name, value in items.items())
    if total > LIMITS["max_meta_overall_size"]:
        raise Invalid(f"Total metadata too large; max {LIMITS['max_meta_overall_size']} bytes.")


def merged(kind: str, stored: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    """Apply a request's headers to those of an account or container.

    Given ones change, empty and removed ones go; one that is both given and removed is given.
    """
    given = {**meta_of(kind, headers), **_plain(kind, "POST", headers)}
    removed = {f"x-{name.removeprefix('x-remove-')}" for name in headers if name.startswith("x-remove-")}
    result = {name: value for name, value in stored.items() if name not in removed} | given
    result = {name: value for name, value in result.items() if value}
    check_total(f"x-{kind}-meta-", result)
    return result


def object_headers(method: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request that are kept with an object."""
    kept = {**meta_of("object", headers), **_plain("object", method, headers)}
    return {name: value for name, value in kept.items() if value or name.startswith("x-object-meta-")}


def _plain(kind: str, method: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the kept headers of a request that have one name only."""
    names = KNOWN[kind, method].kept
    return {name: text_of(headers[name], f"The value of {name}") for name in names if name in headers}


def check_container_name(name: str) -> None:
    """Raise Invalid for a container name that cannot be."""
    _check_length("Container", name, LIMITS["max_container_name_length"])
    if "/" in name:
        raise Invalid(f"Container name {name!r} has a slash; take another character.")
    if name in (".", ".."):
        raise Invalid(
            f"A container cannot be called {name!r}: clients take that for a step in a path and never reach it."
        )
    check_text(name)


def check_object_name(name: str) -> None:
    """Raise Invalid for an object name that cannot be."""
    _check_length("Object", name, LIMITS["max_object_name_length"])
    check_text(name)


def _check_length(noun: str, name: str, most: int) -> None:
    length = len(name.encode("utf-8", "replace"))
    if length > most:
        raise Invalid(f"{noun} name length of {length} longer than {most}")
    if not name:
        raise Invalid(f"{noun} name cannot be empty.")


def check_text(name: str) -> None:
    """Raise PreconditionFailed for text that was not UTF-8 or holds a NUL."""
    if "\ufffd" in name or "\0" in name:
        raise PreconditionFailed("Invalid UTF8 or contains NULL")
