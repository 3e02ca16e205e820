"""What people read: no link leads nowhere, no sentence is quoted that nobody says, no page is left out of the site."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs import build, links
from docs.reference import quoted_by_the_program

FRAGMENT = 8
"""Characters that a piece of a quoted sentence has at least, where it is looked for."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pages of the site, made by a process of its own: this one knows the toys of other tests."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "docs.build", "--pages", str(folder)]
    done = subprocess.run(command, cwd=links.ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "pages"


@pytest.mark.parametrize("page", links.pages(), ids=lambda page: str(page.relative_to(links.ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path):
    assert links.broken(page) == []


def test_links_that_lead_nowhere_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(links, "ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# Once\n```\n# no heading\n```\n# Once\n## `--json`: said [twice](x)\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) ![b](there.md#once-1) [`c`](there.md#--json-said-twice) [d](https://there.example/x) `[e](f)`\n"
        "[g](gone.md) [h](there.md#no-heading) [i](#missing) [j](../outside.md)\n"
        "```\n[k](gone.md)\n```\n"
    )
    assert [line.removeprefix(f"{page}:2: ") for line in links.broken(page)] == [
        "gone.md: there is no such file",
        "there.md#no-heading: there is no such heading",
        "#missing: there is no such heading",
        "../outside.md: there is no such file",
    ]


def test_what_troubleshooting_quotes_is_what_the_program_says():
    said = quoted_by_the_program()
    text = (links.ROOT / "docs" / "troubleshooting.md").read_text()
    quotes = re.findall(r"^### `(.+)`$", text, re.MULTILINE)
    assert len(quotes) > 10
    pieces = [piece.strip(" .") for quote in quotes for piece in quote.split("...")]
    assert [piece for piece in pieces if len(piece) >= FRAGMENT and piece not in said] == []


def test_every_page_has_its_place_in_the_site():
    places = {path for _, _, path in build.entries()}
    pages = {str(page.relative_to(links.ROOT)) for page in links.pages()}
    assert {page for page in pages - places if not page.startswith("examples/")} == set()
    assert len(places) == len(build.entries()) == len({build.place(path) for path in places})


def test_links_of_the_sites_pages_lead_on_inside_it(site: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(links, "ROOT", site)
    pages = sorted(site.rglob("*.md"))
    assert len(pages) == len(build.entries())
    assert [sentence for page in pages for sentence in links.broken(page)] == []
    kept = [link.target for link in links.links(site / "index.md", (site / "index.md").read_text())]
    assert "tutorial.md" in kept
    assert "services/compute.md" in kept
    assert "project/changelog.md" in kept


@pytest.mark.parametrize(
    ("page", "line"),
    [
        (
            "settings",
            "| `tls_key` | text |  | File of its key (PEM, not encrypted); by default that of the certificate. |",
        ),
        ("settings", "## \\[identity.openid.NAME]"),
        ("settings", '| `token_provider` | `fernet` or `jws` | `"fernet"` |'),
        ("commands", "| `--fake-hosts N` | how many fake hosts (default 1) |"),
        ("commands", "#### pileus fake break boot"),
        ("policy", "# DELETE /compute/v2.1/servers/{server}"),
        ("routes/compute", "| `DELETE` | `/compute/v2.1/servers/{server}` | `os_compute_api:servers:delete` |"),
    ],
)
def test_the_reference_says_what_is_declared(site: Path, page: str, line: str):
    assert line in (site / "reference" / f"{page}.md").read_text()


def test_every_setting_has_its_meaning(site: Path):
    text = (site / "reference" / "settings.md").read_text()
    without = [
        f"{section.splitlines()[0]} {line}"
        for section in text.split("\n## \\")[1:]
        if not section.startswith("[identity.domains.NAME]")  # called and explained as in Keystone
        for line in section.splitlines()
        if line.startswith("| `") and line.endswith("|  |")
    ]
    assert without == [], "say what it is for in a docstring below the field"


def test_the_site_is_not_written_over_anything_else(tmp_path: Path):
    (tmp_path / "thesis.md").write_text("mine")
    with pytest.raises(SystemExit, match="holds what is not a site's"):
        build.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.md"]
