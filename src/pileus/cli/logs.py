"""``pileus logs``: the cloud's logs, in order of time, as lines for people."""

import argparse
import heapq
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pileus.cli.state import ROLES, State
from pileus.cli.terminal import Problem, say

PLAIN = ("time", "level", "logger", "message", "request_id", "traceback")


def run(words: argparse.Namespace) -> None:
    """Print the last lines of all roles' logs merged by time, then follow if asked."""
    state = State(words.state)
    state.load()
    paths = {role: state.log(role) for role in ROLES if state.log(role).exists()}
    if not paths:
        raise Problem(f"There are no logs in {state.path / 'logs'} yet.")
    streams = [[(stamp(line), role, line) for line in tail(path, words)] for role, path in paths.items()]
    for _, role, line in list(heapq.merge(*streams, key=lambda entry: entry[0]))[-words.lines :]:
        say(line if words.json else readable(role, line))
    if words.follow:
        for role, line in follow(paths):
            if not words.request or words.request in line:
                say(line if words.json else readable(role, line))


def tail(path: Path, words: argparse.Namespace) -> list[str]:
    """Return the last lines of one log, of one request if asked."""
    with path.open(errors="replace") as file:
        if not words.request:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - words.lines * 2000))
        lines = [line.rstrip("\n") for line in file if not words.request or words.request in line]
    return lines[-words.lines :]


def stamp(line: str) -> str:
    """Return the time of a line; lines that are no JSON sort first."""
    try:
        return str(json.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return ""


def readable(role: str, line: str) -> str:
    """Return one line for people."""
    try:
        entry = json.loads(line)
        rest = " ".join(f"{key}={value}" for key, value in entry.items() if key not in PLAIN and value is not None)
        text = f"{entry['time'][11:23]} {role:<6} {entry['level']:<7} {entry['message']}"
        request = f"  {entry['request_id']}" if entry.get("request_id") else ""
        traceback = f"\n{entry['traceback']}" if entry.get("traceback") else ""
        return f"{text}{request}{'  ' + rest if rest else ''}{traceback}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{'':12} {role:<6} {line}"


def message(line: str) -> str:
    """Return what a line says, without its time and fields."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return line


def follow(paths: dict[str, Path], goes_on: Callable[[], bool] = lambda: True) -> Iterator[tuple[str, str]]:
    """Yield lines as they are written, until there are no more and ``goes_on()`` is false."""
    files = {role: path.open(errors="replace") for role, path in paths.items()}
    for file in files.values():
        file.seek(0, 2)
    while True:
        quiet = True
        for role, file in files.items():
            while line := file.readline():
                quiet = False
                yield role, line.rstrip("\n")
        if quiet:
            if not goes_on():
                return
            time.sleep(0.2)
