"""Sections of documents that programs write.  Rule: only what stands between the two marks is replaced."""

from pathlib import Path


def write_into(document: Path, begin: str, end: str, text: str) -> None:
    """Replace the section between ``<!-- begin -->`` and ``<!-- end -->``, or add it at the end of the document."""
    first, last = f"<!-- {begin} -->", f"<!-- {end} -->"
    whole = document.read_text() if document.exists() else "# Reliability\n"
    section = f"{first}\n{text}{last}\n"
    if first in whole:
        before, _, rest = whole.partition(first)
        whole = before + section + rest.partition(last)[2].removeprefix("\n")
    else:
        whole = f"{whole.rstrip()}\n\n{section}"
    document.write_text(whole)
