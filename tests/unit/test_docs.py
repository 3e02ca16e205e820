"""What people read: no link leads nowhere."""

from pathlib import Path

import pytest

from docs import links


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
