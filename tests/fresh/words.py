"""What the documents and the demo tell people to type."""

import re

LABEL = re.compile(r"^  (log in|clients|shell|look|stop|remove all) +(\S.*)$")
GOES_ON = re.compile(r"^ {12,}(\S.*)$")


def blocks(document: str) -> list[str]:
    """Return the fenced blocks of a document, in their order."""
    return [block.strip() for block in re.findall(r"^```\w*\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)]


def printed(output: str) -> dict[str, str]:
    """Return the commands that ``demo`` and ``up`` print, by their labels; what goes on belongs to the one before."""
    found: dict[str, str] = {}
    last = None
    for line in output.splitlines():
        if match := LABEL.match(line):
            last = match[1]
            found[last] = match[2]
        elif last is not None and (match := GOES_ON.match(line)):
            found[last] += f"\n{match[1]}"
        else:
            last = None
    return found


def clouds_yaml(output: str) -> str:
    """Return the clouds.yaml that the demo prints at its end."""
    return output[output.index("\nclouds:") + 1 :]
