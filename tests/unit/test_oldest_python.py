"""The oldest Python that is promised is Debian 12's own, 3.11.2: what came later, in a patch release too, is not used.

The type checker knows no patch releases, and the tests mostly run on a newer one.
"""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LATER = {
    "filter": {"extract", "extractall"},  # tarfile, 3.11.4
    "strict": {"getaddresses", "parseaddr"},  # email.utils, 3.11.10
}
"""Keyword to the functions that have had it only since a patch release."""
LATER_NAMES = {"data_filter", "tar_filter", "fully_trusted_filter", "extraction_filter"}
OF_TESTS = {
    "pileus/kernel/testing/__init__.py": {"httpx"},
    "drivers/contract.py": {"pytest"},
    "pileus/pytest_plugin.py": {"pytest", "openstack"},
}
"""Ends of paths: modules of the source that use, when tests call them, what only tests bring."""


def later(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            keywords = [keyword.arg for keyword in node.keywords if node.func.attr in LATER.get(keyword.arg or "", ())]
            found += [f"{path.name}:{node.lineno} {node.func.attr}({name}=)" for name in keywords]
        if isinstance(node, ast.Attribute) and node.attr in LATER_NAMES:
            found.append(f"{path.name}:{node.lineno} {node.attr}")
    return found


def test_nothing_is_used_that_came_after_3_11_2() -> None:
    files = [path for folder in ("src", "tests", "bench", "docs") for path in (ROOT / folder).rglob("*.py")]
    assert [one for path in files for one in later(path)] == []


def test_what_came_later_is_found(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text("archive.extractall(folder, filter='data')\ntarfile.data_filter\n")
    assert later(file) == ["one.py:1 extractall(filter=)", "one.py:2 data_filter"]


def test_types_and_style_are_checked_against_the_oldest_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    oldest = re.fullmatch(r">=(\d+)\.(\d+)", project["project"]["requires-python"])
    assert oldest
    assert project["tool"]["pyright"]["pythonVersion"] == f"{oldest[1]}.{oldest[2]}"
    assert project["tool"]["ruff"]["target-version"] == f"py{oldest[1]}{oldest[2]}"


def imported(tree: ast.AST) -> set[str]:
    """Return the top names of what a module imports, anywhere in it, but for types alone."""
    found, left = set(), [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        left += ast.iter_child_nodes(node)
    return found


def test_every_command_runs_with_the_dependencies_of_the_program_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[\[<>=!~; ]", line)[0] for line in project["dependencies"]]
    declared = {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    known = packages_distributions()
    wrong = []
    for path in (ROOT / "src").rglob("*.py"):
        for name in imported(ast.parse(path.read_text())) - sys.stdlib_module_names - {"pileus"}:
            brings = {re.sub(r"[-_.]+", "-", one).lower() for one in known.get(name, [name])}
            where = str(path.relative_to(ROOT / "src"))
            lent = {one for end, names in OF_TESTS.items() if where.endswith(end) for one in names}
            if not brings & declared and name not in lent:
                wrong.append(f"{where} imports {name}, of {sorted(brings)}, which is no dependency")
    assert wrong == []
