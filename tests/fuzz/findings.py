"""What is wrong: an answer of 500, no answer in time, or a failure in the log that nobody was told of.

Rule: one cause is one finding, however often it shows.
"""

import json
import logging
import traceback
from collections import Counter
from dataclasses import dataclass, field

from tests.fuzz.wire import Got, Sent


@dataclass
class Finding:
    """One cause, the first request that showed it, and how often it showed."""

    cause: str
    example: str
    text: str = ""
    count: int = 0


@dataclass
class Tally:
    """All that a run has seen."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: dict[str, set[int]] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")

    def judge(self, sent: Sent, got: Got, log: "Failures") -> None:
        """Count one exchange and note what is wrong with it."""
        self.requests += 1
        self.statuses[got.status] += 1
        self.operations.setdefault(sent.operation, set()).add(got.status)
        if got.seconds > self.slowest[0]:
            self.slowest = (got.seconds, sent.told()[:160])
        for cause, text in log.taken():
            self._found(cause, sent, text)
        if got.status == 0:
            self._found("no answer in time", sent, "")
        elif got.status == 500:
            self._found("status 500", sent, "") if got.request_id not in log.seen else None
        elif not got.request_id:
            self._found("an answer without a request id", sent, "")
        elif "json" in got.headers.get("content-type", "") and sent.method != "HEAD":
            try:
                json.loads(got.body)
            except ValueError:
                self._found("an answer that is not the JSON it says it is", sent, got.body[:200].decode("latin-1"))

    def _found(self, cause: str, sent: Sent, text: str) -> None:
        finding = self.findings.setdefault(cause, Finding(cause, sent.told(), text))
        finding.count += 1


class Failures(logging.Handler):
    """Gathers what the program logs as an error with a traceback."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: set[str] = set()
        self._new: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.add(str(getattr(record, "request_id", "")))
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            self._new.append((f"logged: {record.name}: {record.getMessage()[:120]}", record.getMessage()))
            return
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/pileus/" in frame.filename]
        where = ours[-1] if ours else None
        place = f"{where.filename.partition('/src/')[2]}:{where.lineno}" if where else "elsewhere"
        text = "".join(traceback.format_exception(error))[-3000:]
        self._new.append((f"{type(error).__name__} at {place}: {str(error)[:100]}", text))

    def taken(self) -> list[tuple[str, str]]:
        """Return what is new since the last time."""
        new, self._new = self._new, []
        return new
