"""A server's view in each version: exactly the members that version knows."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pileus.kernel.context import Caller, Context
from pileus.kernel.policy import Policy
from pileus.kernel.rest.schema import trim
from pileus.services.compute.api.server_views import rebuild_view, server_view, update_view
from pileus.services.compute.model import Server

MOMENT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
BASE = {
    *("OS-DCF:diskConfig", "OS-EXT-AZ:availability_zone", "OS-EXT-STS:power_state", "OS-EXT-STS:task_state"),
    *("OS-EXT-STS:vm_state", "OS-SRV-USG:launched_at", "OS-SRV-USG:terminated_at", "accessIPv4", "accessIPv6"),
    *("addresses", "config_drive", "created", "flavor", "hostId", "id", "image", "key_name", "links", "metadata"),
    *("name", "os-extended-volumes:volumes_attached", "progress", "security_groups", "status", "tenant_id"),
    *("updated", "user_id"),
}
ADMIN = {f"OS-EXT-SRV-ATTR:{name}" for name in ("host", "instance_name", "hypervisor_hostname")}
_2_3 = "reservation_id launch_index kernel_id ramdisk_id hostname root_device_name user_data"
ADMIN_2_3 = {f"OS-EXT-SRV-ATTR:{name}" for name in _2_3.split()}
CAME = {
    (2, 9): {"locked"},
    (2, 19): {"description"},
    (2, 26): {"tags"},
    (2, 63): {"trusted_image_certificates"},
    (2, 71): {"server_groups"},
    (2, 73): {"locked_reason"},
    (2, 96): {"pinned_availability_zone"},
    (2, 100): {"scheduler_hints"},
}
COMMON = {
    *("OS-DCF:diskConfig", "accessIPv4", "accessIPv6", "addresses", "created", "flavor", "hostId", "id", "image"),
    *("links", "metadata", "name", "progress", "status", "tenant_id", "updated", "user_id"),
}


def server(**more: Any) -> Server:
    flavor = {"name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1, "ephemeral": 0, "swap": 0, "extra_specs": {}}
    card = {"version": 4, "addr": "10.0.0.2", "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:0:0:1"}
    values = {
        "id": "0a7a7a7a-0000-4000-8000-000000000000",
        "project_id": "p",
        "user_id": "u",
        "name": "web",
        "hostname": "web",
        "vm_state": "active",
        "task_state": None,
        "power_state": 1,
        "host": "h1",
        "availability_zone": "nova",
        "flavor_id": "1",
        "flavor": flavor,
        "vcpus": 1,
        "memory_mb": 512,
        "image_id": "i",
        "image": {"properties": {"os_type": "linux"}},
        "meta": {"a": "b"},
        "tags": ["x"],
        "config_drive": True,
        "disk_config": "MANUAL",
        "addresses": {"net": [card]},
        "security_groups": ["default"],
        "hints": {},
        "reservation_id": "r-1",
        "launch_index": 0,
        "progress": 100,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "launched_at": MOMENT,
    }
    return Server(**{**values, **more})


def context(version: tuple[int, int], *roles: str) -> Context:
    return Context(Caller(user_id="u", project_id="p", roles=frozenset(roles)), Policy(), version=version)


def shown(view: Any, version: tuple[int, int]) -> dict[str, Any]:
    return msgspec.to_builtins(trim(view, version))


VERSIONS = [(2, minor) for minor in (1, 3, 8, 9, 16, 19, 26, 47, 63, 71, 73, 75, 90, 96, 98, 100, 103)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_member_is_shown_what_its_version_knows(version: tuple[int, int]) -> None:
    view = shown(server_view(context(version, "member", "reader"), server(), [("v", True)]), version)
    wanted = BASE | {name for first, names in CAME.items() if version >= first for name in names}
    wanted |= {"OS-EXT-SRV-ATTR:hostname"} if version >= (2, 90) else set()
    assert set(view) == wanted
    volume = {"id": "v", "delete_on_termination": True} if version >= (2, 3) else {"id": "v"}
    assert view["os-extended-volumes:volumes_attached"] == [volume]
    assert ("original_name" in view["flavor"]) == (version >= (2, 47))
    assert ("properties" in view["image"]) == (version >= (2, 98))


@pytest.mark.parametrize("version", VERSIONS)
def test_an_administrator_is_shown_the_host_too(version: tuple[int, int]) -> None:
    view = shown(server_view(context(version, "admin"), server(), [], host_status="UP"), version)
    extra = ADMIN | (ADMIN_2_3 if version >= (2, 3) else set()) | ({"host_status"} if version >= (2, 16) else set())
    assert extra <= set(view)
    assert view["OS-EXT-SRV-ATTR:host"] == "h1"


@pytest.mark.parametrize("version", [(2, 1), (2, 47), (2, 74)])
def test_updates_answer_with_less(version: tuple[int, int]) -> None:
    view = shown(update_view(context(version, "member"), server()), version)
    assert set(view) == COMMON | {name for first, names in CAME.items() if version >= first for name in names}
    assert view["addresses"] == {"net": [{"version": 4, "addr": "10.0.0.2"}]}


def test_a_rebuild_answers_with_the_new_password_and_key() -> None:
    view = shown(rebuild_view(context((2, 57), "member"), server(key_name="k"), "secret"), (2, 57))
    assert (view["adminPass"], view["key_name"], view["user_data"]) == ("secret", "k", None)


def test_a_fault_is_shown_only_in_error_and_its_details_only_to_administrators() -> None:
    fault = {"code": 500, "created": "2026-01-31T09:30:00Z", "message": "No valid host", "details": "all of it"}
    well = shown(server_view(context((2, 1), "member"), server(fault=fault), []), (2, 1))
    broken = server(fault=fault, vm_state="error")
    assert "fault" not in well
    assert "details" not in shown(server_view(context((2, 1), "member"), broken, []), (2, 1))["fault"]
    assert shown(server_view(context((2, 1), "admin"), broken, []), (2, 1))["fault"] == fault


def test_hosts_have_another_name_in_every_project() -> None:
    ctx = context((2, 1), "member")
    mine, theirs = (server_view(ctx, server(project_id=project), []).hostId for project in ("p", "q"))
    assert mine != theirs
    assert len(mine) == 56
    assert server_view(ctx, server(host=None), []).hostId == ""
