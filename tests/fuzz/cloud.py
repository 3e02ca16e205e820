"""A fake cloud worth attacking: two personas, one thing of every kind, and the ids of all there is.

Rule: what is attacked is found by listing, as a client would, so that new resources are attacked without being named.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from random import Random
from typing import Any

from pileus.kernel.runtime import Runtime
from pileus.kernel.testing import client
from pileus.services.identity.testing import login
from tests.fuzz.wire import Sent, send

PERSONAS = {"admin": "admin", "member": "demo"}


class Target:
    """One cloud and what one persona knows of it."""

    def __init__(self, runtime: Runtime, persona: str) -> None:
        self.runtime = runtime
        self.persona = persona
        self.token = ""
        self.known: dict[str, list[str]] = defaultdict(list)

    async def prepare(self, document: dict[str, Any]) -> None:
        """Log in, make one thing of every kind, and look around."""
        await furnish(self.runtime)
        self.token = await login(self.runtime, PERSONAS[self.persona])
        await self.look(document)

    async def look(self, document: dict[str, Any]) -> None:
        """List everything and keep the ids by kind: ``server``, ``network`` and so on."""
        for path, methods in document["paths"].items():
            if "get" not in methods or "{" in path or "#" in path:
                continue
            sent = Sent(path, "GET", path, headers=self.headers(path, "latest"))
            got = await send(self.runtime, sent)
            if got.status == 200 and "json" in got.headers.get("content-type", ""):
                for plural, id in _ids_in(json.loads(got.body)):
                    kind = singular(plural)
                    if id not in self.known[kind]:
                        self.known[kind].append(id)

    def headers(self, path: str, version: str | None) -> dict[str, str]:
        """Return what a client of this persona sends: its token and a microversion."""
        service = {"compute": "compute", "volume": "volume", "placement": "placement"}.get(path.split("/")[1])
        chosen = {"openstack-api-version": f"{service} {version}"} if service and version else {}
        return {"x-auth-token": self.token, **chosen}

    async def alive(self) -> bool:
        """Tell whether the persona can still do anything: an attack may have taken its own roles away."""
        headers = {"x-auth-token": self.token, "x-subject-token": self.token}
        return (await send(self.runtime, Sent("", "GET", "/identity/v3/auth/tokens", headers=headers))).status == 200

    def pick(self, path: str, name: str, random: Random) -> str | None:
        """Return an id that would fit a path parameter, None when none is known."""
        before = path.partition(f"/{{{name}}}")[0].rpartition("/")[2]
        for kind in (name, singular(before), name.removesuffix("_id")):
            if found := self.known.get(kind):
                return random.choice(found)
        return None

    def any(self, random: Random) -> str | None:
        """Return the id of whatever."""
        kinds = [kind for kind, found in self.known.items() if found]
        return random.choice(self.known[random.choice(kinds)]) if kinds else None


def singular(plural: str) -> str:
    """Return ``security_group`` for ``security-groups``; good enough for the APIs' own words."""
    plural = plural.removeprefix("os-").replace("-", "_")
    return re.sub(r"ies$", "y", plural) if plural.endswith("ies") else plural.removesuffix("s")


def _ids_in(found: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(found, dict):
        return
    for plural, items in found.items():
        if isinstance(items, list):
            for item in items[:20]:
                id = item if isinstance(item, str) else isinstance(item, dict) and (item.get("id") or item.get("name"))
                id = item.get("uuid", id) if isinstance(item, dict) else id
                if isinstance(id, str | int):
                    yield plural, str(id)


async def furnish(runtime: Runtime) -> None:
    """Make one thing of every kind as the demo user."""
    async with client(runtime, await login(runtime)) as http:

        async def make(path: str, body: dict[str, Any]) -> Any:
            answer = await http.post(path, json=body)
            assert answer.status_code < 300, f"{path}: {answer.text}"
            content = answer.json()
            return content if "id" in content else next(iter(content.values()))

        network = (await make("/networking/v2.0/networks", {"network": {"name": "n"}}))["id"]
        subnet = {"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/24"}
        subnet_id = (await make("/networking/v2.0/subnets", {"subnet": subnet}))["id"]
        router = (await make("/networking/v2.0/routers", {"router": {"name": "r"}}))["id"]
        added = await http.put(f"/networking/v2.0/routers/{router}/add_router_interface", json={"subnet_id": subnet_id})
        assert added.status_code == 200, added.text
        await make("/networking/v2.0/ports", {"port": {"network_id": network}})
        image = (await make("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}))["id"]
        octets = {"content-type": "application/octet-stream"}
        assert (await http.put(f"/image/v2/images/{image}/file", content=bytes(4096), headers=octets)).is_success
        volume = (await make("/volume/v3/volumes", {"volume": {"size": 1}}))["id"]
        await make("/volume/v3/volumes", {"volume": {"size": 1}})
        flavor = (await http.get("/compute/v2.1/flavors")).json()["flavors"][0]["id"]
        await make("/compute/v2.1/os-keypairs", {"keypair": {"name": "k"}})
        await make("/compute/v2.1/os-server-groups", {"server_group": {"name": "g", "policies": ["affinity"]}})
        for name in ("s1", "s2"):
            server = {"name": name, "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}]}
            await make("/compute/v2.1/servers", {"server": server})
        await _settled(http, f"/volume/v3/volumes/{volume}", "volume", "available")
        await make("/volume/v3/snapshots", {"snapshot": {"volume_id": volume}})
        account = (await http.get("/identity/v3/auth/projects")).json()["projects"][0]["id"]
        base = f"/object-store/v1/AUTH_{account}/box"
        assert (await http.put(base)).is_success
        assert (await http.put(f"{base}/thing", content=b"bytes")).is_success


async def _settled(http: Any, path: str, member: str, status: str) -> None:
    for _ in range(200):
        if (await http.get(path)).json()[member]["status"] == status:
            return
    raise AssertionError(f"{path} is not {status}")
