"""What the threads of a soak share: when to work, when to rest, and what went wrong.

Rule: a thread works in turns; while the gate is closed nobody begins one, so that the world can come to rest.
"""

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST_TURN_S = 600.0


class Control:
    """Turns, counts and troubles, safe to use from every thread."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ending = threading.Event()
        self.counts: Counter[str] = Counter()
        self.troubles: list[str] = []
        self._changed = threading.Condition()
        self._open = True
        self._turns = 0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began

    def count(self, what: str, number: int = 1) -> None:
        with self._changed:
            self.counts[what] += number

    def trouble(self, sentence: str) -> None:
        """Note something that must not happen."""
        with self._changed:
            self.troubles.append(f"at {self.elapsed_s:.0f} s: {sentence}")
        print(f"  TROUBLE at {self.elapsed_s:.0f} s: {sentence}", flush=True)

    def expect(self, holds: bool, sentence: str) -> None:
        """Note a trouble unless something holds."""
        if not holds:
            self.trouble(sentence)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Work while the gate is open; wait for it otherwise."""
        with self._changed:
            self._changed.wait_for(lambda: self._open or self.ending.is_set())
            self._turns += 1
        try:
            yield
        finally:
            with self._changed:
                self._turns -= 1
                self._changed.notify_all()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Close the gate, wait until every turn has ended, and open it again afterwards."""
        with self._changed:
            self._open = False
            if not self._changed.wait_for(lambda: self._turns == 0, LONGEST_TURN_S):
                self.troubles.append(f"at {self.elapsed_s:.0f} s: a turn lasts longer than {LONGEST_TURN_S:.0f} s")
        try:
            yield
        finally:
            with self._changed:
                self._open = True
                self._changed.notify_all()

    def repeat(self, work: Callable[[], None], pause_s: Callable[[], float]) -> threading.Thread:
        """Do ``work`` in turns until the end, in a thread of its own; what it raises is a trouble."""

        def run() -> None:
            while not self.ending.wait(pause_s()):
                try:
                    with self.turn():
                        if not self.ending.is_set():
                            work()
                except Exception:
                    self.trouble(f"{work.__qualname__}: {traceback.format_exc(limit=-4)}")

        thread = threading.Thread(target=run, name=work.__qualname__, daemon=True)
        thread.start()
        return thread
