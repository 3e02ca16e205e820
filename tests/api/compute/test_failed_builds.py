"""A build that fails leaves nothing on its host, and the server is on no host from then on."""

import asyncio
from typing import Any

from pileus.kernel.errors import ApiError, Conflict, Failed, Unavailable
from tests.api.compute.cloud import Cloud, drivers


def _break(cloud: Cloud, broken: bool) -> None:
    def fault(verb: str, guest_id: str) -> None:
        if verb == "ensure_guest":
            raise Conflict("The hypervisor is out of order.")

    assert cloud.runtime.local_hosts is not None
    for host in cloud.runtime.local_hosts.hosts.values():
        parts: dict[str, Any] = {part.service: part for part in host.parts}
        parts["compute"].driver.fault = fault if broken else None


async def test_a_server_whose_build_failed_cannot_be_rebuilt_where_no_room_is_set_aside(cloud: Cloud) -> None:
    _break(cloud, True)
    id = await cloud.boot(want="ERROR")
    _break(cloud, False)

    for action in ({"rebuild": {"imageRef": cloud.image_id}}, {"reboot": {"type": "HARD"}}):
        assert "never built" in await cloud.refused("POST", f"/servers/{id}/action", 409, action)
    shown = (await cloud.admin.get(f"/compute/v2.1/servers/{id}")).json()["server"]
    assert shown["OS-EXT-SRV-ATTR:host"] is None
    await cloud.ask("DELETE", f"/servers/{id}", 204)
    await cloud.gone(id)


async def test_what_a_host_refuses_is_read_where_the_server_is(cloud: Cloud) -> None:
    """While it is tried again, of its action; when it will not get better, at once, of the server too."""
    refusal: list[ApiError] = [Unavailable("dnsmasq does not start: its port is taken")]

    def fault(verb: str, guest_id: str) -> None:
        if verb == "ensure_guest" and refusal:
            raise refusal[0]

    for driver in drivers(cloud):
        driver.fault = fault
    body = {"name": "x", "imageRef": cloud.image_id, "flavorRef": "42", "networks": "none"}
    made = (await cloud.ask("POST", "/servers", 202, {"server": body}, version="2.37"))["server"]["id"]
    path = f"/servers/{made}/os-instance-actions"

    async def details() -> str:
        (action,) = (await cloud.ask("GET", path, 200, who=cloud.admin, version="2.84"))["instanceActions"]
        shown = await cloud.ask("GET", f"{path}/{action['request_id']}", 200, who=cloud.admin, version="2.84")
        return shown["instanceAction"]["events"][0]["details"] or ""

    async with asyncio.timeout(10):
        while True:
            if "dnsmasq does not start: its port is taken; next try at" in await details():
                break
            await asyncio.sleep(0.02)
    assert (await cloud.show(made))["status"] == "BUILD"
    refusal[0] = Failed("The program 'dnsmasq' is not on this host.")
    server = await cloud.rest(made)
    assert server["status"] == "ERROR"
    assert "The program 'dnsmasq' is not on this host." in server["fault"]["message"]
    assert "The program 'dnsmasq' is not on this host." in await details()
