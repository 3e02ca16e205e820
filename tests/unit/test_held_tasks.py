"""asyncio holds its tasks weakly: one that nothing else refers to may vanish in the middle of its work."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pileus

MAKERS = {"create_task", "ensure_future"}


def groups_in(tree: ast.AST) -> set[str]:
    """Return the names of task groups, which hold what is made in them."""
    items = [item for node in ast.walk(tree) if isinstance(node, ast.AsyncWith) for item in node.items]
    return {
        item.optional_vars.id
        for item in items
        if isinstance(item.optional_vars, ast.Name) and ast.unparse(item.context_expr).endswith("TaskGroup()")
    }


def dropped_in(source: str) -> Iterator[int]:
    """Yield the lines on which a task is made that nothing holds."""
    tree = ast.parse(source)
    groups = groups_in(tree)
    for node in ast.walk(tree):
        made = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(made, ast.Call) or not isinstance(made.func, ast.Attribute):
            continue
        if made.func.attr in MAKERS and ast.unparse(made.func.value) not in groups:
            yield made.lineno


def test_every_task_is_held_by_something() -> None:
    root = Path(pileus.__file__).parent
    paths = root.rglob("*.py")
    assert [f"{path.relative_to(root)}:{line}" for path in paths for line in dropped_in(path.read_text())] == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("asyncio.create_task(work())", [1]),
        ("asyncio.get_running_loop().create_task(work())", [1]),
        ("task = asyncio.create_task(work())", []),
        ("async def f():\n  async with asyncio.TaskGroup() as all:\n    all.create_task(work())", []),
    ],
)
def test_what_is_dropped_is_seen(source: str, lines: list[int]) -> None:
    assert list(dropped_in(source)) == lines
