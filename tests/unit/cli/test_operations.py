"""``pileus operations``: an operator finds what is stuck, sees why, and ends it."""

import argparse
import asyncio
import json
from pathlib import Path

import pytest

from pileus.cli import operations
from pileus.cli.state import Cloud, State
from pileus.cli.terminal import Problem
from pileus.kernel import errors
from pileus.kernel.operations import begin, steps
from tests.unit.kernel.site import Site
from tests.unit.kernel.toy import Chore, build_row


@pytest.fixture
def cloud(tmp_path, monkeypatch) -> tuple[Path, str]:
    """A cloud whose server has stopped and left a stuck operation."""
    monkeypatch.setattr(steps, "UNDO_PATIENCE_S", 0.2)
    State(tmp_path).save(Cloud(fake=True))

    async def get_stuck() -> str:
        site = Site(tmp_path, f"sqlite:///{tmp_path}/pileus.db")
        await site.db.create_schema()
        site.at = {"before finish": errors.Conflict("no ground left"), "undo base": RuntimeError("stuck fast")}
        worker = await site.start_worker()
        id = await build_row(site.db, "t")
        await site.ended(id, "stuck")
        await worker.stop()
        await site.db.close()
        return id

    return tmp_path, asyncio.run(get_stuck())


def say(state: Path, verb: str, id: str | None = None, *, all: bool = False, as_json: bool = False) -> None:
    operations.run(argparse.Namespace(state=state, verb=verb, id=id, all=all, json=as_json))


def test_a_stuck_operation_is_found_explained_and_ended(cloud, capsys):
    state, id = cloud
    say(state, "list")
    listed = capsys.readouterr().out
    assert f"{id}  tower.build  tower/t   stuck" in listed
    assert "Alarm: tower.build on tower/t: step 'base' cannot be undone: RuntimeError: stuck fast" in listed

    say(state, "show", id)
    shown = capsys.readouterr().out
    assert "why: no ground left; failed once, last: RuntimeError: stuck fast; next try at " in shown
    states = dict(line.split()[:2] for line in shown.splitlines() if line.startswith(("claim", "base", "spire")))
    assert states == {"claim": "done", "base": "done", "spire": "undone"}

    say(state, "retry", id)
    assert "will be tried again within seconds" in capsys.readouterr().out
    say(state, "abandon", id)
    assert "is given up. Not undone: claim, base, height." in capsys.readouterr().out
    say(state, "list")
    assert capsys.readouterr().out == "Nothing is under way.\n"
    say(state, "list", all=True)
    assert "failed" in capsys.readouterr().out
    with pytest.raises(Problem, match=f"Operation {id} is not stuck but failed"):
        say(state, "retry", id)


def test_an_operation_has_to_be_named_and_there(cloud):
    state, _ = cloud
    with pytest.raises(Problem, match="Which operation is to show"):
        say(state, "show")
    with pytest.raises(Problem, match="Operation nothing could not be found"):
        say(state, "show", "nothing")


def test_what_waits_is_listed_with_what_it_waits_for(tmp_path, capsys):
    State(tmp_path).save(Cloud(fake=True))

    async def line_up() -> list[str]:
        site = Site(tmp_path, f"sqlite:///{tmp_path}/pileus.db")
        await site.db.create_schema()

        def transaction(tx) -> list[str]:
            kinds = {"kitchen": "house.paint", "house": "house.move"}
            return [begin(tx, None, kind, "house/h", Chore("h", name, name)) for name, kind in kinds.items()]

        ids = await site.db.write(transaction)
        await site.db.close()
        return ids

    first, second = asyncio.run(line_up())
    say(tmp_path, "list")
    (listed,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(second)]
    assert f"waits for house.paint ({first}) until " in listed
    say(tmp_path, "show", first)
    assert "part: room/kitchen" in capsys.readouterr().out


def test_programs_read_the_same_as_json(cloud, capsys):
    state, id = cloud
    say(state, "list", as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["id"], row["state"]) == (id, "stuck")
    assert "stuck fast" in row["alarm"]
    say(state, "show", id, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["steps"][0]["started_at"].endswith("Z")
    assert "lease_owner" not in shown
