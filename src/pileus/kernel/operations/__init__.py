"""Durable operations: straight-line code whose steps are journalled, undone on failure, resumed after a crash."""

from pileus.kernel.operations.begin import Live, begin, cancel, find_live, note_done, outcome
from pileus.kernel.operations.body import DeadlinePassed, Operation, Outcome
from pileus.kernel.operations.declare import Declaration, declared, operation
from pileus.kernel.operations.model import OperationRow, StepRow
from pileus.kernel.operations.worker import Worker

__all__ = [
    "DeadlinePassed",
    "Declaration",
    "Live",
    "Operation",
    "OperationRow",
    "Outcome",
    "StepRow",
    "Worker",
    "begin",
    "cancel",
    "declared",
    "find_live",
    "note_done",
    "operation",
    "outcome",
]
