"""asyncio holds its tasks weakly: one that nothing else refers to may vanish in the middle of its work."""

import ast
from pathlib import Path

import pileus

MAKERS = {"create_task", "ensure_future"}


def test_every_task_is_held_by_something() -> None:
    root = Path(pileus.__file__).parent
    dropped = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in MAKERS
    ]
    assert dropped == []
