"""Tables and their places in docs/performance.md: what stands between two markers is a command's own."""

from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def put(name: str, *sections: str) -> None:
    """Replace what stands between ``<!-- name: begin -->`` and ``<!-- name: end -->``."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = PAGE.read_text()
    if begin not in text or end not in text:
        raise RuntimeError(f"{PAGE} must hold {begin} and {end}: between them goes what was measured")
    head, tail = text.partition(begin)[0], text.partition(end)[2]
    PAGE.write_text(head + "\n\n".join([begin, *sections, end]) + tail)


def replace(name: str, *sections: str) -> None:
    """Replace single tables between the markers, each found by its header."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = PAGE.read_text().partition(begin)[2].partition(end)[0]
    blocks = text.strip().split("\n\n")
    for section in sections:
        header = section.partition("\n")[0]
        there = [number for number, block in enumerate(blocks) if block.startswith(header)]
        blocks[there[0] if there else len(blocks) :] = [section, *(blocks[there[0] + 1 :] if there else [])]
    put(name, *blocks)


def today() -> str:
    """Return the date that a measurement bears."""
    return datetime.now(UTC).strftime("%Y-%m-%d")
