"""Seed files: what is refused, and with which line."""

from pathlib import Path

import pytest

from pileus.fake.seed import SeedError, lines_in, read

GOOD = """\
# a comment
[[projects]]
name = "web"
[projects.quota]
compute = { instances = 5 }

[[projects]]
name = "shop"

[[users]]
name = "ann"
password = "secret"
roles = [
  { project = "web" },
  { project = "shop", role = "admin" },
]

[[networks]]
name = "front"
project = "web"
[[networks.subnets]]
name = "four"
cidr = "10.0.0.0/24"
[[networks.subnets]]
name = "six"
cidr = "fd00::/64"

[[networks]]
name = "back"
[[networks.subnets]]
name = "other"
cidr = "10.1.0.0/24"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "seed.toml"
    path.write_text(text)
    return path


def test_a_seed_is_read_whole(tmp_path: Path) -> None:
    seed = read(written(tmp_path, GOOD))
    assert [project.name for project in seed.content.projects] == ["web", "shop"]
    assert seed.content.projects[0].quota.compute == {"instances": 5}
    assert [(grant.project, grant.role) for grant in seed.content.users[0].roles] == [
        ("web", "member"),
        ("shop", "admin"),
    ]
    assert [subnet.name for subnet in seed.content.networks[0].subnets] == ["four", "six"]


def test_every_place_has_its_line(tmp_path: Path) -> None:
    lines = lines_in(GOOD)
    for where, line in (
        ("projects[0].name", 3),
        ("projects[0].quota.compute", 5),
        ("projects[1]", 7),
        ("networks[0].subnets[1].cidr", 26),
        ("networks[1].subnets[0].name", 31),
    ):
        assert lines[where] == line
    seed = read(written(tmp_path, GOOD))
    assert "seed.toml, line 13: no" in str(seed.error("users[0].roles[1].role", "no"))
    assert "seed.toml, line 1: no" in str(seed.error("servers[3].flavor", "no"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "shop"', 'nam = "shop"', "line 8: nam is not known here (projects[1].nam)"),
        ('[[users]]\nname = "ann"', "[[users]]", "line 10: Object missing required field 'name' (users[0])"),
        ("instances = 5", 'instances = "5"', "line 5: Expected 'int', got 'str' (projects[0].quota.compute[...])"),
        ("# a comment", "[[flavours]]", "line 1: flavours is not known here (flavours)"),
        ('name = "back"', 'name = ""', "line 29: Expected 'str' of length >= 1 (networks[1].name)"),
        ('name = "shop"', 'name = "web"', "line 8: there is another of projects called web above."),
        ("# a comment", "a = = 1", "is not TOML: Invalid value (at line 1, column 5)."),
        ("# a comment", '[[images]]\nname = "i"\nfile = "none.img"', "line 3: there is no file"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(SeedError) as raised:
        read(written(tmp_path, GOOD.replace(old, new, 1)))
    assert words in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="cannot be read: No such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "seed.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SeedError, match="is not a text in UTF-8"):
        read(tmp_path / "seed.toml")
