"""A build that fails leaves nothing on its host, and the server is on no host from then on."""

from typing import Any

from pileus.kernel.errors import Conflict
from tests.api.compute.cloud import Cloud


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
