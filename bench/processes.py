"""What processes have cost so far, read from /proc."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: list[int]) -> float:
    """Return the CPU seconds that living processes have used, those of children they have buried too."""
    return sum(sum(int(field) for field in _stat(pid)[11:15]) for pid in pids) / TICKS


def with_children(roots: list[int]) -> list[int]:
    """Return these processes and all that come of them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found and _stat(pid):
            found.append(pid)
            waiting.extend(children.get(pid, []))
    return found


def pids_of(places: list[Path]) -> list[int]:
    """Return the processes that pid files name; a folder stands for its ``*.pid``."""
    files = [file for place in places for file in (sorted(place.glob("*.pid")) if place.is_dir() else [place])]
    return with_children([int(file.read_text().split()[0]) for file in files])


def names(pids: list[int]) -> str:
    """Return what runs, such as ``mariadbd, 3 uwsgi``."""
    found: dict[str, int] = {}
    for pid in pids:
        name = Path(os.readlink(f"/proc/{pid}/exe")).name
        found[name] = found.get(name, 0) + 1
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in sorted(found.items()))


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on; nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
