"""The map of an API: what ``pileus routes`` prints."""

import argparse

import pytest

from pileus.cli import routes
from pileus.cli.terminal import Problem


def words(service: str | None = None, json: bool = False) -> argparse.Namespace:
    return argparse.Namespace(service=service, json=json)


def test_a_service_has_a_page(capsys):
    routes.run(words("network"))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:2] == ["method", "path"]
    found = {(line[0], line[1]): line for line in lines[1:]}
    created = found["POST", "/networking/v2.0/networks"]
    assert created[2] == "create_network"
    assert created[-1].startswith("services/network/app/networks.py:")
    assert found["PUT", "/networking/v2.0/networks/{id}/tags"][2] == "update_network:tags"


def test_without_a_name_each_is_counted(capsys):
    routes.run(words())
    counted = dict(line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert int(counted["identity"]) > 200
    assert int(counted.pop("all")) == sum(map(int, counted.values()))


def test_an_unknown_service_is_told_which_there_are():
    with pytest.raises(Problem) as refused:
        routes.run(words("weather"))
    assert "identity" in refused.value.remedy
