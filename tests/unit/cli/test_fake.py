"""``pileus fake`` and ``pileus up --seed``: what they refuse before they ask any cloud, and what their words become."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from pileus.cli import fake, main, up
from pileus.cli.state import Cloud, State
from pileus.cli.terminal import Problem


def parsed(*words: str) -> Namespace:
    return main.parser().parse_args(["fake", *words])


class Ordered:
    """Stands for the client: notes what is ordered."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, dict[str, Any]]] = []

    def order(self, kind: str, **fields: Any) -> int:
        self.orders.append((kind, fields))
        return 7


@pytest.mark.parametrize(
    ("words", "kind", "fields"),
    [
        ("boot full --name db-*", "boot", {"message": "full", "name": "db-*"}),
        ("boot --hang --every 3 --times 0", "boot", {"hang": True, "every": 3, "times": 0}),
        ("command EnsureVolume --delay 2", "command", {"command": "EnsureVolume", "delay_s": 2.0}),
        ("api compute 429 --retry-after 5", "api", {"service": "compute", "status": 429, "retry_after_s": 5}),
        ("api image --delay 1 --method GET --path /v2/*", "api", {"service": "image", "delay_s": 1.0, "method": "GET"}),
        ("host fake-1 --power-off", "host", {"host": "fake-1", "power_off": True}),
        ("capacity --vcpus 2", "capacity", {"vcpus": 2}),
        ("quota demo compute cores", "quota", {"project": "demo", "service": "compute", "name": "cores"}),
    ],
)
def test_words_become_the_fields_of_a_fault(
    words: str, kind: str, fields: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    client: Any = Ordered()
    asked = parsed("break", *words.split())
    fake.VERBS["break"](client, asked)
    ((told, given),) = client.orders
    assert told == kind
    assert given == {**fields, **({"path": "/v2/*"} if "path" in given else {})}
    assert "pileus fake mend 7" in capsys.readouterr().out


def test_the_state_may_be_named_before_or_behind_the_verb() -> None:
    for words in (("--state", "/a", "reset"), ("reset", "--state", "/a"), ("break", "boot", "x", "--state", "/a")):
        assert parsed(*words).state == Path("/a")


def test_a_real_cloud_and_one_that_is_down_are_refused(tmp_path: Path) -> None:
    real, down = State(tmp_path / "real"), State(tmp_path / "down")
    real.save(Cloud(fake=False))
    down.save(Cloud(fake=True))
    with pytest.raises(Problem, match="is a real one"):
        fake.connect(real)
    with pytest.raises(Problem, match="does not run"):
        fake.connect(down)


def test_a_seed_is_for_a_new_fake_cloud(tmp_path: Path) -> None:
    seed = tmp_path / "seed.toml"
    seed.write_text("")
    words = main.parser().parse_args(["up", "--seed", str(seed), "--state", str(tmp_path / "cloud")])
    with pytest.raises(Problem, match="Only a fake cloud is begun with a seed"):
        up.choose(State(words.state), None, words)
    words.fake = True
    with pytest.raises(Problem, match="begun already"):
        up.choose(State(words.state), Cloud(fake=True), words)
    assert up.choose(State(words.state), None, words).fake
    seed.write_text("[[projects]]\nnom = 'x'\n")
    with pytest.raises(Problem, match="line 2: nom is not known here"):
        up.read_seed(words)
