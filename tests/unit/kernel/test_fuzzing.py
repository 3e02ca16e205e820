"""The fuzzer finds what it is for: a handler that fails on some inputs, a failure that only the log knows."""

import json
import logging
from random import Random

import pytest

from pileus.services.block_storage.api import types
from tests.fuzz.__main__ import document_of_a_cloud, one_round
from tests.fuzz.cases import Operations
from tests.fuzz.findings import Failures, Tally

NOTHING_TO_LIST = {"paths": {}}


@pytest.fixture
def failures():
    handler = Failures()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


async def test_a_planted_defect_is_found(failures, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(types, "type_view", broken)
    whole = json.loads(document_of_a_cloud())
    path = "/volume/v3/types/default"
    operations = Operations({**whole, "paths": {path: whole["paths"][path]}})
    tally = Tally()
    await one_round("member", NOTHING_TO_LIST, operations, [], Random(1), 0, tally, failures, lambda: None)
    assert tally.requests > 0
    (finding,) = tally.findings.values()
    assert "ZeroDivisionError" in finding.cause
    assert "planted" in finding.text
    assert tally.statuses[500] == finding.count


async def test_a_sound_operation_is_found_sound(failures):
    whole = json.loads(document_of_a_cloud())
    path = "/volume/v3/types"
    operations = Operations({**whole, "paths": {path: whole["paths"][path]}})
    tally = Tally()
    await one_round("member", NOTHING_TO_LIST, operations, [], Random(1), 0, tally, failures, lambda: None)
    assert tally.findings == {}
    assert set(tally.statuses) & {200, 400}
