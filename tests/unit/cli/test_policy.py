"""``pileus policy``: an operator asks who may do what, reads every rule, and has a changed file checked."""

import argparse
import threading
from pathlib import Path

import pytest
import yaml

from pileus.cli import policy
from pileus.cli.state import Cloud, State
from pileus.cli.terminal import Problem
from pileus.kernel.policy import RULES
from pileus.kernel.testing import client, running
from pileus.services.identity.testing import login


def say(state: Path, verb: str, user: str | None = None, action: str | None = None, *resource: str) -> int:
    return policy.run(argparse.Namespace(state=state, verb=verb, user=user, action=action, resource=list(resource)))


@pytest.fixture
async def cloud(tmp_path) -> tuple[Path, dict[str, str]]:
    """A cloud that has stopped, with a volume of demo's, and the ids of demo's project and user."""
    State(tmp_path).save(Cloud(fake=True))
    async with running(tmp_path) as runtime, client(runtime, await login(runtime, "demo")) as http:
        me = (
            await http.get("/identity/v3/auth/tokens", headers={"X-Subject-Token": http.headers["X-Auth-Token"]})
        ).json()
        made = await http.post("/volume/v3/volumes", json={"volume": {"size": 1}})
        assert made.status_code == 202
        ids = {"project": me["token"]["project"]["id"], "user": me["token"]["user"]["id"]}
        return tmp_path, {**ids, "volume": made.json()["volume"]["id"]}


def run(cloud, capsys, *words: str) -> tuple[int, str]:
    """The command has an event loop of its own, so it runs in a thread."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(say(cloud[0], *words)))
    thread.start()
    thread.join()
    return found[0], capsys.readouterr().out


async def test_it_says_who_may_and_by_which_token(cloud, capsys):
    _, ids = cloud
    code, told = run(cloud, capsys, "explain", "demo", "volume:delete", ids["volume"])
    assert code == 0
    assert f"on volume {ids['volume']} (project_id {ids['project']}" in told
    yes = [line for line in told.splitlines() if "  yes  " in line]
    assert len(yes) == 1
    assert yes[0].startswith("project demo")
    assert "member, reader (implied by member)" in yes[0]
    assert "project_id" in yes[0]
    assert told.endswith("Yes, with a token for project demo.\n")


async def test_it_says_who_may_not_and_what_is_missing(cloud, capsys):
    _, ids = cloud
    code, told = run(cloud, capsys, "explain", "alt_demo", "DELETE", f"/volume/v3/volumes/{ids['volume']}")
    assert code == 1
    assert "DELETE /volume/v3/volumes/{volume}" in told
    last = told.splitlines()[-1]
    assert last.startswith("No. What would do: ")
    assert "the role admin" in last
    assert f"a token for project {ids['project']}" in last


async def test_it_judges_derived_routes_by_their_own_rules(cloud, capsys):
    """A network's rules are asked in derived handlers; the route says which."""
    state, _ = cloud
    async with running(state) as runtime, client(runtime, await login(runtime, "demo")) as http:
        made = await http.post("/networking/v2.0/networks", json={"network": {"name": "n"}})
        network = made.json()["network"]["id"]
    path = f"/networking/v2.0/networks/{network}"
    for method, rule in (("DELETE", "delete_network"), ("PUT", "update_network"), ("GET", "get_network")):
        code, said = run(cloud, capsys, "explain", "demo", method, path)
        assert (code, f"do {rule}?" in said) == (0, True), said
        code, said = run(cloud, capsys, "explain", "alt_demo", method, path)
        assert (code, f"do {rule}?" in said) == (1, True), said
    code, said = run(cloud, capsys, "explain", "demo", "POST", "/networking/v2.0/networks")
    assert (code, "do create_network?" in said) == (0, True)
    code, said = run(cloud, capsys, "explain", "demo", "PUT", f"{path}/tags/x")
    assert (code, "do update_network:tags?" in said) == (0, True)


async def test_it_says_for_which_scopes_a_rule_is(cloud, capsys):
    code, said = run(cloud, capsys, "explain", "admin", "os_compute_api:os-hypervisors:list")
    assert code == 0
    assert "  with a token for a project\n" in said
    verdicts = {line.split("  ")[0]: line for line in said.splitlines() if "  no  " in line or "  yes  " in line}
    assert "lacks a token for a project, not for the system" in verdicts["the system"]
    assert "lacks a token for a project, not for a domain" in verdicts["domain Default"]
    assert "  yes  " in verdicts["project admin"]


async def test_a_judgement_of_several_things_takes_them_by_name(cloud, capsys):
    _, ids = cloud
    words = ("explain", "demo", "identity:list_grants", f"user={ids['user']}", f"project={ids['project']}")
    code, told = run(cloud, capsys, *words)
    assert code == 1
    assert f"on user {ids['user']} (domain_id default), project {ids['project']} (domain_id default)" in told
    assert "a token for domain default" in told


async def test_a_disabled_user_may_nothing(cloud, capsys, tmp_path):
    async with running(tmp_path) as runtime, client(runtime, await login(runtime, "admin")) as http:
        path = f"/identity/v3/users/{cloud[1]['user']}"
        assert (await http.patch(path, json={"user": {"enabled": False}})).status_code == 200
    code, told = run(cloud, capsys, "explain", "demo", "volume:get_all")
    assert code == 1
    assert told.endswith("No: the user is disabled, so demo gets no token at all.\n")


async def test_the_operators_file_counts(cloud, capsys):
    state, ids = cloud
    (state / "policy.yaml").write_text('"volume:delete": "role:admin"\n')
    code, told = run(cloud, capsys, "explain", "demo", "volume:delete", ids["volume"])
    assert code == 1
    assert "rule (policy.yaml): role:admin" in told


def test_wrong_words_are_answered_with_the_right_ones(tmp_path):
    State(tmp_path).save(Cloud(fake=True))
    with pytest.raises(Problem, match="Who is to do what"):
        say(tmp_path, "explain", "demo")


def test_the_sample_names_every_rule_and_changes_nothing(tmp_path, capsys):
    assert say(tmp_path, "sample") == 0
    sample = capsys.readouterr().out
    assert yaml.safe_load(sample) is None
    rules = yaml.safe_load("\n".join(line[1:] for line in sample.splitlines() if line.startswith('#"')))
    declared = {name: rule.check for name, rule in RULES.items() if not name.startswith(("notes:", "toys:"))}
    assert {name: check for name, check in rules.items() if name in declared} == declared
    assert "# DELETE /compute/v2.1/servers/{server}\n" in sample


def test_a_file_with_faults_is_refused_with_the_place(tmp_path, capsys):
    path = tmp_path / "policy.yaml"
    path.write_text('"volume:delete": "role:admin or ("\n')
    with pytest.raises(Problem, match="policy rule volume:delete: unexpected end"):
        say(tmp_path, "check")
    path.write_text('"volume:delte": "role:admin"\n"volume:delete": "role:admin"\n')
    assert say(tmp_path, "check") == 1
    told = capsys.readouterr().out
    assert "volume:delte: there is no such rule; the line has no effect" in told
    assert "rules changed: volume:delete" in told
