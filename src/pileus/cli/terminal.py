"""How the command speaks to a person: problems with their remedies, steps with their progress."""

import contextlib
import sys
import time
from collections.abc import Iterator


class Problem(Exception):
    """Something the user can mend: what is wrong, and how to mend it."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class NothingKept(Problem):
    """A problem of a cloud that is being made, of which nothing is to stay."""


def say(text: str = "") -> None:
    """Print a line to the user."""
    print(text, flush=True)


def complain(problem: Problem) -> None:
    """Print a problem and its remedy to standard error."""
    print(f"pileus: {problem.what}", file=sys.stderr)
    if problem.remedy:
        print(f"        {problem.remedy}", file=sys.stderr)


def table(rows: list[tuple[str, ...]], header: tuple[str, ...] | None = None) -> None:
    """Print rows in aligned columns."""
    whole = ([header] if header else []) + rows
    if not whole:
        return
    widths = [max(len(row[column]) for row in whole) for column in range(len(whole[0]))]
    for row in whole:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


class Steps:
    """A list of steps, each shown while it runs and with its time when it is done."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator["Step"]:
        """Show a step; a failure marks it and goes on to the caller."""
        step = Step(title, self._live)
        step.draw()
        try:
            yield step
        except BaseException:
            step.end("failed")
            raise
        step.end("done")


class Step:
    """One step on one line; ``note`` replaces the text behind its title."""

    def __init__(self, title: str, live: bool) -> None:
        self.title, self._live, self._note = title, live, ""
        self._started = time.monotonic()

    def note(self, text: str) -> None:
        """Say how far the step is."""
        self._note = text
        self.draw()

    def fraction(self, done: float) -> None:
        """Show a bar; ``done`` runs from 0 to 1."""
        filled = round(24 * min(max(done, 0), 1))
        self.note(f"[{'#' * filled}{'.' * (24 - filled)}] {done:4.0%}")

    def draw(self) -> None:
        if self._live:
            sys.stdout.write(f"\r\x1b[K  ... {self.title}  {self._note}")
            sys.stdout.flush()

    def end(self, word: str) -> None:
        mark = "ok " if word == "done" else "!! "
        text = f"  {mark} {self.title}  {self._note}  ({time.monotonic() - self._started:.1f} s)"
        sys.stdout.write(f"\r\x1b[K{text}\n" if self._live else f"{text}\n")
        sys.stdout.flush()
