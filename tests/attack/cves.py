"""Weaknesses of upstream's services: what each was, whether it applies, and what shows it.  The data: ``cves.toml``."""

import ast
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("cves.toml")


@dataclass(frozen=True)
class Weakness:
    """One entry."""

    id: str
    service: str
    what: str
    applies: bool
    why: str
    tests: list[str]


def weaknesses() -> list[Weakness]:
    """Return every entry."""
    return [Weakness(**entry) for entry in tomllib.loads(FILE.read_text())["cve"]]


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Return the names of the functions in a file."""
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def missing() -> list[str]:
    """Return the tests that entries name and that are not there."""
    named = sorted({test for weakness in weaknesses() for test in weakness.tests})
    found = []
    for test in named:
        path, _, function = test.partition("::")
        if not (ROOT / path).is_file() or function not in functions_of(ROOT / path):
            found.append(test)
    return found
