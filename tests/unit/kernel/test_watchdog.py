"""Who keeps all others waiting is named: in the log with the request's id, in the metrics with its route."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from pileus.kernel import watchdog
from pileus.kernel.db import Tx
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Api
from pileus.kernel.service import Service
from pileus.kernel.telemetry import metrics_page
from pileus.kernel.testing import client, running
from pileus.kernel.watchdog import LoopWatch, held
from tests.unit.kernel.test_rest import authenticate

api = Api("sleepers", "/v1")
ANYBODY = Rule("sleepers:any", "@")
LONG_S = 0.03


@api.get("/read/{seconds}", ANYBODY)
def read(tx: Tx, seconds: str) -> dict[str, Any]:
    time.sleep(float(seconds))
    return {}


@api.put("/written/{seconds}", ANYBODY)
def write(tx: Tx, seconds: str) -> dict[str, Any]:
    time.sleep(float(seconds))
    return {}


SERVICE = Service("sleepers", "/sleepers", [api], authenticate=authenticate)


@pytest.fixture
async def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with running(tmp_path, [SERVICE]) as runtime:
        monkeypatch.setattr(watchdog, "LONG_S", LONG_S)
        monkeypatch.setattr(watchdog, "BEAT_S", LONG_S / 3)
        watch = LoopWatch()
        watch.start()
        await asyncio.sleep(LONG_S)
        yield runtime
        watch.stop()


def said(caplog: pytest.LogCaptureFixture, kind: str, path: str) -> list[Any]:
    return [record for record in caplog.records if getattr(record, "kind", "") == kind and record.path == path]


async def test_a_read_that_holds_the_loop_is_named(cloud, caplog):
    async with client(cloud, "p1/member") as http:
        answer = await http.get("/sleepers/v1/read/0.3?secret=1")
    await asyncio.sleep(LONG_S)
    (record,) = said(caplog, "loop", "/sleepers/v1/read/0.3")
    assert record.request_id == answer.headers["x-openstack-request-id"]
    assert record.ms > 150
    assert record.cpu_ms < record.ms
    assert b'route="sleepers GET /v1/read/{seconds}"' in metrics_page()


async def test_a_write_that_holds_the_writer_is_named(cloud, caplog):
    async with client(cloud, "p1/member") as http:
        answer = await http.put("/sleepers/v1/written/0.1")
    (record,) = said(caplog, "writer", "/sleepers/v1/written/0.1")
    assert record.request_id == answer.headers["x-openstack-request-id"]
    assert record.ms > 90
    assert b'kind="writer",le="0.25",route="sleepers PUT /v1/written/{seconds}"' in metrics_page()


async def test_what_no_request_did_is_named_by_its_function(cloud, caplog):
    def dawdle(tx: Tx) -> None:
        time.sleep(0.1)

    await cloud.db.write(dawdle)
    (record,) = [found for found in said(caplog, "writer", None) if "dawdle" in found.getMessage()]
    assert record.request_id is None


async def test_what_is_quick_is_not_mentioned(cloud, caplog):
    watchdog.LONG_S = 10
    async with client(cloud, "p1/member") as http:
        await http.put("/sleepers/v1/written/0")
        await http.get("/sleepers/v1/read/0")
    assert not said(caplog, "writer", "/sleepers/v1/written/0")
    assert not said(caplog, "loop", "/sleepers/v1/read/0")


def test_a_hold_is_counted_by_kind_and_route():
    held("commit", 0.3, watchdog.Doing("elsewhere"))
    assert b'pileus_hold_seconds_bucket{kind="commit",le="0.5",route="elsewhere"} 1.0' in metrics_page()
