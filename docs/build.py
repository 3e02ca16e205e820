"""``python -m docs.build [FOLDER]``: makes a site of the documentation, by Zensical; a broken link ends it.

The pages are those of the repository as they stand, and the reference, which is made from the declarations. Links
between them lead on inside the site; those to other files of the repository become plain words.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from docs import links
from docs.reference import reference

ROOT = links.ROOT
OWN = "zensical.toml"
"""What tells that a folder was written by this program, and may be written again."""
TEXT_WITH_TARGET = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")

Entry = str | tuple[str, str]
"""A page by its path in the repository, or in the reference; with another title than its own where that is longer."""
SERVICES = (
    "identity", "compute", "network", "image", "block_storage", "object_store", "key_manager", "placement", "dashboard",
)  # fmt: skip
NAVIGATION: dict[str, list[Entry]] = {
    "Begin": [
        ("What it is", "README.md"),
        "docs/tutorial.md",
        "docs/installing.md",
        "docs/testing-against-pileus.md",
        "CHANGELOG.md",
    ],
    "How to": [
        ("Operate a cloud", "docs/operating.md"),
        ("Serve by TLS, behind a proxy", "docs/tls.md"),
        ("Choose and back up the database", "docs/database.md"),
        ("Upgrade", "docs/upgrading.md"),
        ("Look after people, roles, keys", "docs/identity.md"),
        ("Let people and programs log in", "docs/authentication.md"),
        ("Let in people whom others know", "docs/federation.md"),
        ("Use a directory", "docs/ldap.md"),
        ("Send twice, try, explain requests", "docs/requests.md"),
        "docs/troubleshooting.md",
        ("Report a weakness", "SECURITY.md"),
    ],
    "Reference": [
        "reference/settings.md",
        "reference/commands.md",
        "reference/policy.md",
        ("Who may do what", "docs/personas.md"),
        "docs/conformance.md",
        ("On a fresh Debian", "docs/fresh.md"),
    ],
    "Services": [f"src/pileus/services/{name}/README.md" for name in SERVICES],
    "Routes": [f"reference/routes/{name}.md" for name in SERVICES if name != "dashboard"],
    "Explanation": [
        "docs/architecture.md",
        "docs/security.md",
        "docs/reliability.md",
        "docs/performance.md",
    ],
    "Contribute": [
        ("Begin", "CONTRIBUTING.md"),
        ("Where things are", "docs/contributing.md"),
        "docs/adding-a-resource.md",
        "docs/kernel.md",
        "docs/kernel-operations.md",
        ("The dashboard's files of others", "src/pileus/services/dashboard/static/README.md"),
    ],
}


def place(path: str) -> str:
    """Return where a page of the repository stands in the site."""
    if path == "README.md":
        return "index.md"
    if path.startswith("src/"):
        parts = Path(path).parts[3:-1]
        return f"services/{'-'.join(parts)}.md"
    if "/" not in path:
        return f"project/{path.lower()}"
    return path.removeprefix("docs/")


def entries() -> list[tuple[str, str | None, str]]:
    """Return (section, title, path) of every page in the navigation."""
    return [
        (section, None if isinstance(entry, str) else entry[0], entry if isinstance(entry, str) else entry[1])
        for section, inside in NAVIGATION.items()
        for entry in inside
    ]


def write(folder: Path) -> Path:
    """Write every page below ``folder``/pages and the site's settings beside it; return the settings' path."""
    if folder.exists() and any(folder.iterdir()) and not (folder / OWN).exists():
        sys.exit(f"{folder} holds what is not a site's: name another folder.")
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    made = reference()
    known = {path: place(path) for _, _, path in entries()}
    for path, where in known.items():
        text = made[path] if path in made else moved((ROOT / path).read_text(), path, known)
        (pages / where).parent.mkdir(parents=True, exist_ok=True)
        (pages / where).write_text(text)
    shutil.copytree(ROOT / "docs" / "pictures", pages / "pictures")
    (folder / OWN).write_text(settings(titles(pages, known)))
    return folder / OWN


def moved(text: str, path: str, known: dict[str, str]) -> str:
    """Return a page whose links lead from where it stands in the site to where the others do."""
    here = Path(known[path]).parent
    lines = text.splitlines()
    for number, line in links.prose(text):
        lines[number - 1] = TEXT_WITH_TARGET.sub(lambda match: _moved(match, path, here, known), line)
    return "\n".join(lines) + "\n"


def _moved(match: re.Match[str], path: str, here: Path, known: dict[str, str]) -> str:
    target, _, anchor = match[2].partition("#")
    if links.ELSEWHERE.match(match[2]) or not target:
        return match[0]
    aim = os.path.relpath(ROOT / Path(path).parent / target, ROOT)
    if aim.startswith("docs/pictures/"):
        where = aim.removeprefix("docs/")
    elif aim in known:
        where = known[aim]
    else:
        return match[1]
    return f"[{match[1]}]({os.path.relpath(where, here)}{'#' if anchor else ''}{anchor})"


def titles(pages: Path, known: dict[str, str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the sections with the title and place of every page: a page's own first heading where none is given."""
    found: dict[str, list[tuple[str, str]]] = {}
    for section, title, path in entries():
        own = (pages / known[path]).read_text().partition("\n")[0].removeprefix("# ")
        found.setdefault(section, []).append((title or own, known[path]))
    return list(found.items())


def settings(sections: list[tuple[str, list[tuple[str, str]]]]) -> str:
    """Return the settings of Zensical."""
    navigation = [{section: [{title: where} for title, where in inside]} for section, inside in sections]
    return f"""\
[project]
site_name = "Pileus"
site_description = "OpenStack as one program"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = {_toml(navigation)}

[project.theme]
font = false
features = ["navigation.sections", "navigation.top", "content.code.copy", "toc.follow"]

[project.validation]
invalid_links = true
invalid_link_anchors = true

[project.markdown_extensions.toc]
permalink = true
slugify = {{ object = "pymdownx.slugs.slugify", kwds = {{ case = "lower" }} }}

[project.markdown_extensions.tables]
[project.markdown_extensions.attr_list]
[project.markdown_extensions.pymdownx.highlight]
[project.markdown_extensions.pymdownx.superfences]
"""


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_toml(key)} = {_toml(one)}' for key, one in value.items())} }}"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def main() -> int:
    """Write the pages and, unless only these are asked for, the site."""
    arguments = argparse.ArgumentParser(prog="python -m docs.build", description="Make a site of the documentation.")
    arguments.add_argument("folder", nargs="?", type=Path, default=ROOT / "build", help="where to (default build)")
    arguments.add_argument("--pages", action="store_true", help="only the pages, as Markdown, without Zensical")
    said = arguments.parse_args()
    if wrong := [sentence for page in links.pages() for sentence in links.broken(page)]:
        sys.exit("\n".join(wrong))
    written = write(said.folder.absolute())
    if said.pages:
        return 0
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        sys.exit("uv is needed: pip install uv")
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    command = [uv, "run", "--project", str(ROOT), "--isolated", "--frozen", "--only-group", "docs"]
    done = subprocess.run([*command, "zensical", "build", "--strict", "-f", str(written)], env=environment, check=False)
    if done.returncode == 0:
        print(f"{said.folder / 'site' / 'index.html'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
