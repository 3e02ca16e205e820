"""Nothing may last for ever: every operation, reconciler and program that is started has a limit."""

import ast
from pathlib import Path

import pytest

import pileus
from pileus.kernel import reconcile
from pileus.kernel.agent.host import LONGEST_COMMAND_S
from pileus.kernel.operations import declare
from pileus.kernel.service import find_services

SOURCE = Path(pileus.__file__).parent
OF_A_TERMINAL = SOURCE / "cli"
"""Commands that a person waits for, and may interrupt."""
BOUNDED = {
    "subprocess.run": "timeout",
    "subprocess.check_output": "timeout",
    "http.client.HTTPConnection": "timeout",
    "http.client.HTTPSConnection": "timeout",
    "urllib.request.urlopen": "timeout",
    "smtplib.SMTP": "timeout",
    "socket.create_connection": "timeout",
}


def operations() -> list[declare.Declaration]:
    find_services()  # whoever is imported has declared its operations
    return [one for one in declare.declared().values() if one.body.__module__.startswith("pileus.")]


def reconcilers() -> list[reconcile.Declaration]:
    find_services()
    return [one for one in reconcile.declared().values() if one.body.__module__.startswith("pileus.")]


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.kind)
def test_an_operation_ends_in_time_and_says_so_on_its_resource(operation: declare.Declaration) -> None:
    assert 0 < operation.deadline_s <= LONGEST_COMMAND_S
    assert operation.on_failure is not None, "its resource would stay in a transitional state"


@pytest.mark.parametrize("reconciler", reconcilers(), ids=lambda one: one.name)
def test_a_reconciler_runs_now_and_then_and_not_for_ever(reconciler: reconcile.Declaration) -> None:
    assert 0 < reconciler.every_s <= 3600
    assert 0 < reconciler.timeout_s <= 600


def test_whatever_is_started_or_called_has_a_time_limit() -> None:
    unbounded = []
    for path in SOURCE.rglob("*.py"):
        if path.is_relative_to(OF_A_TERMINAL):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            limit = BOUNDED.get(ast.unparse(node.func))
            if limit is not None and limit not in {keyword.arg for keyword in node.keywords}:
                unbounded.append(f"{path.relative_to(SOURCE)}:{node.lineno} {ast.unparse(node.func)}")
    assert unbounded == []
