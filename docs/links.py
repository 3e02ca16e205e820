"""Links of Markdown files: where each leads, and which lead nowhere.  Rule: only files of the repository are read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^()\s]+)\)")
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#{1,6} +(?P<text>.+?)(?: +#+)?$")
FENCE = re.compile(r"^ *(```|~~~)")
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:")
"""A target with a scheme: another site, a mail."""


@dataclass(frozen=True)
class Link:
    """One link as it is written."""

    source: Path
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.target}"


def pages() -> list[Path]:
    """Return the Markdown files that people read: those at the top, in ``docs``, and beside services."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted([*found, *(ROOT / "src").rglob("README.md")])


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line) of what is no block of code."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line


def links(source: Path, text: str) -> Iterator[Link]:
    """Yield the links of a page, also those to other sites."""
    for number, line in prose(text):
        # Code keeps its length, and a link's text may be code: only brackets in code are no link's.
        for match in LINK.finditer(CODE.sub(lambda code: "`" + "x" * (len(code[0]) - 2) + "`", line)):
            yield Link(source, number, match["target"])


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    found: set[str] = set()
    for _, line in prose(text):
        if match := HEADING.match(line):
            name = base = slug(match["text"])
            count = 0
            while name in found:
                count += 1
                name = f"{base}-{count}"
            found.add(name)
    return found


def slug(heading: str) -> str:
    """Return a heading's anchor: its words in small letters, punctuation left out, each space a hyphen."""
    words = LINK.sub(lambda match: match["text"].strip("![]"), heading)
    return re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")


def broken(page: Path) -> list[str]:
    """Return one sentence for each link of a page that leads to no file or to no heading."""
    found: list[str] = []
    for link in links(page, page.read_text()):
        if ELSEWHERE.match(link.target):
            continue
        path, _, anchor = link.target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.is_relative_to(ROOT) or not aim.exists():
            found.append(f"{link}: there is no such file")
        elif anchor and (aim.suffix != ".md" or anchor not in anchors(aim.read_text())):
            found.append(f"{link}: there is no such heading")
    return found
