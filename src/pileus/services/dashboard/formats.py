"""How numbers and moments are written for people."""

from datetime import datetime

from markupsafe import Markup

from pileus.kernel import clock

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_bytes(count: int | None) -> str:
    """Return ``26.8 MiB`` for a number of bytes."""
    if count is None:
        return "-"
    size, unit = float(count), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 else f"{size:.1f} {UNITS[unit]}"


def age(moment: str | None) -> str:
    """Return ``5 min`` for an API's timestamp."""
    if not moment:
        return "-"
    text = moment.replace("Z", "")
    seconds = (clock.now().replace(tzinfo=None) - datetime.fromisoformat(text).replace(tzinfo=None)).total_seconds()
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{max(0, seconds) / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def bar(used: int, limit: int) -> Markup:
    """Return a quota's bar; ``meter`` is drawn by the browser and read aloud by screen readers."""
    if limit < 0:
        return Markup('<span class="unlimited">{} used, no limit</span>').format(used)
    top = max(limit, used, 1)
    return Markup(
        '<meter min="0" max="{}" high="{}" value="{}">{} of {}</meter> <span class="count">{} of {}</span>'
    ).format(top, top * 0.8, used, used, limit, used, limit)
