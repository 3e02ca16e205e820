"""A cloud is begun in no directory of another's, and a purge takes what the cloud has made."""

from argparse import Namespace
from pathlib import Path

import pytest

from pileus.cli import down, up
from pileus.cli.contents import in_the_way, is_made, remove_made
from pileus.cli.state import Cloud, State, why_not_listen
from pileus.cli.terminal import Problem


def words(**given: object) -> Namespace:
    plain = {"host": None, "port": None, "fake": True, "fake_hosts": None, "purge": False, "guests": False}
    return Namespace(**{**plain, **given})


@pytest.mark.parametrize("name", ["thesis.odt", "run", "network", "logs", "credentials.json", ".git", "pileus.db"])
def test_a_directory_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "file").write_text("mine")
    with pytest.raises(Problem, match=f"holds what is not a cloud's: {name}"):
        up.choose(State(tmp_path), None, words())
    assert [path.name for path in tmp_path.rglob("*")] == [name, "file"]


def test_settings_may_be_there_before_the_first_start(tmp_path: Path) -> None:
    (tmp_path / "pileus.toml").write_text('[identity.federation.example]\nmetadata = "provider.xml"\n')
    (tmp_path / "policy.yaml").write_text("{}")
    (tmp_path / "provider.xml").write_text("<xml/>")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "server.log").write_text("of a start that failed\n")
    assert in_the_way(tmp_path) == []
    assert up.choose(State(tmp_path), None, words()).fake


def test_a_purge_leaves_what_the_cloud_did_not_make_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State(tmp_path / "cloud")
    state.save(Cloud(fake=True))
    (state.path / "pileus.toml").write_text("")
    (state.path / "cloud.backup").write_text("all I have")
    (state.path / "compute").mkdir()
    (state.path / "pileus.db-wal").write_text("")
    down.run(words(state=state.path, purge=True))
    assert sorted(path.name for path in state.path.iterdir()) == ["cloud.backup", "pileus.toml"]
    assert "cloud.backup, pileus.toml" in capsys.readouterr().out


def test_a_purge_names_what_lies_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = State(tmp_path / "cloud")
    state.save(Cloud(fake=True))
    (tmp_path / "bytes").mkdir()
    settings = f'[cloud]\ndatabase = "postgresql://cloud@/cloud"\n[object_store]\nfolder = "{tmp_path / "bytes"}"\n'
    (state.path / "pileus.toml").write_text(settings)
    down.run(words(state=state.path, purge=True))
    said = capsys.readouterr().out
    assert f"the bytes of images and objects in {tmp_path / 'bytes'}" in said
    assert "the database of [cloud] database" in said


def test_a_directory_behind_a_link_is_purged_and_what_a_link_inside_points_to_is_not(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "file").write_text("theirs")
    (tmp_path / "cloud").symlink_to("disk")
    (tmp_path / "disk" / "compute").symlink_to(tmp_path / "others")
    assert remove_made(tmp_path / "cloud") == []
    assert [path.name for path in tmp_path.rglob("*")] == ["others", "file"]


def test_names_of_operators_are_none_of_ours() -> None:
    assert not any(map(is_made, ("pileus.toml", "policy.yaml", "my.backup", "provider.xml")))
    assert all(map(is_made, ("cloud.json", "pileus.db-shm", "identity", ".cloud.json.77.part", "server.lock")))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"fake_hosts": 0}, "A cloud has one host at least"),
        ({"port": 70000}, "70000 is not a port"),
        ({"fake": False, "fake_hosts": 2}, "Only a fake cloud has fake hosts"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, given: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Problem, match=sentence), up.bringing_up(State(tmp_path / "s"), words(**given), up.Steps()):
        pass
    assert not (tmp_path / "s").exists()


def test_a_real_cloud_does_not_turn_into_a_fake_one(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="is a real one"):
        up.choose(State(tmp_path), Cloud(), words())


@pytest.mark.parametrize(
    ("host", "sentence"),
    [("192.0.2.254", "192.0.2.254 is no address of this machine"), ("no.such.host.invalid", "is not known")],
)
def test_an_address_that_is_not_here_is_not_called_a_taken_port(host: str, sentence: str) -> None:
    problem = why_not_listen(host, 21999)
    assert problem is not None
    assert sentence in problem.what


def test_a_real_cloud_that_is_refused_leaves_the_place_to_a_fake_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    state = State(tmp_path / "cloud")
    with pytest.raises(Problem, match="A real cloud needs root"), up.bringing_up(state, words(fake=False), up.Steps()):
        pass
    assert not state.path.exists()
    assert up.choose(state, None, words()).fake


def test_a_normal_user_does_not_purge_a_real_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(tmp_path / "cloud")
    state.save(Cloud())
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Problem, match="only root can stop it"):
        down.run(words(state=state.path, purge=True))
    assert state.exists()
