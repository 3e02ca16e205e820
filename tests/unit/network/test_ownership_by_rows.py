"""No code decides by the words ``device_owner`` and ``device_id`` of a port: users set them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pileus

WORDS = {"device_id", "device_owner"}
SOURCE = Path(pileus.__file__).parent
HOME = "services/network/store/roles.py"
EXCEPTIONS = {
    "services/network/api/ports.py": "tells the policy which word somebody wants to write, as upstream's rule asks",
    "services/network/app/ports.py": "compares the words of an update with those that are there, to refuse the change",
    "services/network/app/networks.py": "names the ports in the sentence that refuses to delete a network",
    "services/dashboard/panels/networks.py": "offers a user his own ports in a form, by the API; the API decides",
    "simulation/networks.py": "a simulated user of the API",
    "simulation/wipe.py": "a simulated user of the API",
}
"""Files that may look at the words, and why that gives nobody anything."""


def words_looked_at(tree: ast.AST) -> Iterator[int]:
    """Yield the lines where a word is compared, asked for in SQL, or a condition of anything."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        column = isinstance(node, ast.Attribute) and node.attr in WORDS and _is_column(node.value)
        if column or (isinstance(node, ast.Constant) and id(node) not in prose and _is_sql(node.value)):
            yield node.lineno  # type: ignore[attr-defined]
        for part in _decisive(node):
            for inside in ast.walk(part):
                if _is_word(inside):
                    yield inside.lineno  # type: ignore[attr-defined]


def _is_column(owner: ast.expr) -> bool:
    return ast.unparse(owner) in ("Port", "_port.c", "port_table.c")


def _is_sql(text: object) -> bool:
    return isinstance(text, str) and any(re.search(rf"\b(where|and|or|on|=) .*\b{word}\b", text) for word in WORDS)


def _is_word(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in WORDS and ast.unparse(node.value) not in ("input", "body")
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value in WORDS


def _decisive(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare() | ast.BoolOp():
            yield node
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.If() | ast.IfExp() | ast.While() | ast.Assert():
            yield node.test
        case ast.comprehension():
            yield from node.ifs
        case ast.Call(func=ast.Attribute(value=value)) if _is_word(value):
            yield value
        case ast.Match():
            yield node.subject
        case _:
            pass


def test_no_code_decides_by_the_words() -> None:
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name != HOME and name not in EXCEPTIONS:
            found |= {f"{name}:{line}" for line in words_looked_at(ast.parse(path.read_text()))}
    assert not found, f"decide by role and holder_id ({HOME}) instead, or give a reason: {sorted(found)}"


def test_roles_are_written_in_one_place() -> None:
    writes = re.compile(r"\.(role|holder_id) = |setattr\(port, \"(role|holder_id)\"")
    found = [
        f"{path.relative_to(SOURCE)}: {line.strip()}"
        for path in sorted((SOURCE / "services" / "network").rglob("*.py"))
        if path.relative_to(SOURCE).as_posix() != HOME
        for line in path.read_text().splitlines()
        if writes.search(line)
    ]
    assert found == []


def test_the_search_sees_a_decision() -> None:
    """What it was before: each of these once gave a user what was another's."""
    for line in (
        "x = port.device_owner.startswith('compute:')",
        "x = select(Port).where(Port.device_id == router_id)",
        "x = rows_with(tx, Port.device_id, ids)",
        "x = port.device_id if port.device_owner else None",
        "x = [leg for leg in legs if leg.device_id == row.id]",
        "x = ask('select id from network_ports where device_owner = 1')",
        "x = [p for p in ports if p['device_owner'] == 'network:dhcp']",
    ):
        assert list(words_looked_at(ast.parse(line))), line
    assert not list(words_looked_at(ast.parse("view = {'device_id': port.device_id, 'owner': port.device_owner}")))


def test_every_exception_is_still_needed() -> None:
    for name, reason in EXCEPTIONS.items():
        assert list(words_looked_at(ast.parse((SOURCE / name).read_text()))), f"{name} needs no exception: {reason}"
