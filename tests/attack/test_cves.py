"""The table of known weaknesses: each entry names tests that there are."""

import re

from tests.attack.cves import missing, weaknesses


def test_every_test_that_is_named_is_there():
    assert missing() == []


def test_every_entry_is_whole_and_there_once():
    rows = weaknesses()
    assert len(rows) > 70
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert re.fullmatch(r"CVE-20\d\d-\d{4,}", row.id)
        assert row.what.endswith("."), row.id
        assert row.why.endswith("."), row.id
        assert row.tests or not row.applies, row.id
    services = {name for row in rows for name in row.service.split(", ")}
    assert {"nova", "neutron", "cinder", "glance", "keystone", "swift", "horizon"} <= services
