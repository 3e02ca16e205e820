"""Which programs the source and the tests start: read from the code, and watched while tests run."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pileus.cli.programs import unknown

STARTERS = {
    *("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output"),
    *("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "shutil.which", "os.system"),
    *(f"os.exec{kind}" for kind in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *("os.posix_spawn", "os.posix_spawnp", "os.spawnv", "os.spawnvp"),
}
"""Calls that start a program or look for one; also where they are handed on, to a thread for example."""

ROOT = Path(__file__).resolve().parents[1]
OURS = ("pileus", "tests", "bench")
MARKS = ("subprocess", "shutil", "os.exec", "os.spawn", "posix_spawn", "os.system", "run(")


class Found:
    """One call that starts a program: where, and what, as far as the code alone tells."""

    def __init__(self, path: Path, line: int, words: list[str]) -> None:
        self.path, self.line, self.words = path, line, words

    def __repr__(self) -> str:
        return f"{self.path}:{self.line} {' '.join(self.words)}"


def watch() -> Iterator[None]:
    """Refuse, while it is in force, to start a program that the table does not name."""
    start = subprocess.Popen.__init__

    def checked(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        words = [args] if isinstance(args, (str, bytes)) or not hasattr(args, "__iter__") else list(args)
        args = words if not isinstance(args, (str, bytes)) else args
        if wrong := unknown([word.decode() if isinstance(word, bytes) else word for word in words]):
            pytest.fail(f"{wrong[0]} is in no package of src/pileus/cli/programs.py: a fresh machine does not have it.")
        start(self, args, *rest, **options)

    subprocess.Popen.__init__ = checked
    try:
        yield
    finally:
        subprocess.Popen.__init__ = start


def find(path: Path) -> list[Found]:
    """Return the programs that a file starts by words which stand in it."""
    text = path.read_text()
    if not any(mark in text for mark in MARKS):
        return []
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    scopes = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    wrappers = _imported(nodes) | _wrappers(path)
    found, seen = [], set[int]()
    for scope in sorted([*scopes, tree], key=lambda one: -getattr(one, "lineno", 0)):  # the inner ones first
        calls = [node for node in ast.walk(scope) if isinstance(node, ast.Call) and id(node) not in seen]
        seen.update(map(id, calls))
        named: list[dict[str, ast.expr]] | None = None
        for call in calls:
            if (words := _starts(call, wrappers)) is not None:
                named = named if named is not None else _named(scope)
                for values in named:
                    if literal := _literals(words, values):
                        found.append(Found(path, call.lineno, literal))
    return found


def _dotted(node: ast.expr) -> str:
    """Return the dotted name of an expression, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def _named(scope: ast.AST) -> list[dict[str, ast.expr]]:
    """Return what the names of a scope stand for: as many variants as its most often assigned name has values."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
    most = max((len(found) for found in values.values()), default=1)
    return [{name: found[min(turn, len(found) - 1)] for name, found in values.items()} for turn in range(most)]


def _starts(call: ast.Call, wrappers: set[str]) -> list[ast.expr] | None:
    """Return the words that a call starts, or None."""
    called = _dotted(call.func)
    for position, argument in enumerate(call.args):
        if _dotted(argument) in STARTERS:
            return call.args[position + 1 :]
    if called in STARTERS or called in wrappers or (called.startswith("self.") and called[5:] in wrappers):
        return call.args
    return None


@cache
def _wrappers(path: Path) -> frozenset[str]:
    """Return the functions of a file that start what they are given."""
    nodes = ast.walk(ast.parse(path.read_text()))
    scopes = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return frozenset(scope.name for scope in scopes if _hands_on(scope))


def _imported(nodes: list[ast.AST]) -> set[str]:
    """Return such functions of ours that a file imports, as it calls them: by name, or by module and name."""
    found = set()
    for node in nodes:
        if not isinstance(node, ast.ImportFrom) or not node.module or node.module.split(".")[0] not in OURS:
            continue
        for alias in node.names:
            name = alias.asname or alias.name
            if (whole := _file(node.module)) and alias.name in _wrappers(whole):
                found.add(name)
            elif inside := _file(f"{node.module}.{alias.name}"):
                found |= {f"{name}.{function}" for function in _wrappers(inside)}
    return found


def _file(module: str) -> Path | None:
    path = Path(f"{module.replace('.', '/')}.py")
    return next((base / path for base in (ROOT / "src", ROOT) if (base / path).exists()), None)


def _hands_on(scope: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function starts what its ``*words``, or its first argument, say: ``run(*command)``."""
    names = [one.arg for one in scope.args.args if one.arg != "self"][:1]
    names += [scope.args.vararg.arg] if scope.args.vararg else []
    for call in (node for node in ast.walk(scope) if isinstance(node, ast.Call)):
        if _dotted(call.func) not in STARTERS or not call.args:
            continue
        words = call.args[0].elts if isinstance(call.args[0], (ast.List, ast.Tuple)) else call.args
        for word in words:  # words before it that are starred are what confines it
            if any(ast.unparse(word) in _as_words(name) for name in names):
                return True
            if not isinstance(word, ast.Starred):
                break
    return False


def _as_words(name: str) -> set[str]:
    plain = {name, f"[str(word) for word in {name}]", f"list({name})", f"(str(word) for word in {name})"}
    return plain | {f"*{one}" for one in plain} | {f"*map(str, {name})"}


def _literals(words: list[ast.expr], named: dict[str, ast.expr]) -> list[str]:
    """Return the words at the head of a command line, as far as they are literal."""
    first = words[0] if words else None
    if isinstance(first, ast.Name):
        first = named.get(first.id)
    if isinstance(first, ast.Starred) and isinstance(first.value, ast.Name):
        first = named.get(first.value.id)
    if isinstance(first, ast.BinOp) and isinstance(first.op, ast.Add):
        first = first.left
    if isinstance(first, (ast.List, ast.Tuple)):
        words = _spread(first.elts, named)
    elif isinstance(first, ast.Constant):
        words = [first, *words[1:]]
    else:
        return []
    found = []
    for word in words:
        if isinstance(word, ast.Constant) and isinstance(word.value, str):
            found.append(word.value)
        elif isinstance(word, ast.BinOp) and isinstance(word.op, ast.Div) and isinstance(word.right, ast.Constant):
            found.append(str(word.right.value))
        elif isinstance(word, (ast.Name, ast.Attribute, ast.Call, ast.JoinedStr)) and found:
            found.append("WORD")  # an argument: what follows may still be a program, as after `ip netns exec NAME`
        else:
            break
    return found


def _spread(words: list[ast.expr], named: dict[str, ast.expr]) -> list[ast.expr]:
    """Return a command line in whose place of ``*words`` at its head those words stand."""
    head = words[0] if words else None
    if isinstance(head, ast.Starred) and isinstance(head.value, ast.Name):
        inside = named.get(head.value.id)
        if isinstance(inside, (ast.List, ast.Tuple)):
            return [*inside.elts, *words[1:]]
    return words
