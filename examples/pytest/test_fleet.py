"""How a program that uses OpenStack is tested without one: by the fixtures that Pileus brings."""

import os
from pathlib import Path

import openstack
import pytest
from fleet import FleetError, launch


def test_a_fleet_is_booted(openstack_connection):
    ids = launch(openstack_connection, "web", 3)
    assert {server.id for server in openstack_connection.compute.servers()} == set(ids)


def test_each_test_has_a_project_of_its_own(openstack_connection):
    assert list(openstack_connection.compute.servers()) == []


def test_a_server_that_fails_is_replaced(openstack_connection, pileus_faults):
    fault = pileus_faults.fail_boot("No space left on device", name="db-*")
    ids = launch(openstack_connection, "db", 2)
    assert len(ids) == 2
    assert [one["struck"] for one in pileus_faults.faults() if one["id"] == fault] == [1]


def test_the_reason_is_told_when_it_fails_again(openstack_connection, pileus_faults):
    pileus_faults.fail_boot("No space left on device", times=0)
    with pytest.raises(FleetError, match="No space left on device"):
        launch(openstack_connection, "db", 1)
    assert list(openstack_connection.compute.servers(status="ERROR")) == []


def test_a_host_that_dies_is_not_needed(openstack_connection, pileus_faults):
    pileus_faults.lose_host("fake-1")
    assert len(launch(openstack_connection, "web", 2)) == 2


def test_a_full_quota_is_an_error(openstack_connection, pileus_project, pileus_faults):
    pileus_faults.fill_quota(pileus_project.project, "compute", "instances")
    with pytest.raises(openstack.exceptions.ForbiddenException, match="Quota exceeded"):
        launch(openstack_connection, "web", 1)


@pytest.mark.parametrize("status", [503, 429])
def test_a_busy_api_is_asked_again(pileus_project, pileus_faults, status):
    patient = pileus_project.connect(compute_status_code_retries=2)  # without it the SDK gives up at once
    patient.compute.retriable_status_codes = [503, 429]
    fault = pileus_faults.break_api("compute", status, method="GET", path="/v2.1/flavors*", retry_after_s=1, times=1)
    assert len(launch(patient, "web", 1)) == 1
    assert [one["struck"] for one in pileus_faults.faults() if one["id"] == fault] == [1]


def test_a_token_that_expires_is_replaced(openstack_connection, pileus_reset):
    before = openstack_connection.auth_token
    pileus_reset.move_time(100_000)
    assert len(launch(openstack_connection, "web", 1)) == 1
    assert openstack_connection.auth_token != before
    pileus_reset.reset()


def test_a_seeded_project_has_its_quota(pileus_reset):
    production = pileus_reset.login("production").connect()
    assert len(launch(production, "web", 3)) == 3
    with pytest.raises(openstack.exceptions.ForbiddenException, match="Quota exceeded for instances"):
        launch(production, "more", 1)


def test_what_takes_long_to_build_is_built_once(pileus_cloud):
    names = [one["name"] for one in pileus_cloud.snapshots()]
    if "built" not in names:
        pileus_cloud.reset()
        launch(pileus_cloud.login("production").connect(), "base", 2)
        pileus_cloud.save("built")
    pileus_cloud.load("built")
    servers = pileus_cloud.login("production").connect().compute.servers()
    assert {server.name for server in servers} == {"base-0", "base-1"}
    pileus_cloud.delete("built")
    pileus_cloud.reset()


def test_other_programs_find_the_cloud(clouds_yaml):
    assert Path(os.environ["OS_CLIENT_CONFIG_FILE"]) == clouds_yaml
    assert openstack.connect(cloud="pileus").current_project.name.startswith("test-")
    assert openstack.connect(cloud="pileus-admin").current_project.name == "admin"
