"""Logs and metrics.  Rule: every line about a request carries its id; secrets are never written.

Logs are one JSON object a line; metrics are Prometheus's, served at ``/metrics``.
"""

import logging
import sys
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pileus.kernel import clock, watchdog
from pileus.kernel.context import Context
from pileus.kernel.rest.http import Request, Response

REGISTRY = CollectorRegistry()
REQUESTS = Counter("pileus_requests", "Requests answered.", ["service", "method", "status"], registry=REGISTRY)
SECONDS = Histogram(
    "pileus_request_seconds",
    "Seconds from a request's arrival to the end of its answer.",
    ["service", "method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30),
    registry=REGISTRY,
)
OPERATIONS = Counter("pileus_operations", "Operations concluded.", ["kind", "outcome"], registry=REGISTRY)
LIVE = Gauge("pileus_operations_live", "Operations being worked on by this process.", registry=REGISTRY)
REGISTRY.register(watchdog.HOLDS)

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
log = logging.getLogger("pileus.request")
_counters: dict[tuple[str, str, int], Any] = {}
_timers: dict[tuple[str, str], Any] = {}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, whatever ``extra`` brought, and a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": clock.now().isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in record.__dict__.items() if key not in _STANDARD)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def configure(level: str = "info", path: Path | None = None) -> None:
    """Send the program's logs to ``path``, or to standard error."""
    handler = logging.FileHandler(path) if path else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True


def request_done(service: str, request: Request, ctx: Context, response: Response, seconds: float) -> None:
    """Count and log one answered request."""
    key = (service, request.method, response.status)
    counter = _counters.get(key)
    if counter is None:
        counter = _counters[key] = REQUESTS.labels(service, request.method, str(response.status))
    counter.inc()
    timer = _timers.get(key[:2])
    if timer is None:
        timer = _timers[key[:2]] = SECONDS.labels(service, request.method)
    timer.observe(seconds)
    if log.isEnabledFor(logging.INFO):
        log.info(
            "%s %s %d",
            request.method,
            request.path,
            response.status,
            extra={
                "request_id": ctx.request_id,
                "global_request_id": ctx.global_request_id,
                "user_id": ctx.user_id,
                "project_id": ctx.project_id,
                "ms": round(seconds * 1000, 2),
            },
        )


def metrics_page() -> bytes:
    """Return the metrics in Prometheus's text format."""
    return generate_latest(REGISTRY)
