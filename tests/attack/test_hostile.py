"""Hostile documents, a short part of them."""

from tests.attack.hostile import XML, documents, markup


async def test_no_document_reads_a_file_or_takes_long():
    sent, wrong = await documents()
    assert sent > 150
    assert wrong == []
    assert len(XML) > 5
    assert list(markup()) == []
