"""Users who come and go: servers, volumes and networks that are made, changed and deleted all the time.

Rule: every accepted request must come to its end in time, well or with a reason.
"""

import random
import time
from collections.abc import Callable
from typing import Any

from tests.real.api import ACCEPTED, COMPUTE, LOST, NETWORK, VOLUME, Api
from tests.soak.control import Control

PATIENCE_S = 420.0


class Churn:
    """Makes one thing after the other and deletes it again."""

    def __init__(self, api: Api, control: Control, chance: random.Random, server: dict[str, Any], router: str) -> None:
        self._api, self._control, self._chance = api, control, chance
        self._server, self._router = server, router
        self._number = 0

    def server_life(self) -> None:
        """Boot a server, do some of its verbs, delete it."""
        self._number += 1
        name = f"churn-{self._number}"
        network = self._make_network(name) if self._number % 4 == 0 else None
        body = {**self._server, "name": name, **({"networks": [{"uuid": network}]} if network else {})}
        answer = self._ask("server create", "POST", f"{COMPUTE}/servers", {"server": body})
        server = answer["server"]["id"] if answer else self._named(f"{COMPUTE}/servers?name={name}", "servers")
        if server is not None:
            if self._rest(server) == "ACTIVE":
                verbs = [self._plug_volume, self._stop_and_start, self._reboot, self._plug_port, self._pause]
                for verb in self._chance.sample(verbs, 2):
                    verb(server)
            self._delete("server", f"{COMPUTE}/servers/{server}")
        if network:
            self._drop_network(network)

    def volume_life(self) -> None:
        """Make a volume, a snapshot of it and a volume from that; extend; delete all."""
        self._number += 1
        body = {"volume": {"size": 1, "name": f"churn-volume-{self._number}"}}
        first = self._made("volume", body)
        if first is None:
            return
        snapshot = self._made("snapshot", {"snapshot": {"volume_id": first, "name": "churn"}})
        second = self._made("volume", {"volume": {"size": 1, "snapshot_id": snapshot}}) if snapshot else None
        self._ask("volume extend", "POST", f"{VOLUME}/volumes/{first}/action", {"os-extend": {"new_size": 2}})
        self._settle(f"{VOLUME}/volumes/{first}", "volume", {"available", "error_extending", "error"})
        if second:
            self._delete("volume", f"{VOLUME}/volumes/{second}")
        if snapshot:
            self._delete("snapshot", f"{VOLUME}/snapshots/{snapshot}")
        self._delete("volume", f"{VOLUME}/volumes/{first}")

    # A server's verbs

    def _plug_volume(self, server: str) -> None:
        volume = self._made("volume", {"volume": {"size": 1}})
        if volume is None:
            return
        body = {"volumeAttachment": {"volumeId": volume}}
        self._ask("attach volume", "POST", f"{COMPUTE}/servers/{server}/os-volume_attachments", body)
        there = self._settle(f"{VOLUME}/volumes/{volume}", "volume", {"available", "in-use", "error"})
        if there == "in-use":
            self._ask("detach volume", "DELETE", f"{COMPUTE}/servers/{server}/os-volume_attachments/{volume}")
            there = self._settle(f"{VOLUME}/volumes/{volume}", "volume", {"available", "in-use", "error"})
        if there == "in-use":  # a guest that had not booted yet keeps it until it is deleted
            self._delete("server", f"{COMPUTE}/servers/{server}")
        self._delete("volume", f"{VOLUME}/volumes/{volume}")

    def _stop_and_start(self, server: str) -> None:
        for action in ("os-stop", "os-start"):
            self._act(server, action, None)

    def _reboot(self, server: str) -> None:
        self._act(server, "reboot", {"type": "HARD"})

    def _pause(self, server: str) -> None:
        for action in ("pause", "unpause"):
            self._act(server, action, None)

    def _plug_port(self, server: str) -> None:
        networks = self._api.get(f"{NETWORK}/networks?name=private")["networks"]
        body = {"interfaceAttachment": {"net_id": networks[0]["id"]}}
        answer = self._ask("attach port", "POST", f"{COMPUTE}/servers/{server}/os-interface", body)
        if answer:
            port = answer["interfaceAttachment"]["port_id"]
            self._until(f"port {port} attached or given up", lambda: self._plugged(server, port))
            self._ask("detach port", "DELETE", f"{COMPUTE}/servers/{server}/os-interface/{port}")

    def _plugged(self, server: str, port: str) -> str | None:
        """Tell how the attachment of a port has ended, None while it has not."""
        listed = self._api.get(f"{COMPUTE}/servers/{server}/os-interface")["interfaceAttachments"]
        (state,) = [one["port_state"] for one in listed if one["port_id"] == port] or ["gone"]
        runs = self._api.get(f"{COMPUTE}/servers/{server}")["server"]["status"] == "ACTIVE"
        return None if runs and state in ("BUILD", "DOWN") else state

    def _act(self, server: str, action: str, argument: Any) -> None:
        self._ask(action, "POST", f"{COMPUTE}/servers/{server}/action", {action: argument})
        self._rest(server)

    # Networks

    def _make_network(self, name: str) -> str | None:
        answer = self._ask("network create", "POST", f"{NETWORK}/networks", {"network": {"name": name}})
        network = answer["network"]["id"] if answer else self._named(f"{NETWORK}/networks?name={name}", "networks")
        if network is None:
            return None
        cidr = f"10.{100 + self._number % 100}.0.0/24"
        subnet = {"subnet": {"network_id": network, "ip_version": 4, "cidr": cidr}}
        self._ask("subnet create", "POST", f"{NETWORK}/subnets", subnet)
        subnets = self._api.get(f"{NETWORK}/subnets?network_id={network}")["subnets"]
        for row in subnets:
            body = {"subnet_id": row["id"]}
            self._ask("router interface", "PUT", f"{NETWORK}/routers/{self._router}/add_router_interface", body)
        return network if subnets else None

    def _drop_network(self, network: str) -> None:
        for row in self._api.get(f"{NETWORK}/subnets?network_id={network}")["subnets"]:
            body = {"subnet_id": row["id"]}
            self._insist("PUT", f"{NETWORK}/routers/{self._router}/remove_router_interface", body)
        self._delete("network", f"{NETWORK}/networks/{network}")

    # What all of them do

    def _ask(self, what: str, method: str, path: str, body: Any = None) -> Any:
        """Send a request once; count how it went, and return its answer if there was one."""
        status, answer = self._api.call(method, path, body)
        if status == LOST:
            self._control.count("verbs: answers lost")
            return None
        if status in (400, 404, 409):  # what a kill before has left impossible: a stopped server cannot be paused
            self._control.count(f"verbs: refused, {what}")
            return None
        self._control.expect(status in ACCEPTED, f"{what}: {status} {answer}")
        self._control.count("verbs: accepted")
        return answer if status in ACCEPTED else None

    def _named(self, path: str, key: str) -> str | None:
        found = self._api.get(path)[key]
        return found[0]["id"] if found else None

    def _made(self, kind: str, body: dict[str, Any]) -> str | None:
        """Make something in block storage and wait until it has been made; None if it was not."""
        name = f"{kind}-{self._chance.getrandbits(48):x}"
        body = {kind: {**body[kind], "name": name}}
        answer = self._ask(f"{kind} create", "POST", f"{VOLUME}/{kind}s", body)
        id = answer[kind]["id"] if answer else self._named(f"{VOLUME}/{kind}s?name={name}", f"{kind}s")
        if id is None:
            return None
        if self._settle(f"{VOLUME}/{kind}s/{id}", kind, {"available", "error"}) == "available":
            return id
        self._control.count(f"{kind}: ended in error")
        self._delete(kind, f"{VOLUME}/{kind}s/{id}")
        return None

    def _rest(self, server: str) -> str:
        """Wait until nothing is at work on a server; return its status."""

        def rests() -> str | None:
            status, answer = self._api.insist("GET", f"{COMPUTE}/servers/{server}")
            if status == 404:
                return "gone"
            found = answer["server"]
            done = found["OS-EXT-STS:task_state"] is None and found["status"] not in ("BUILD", "REBUILD")
            return found["status"] if done else None

        status = self._until(f"server {server} at rest", rests)
        if status == "ERROR":
            fault = self._api.get(f"{COMPUTE}/servers/{server}")["server"].get("fault", {})
            self._control.count("server: ended in error")
            print(f"  server {server} in error: {fault.get('message')}", flush=True)
        return status

    def _settle(self, path: str, key: str, states: set[str]) -> str:
        def settled() -> str | None:
            status, answer = self._api.insist("GET", path)
            if status == 404:
                return "gone"
            return answer[key]["status"] if answer[key]["status"] in states else None

        return self._until(path, settled)

    def _until(self, what: str, check: Callable[[], str | None]) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while (found := check()) is None:
            if time.monotonic() > deadline:
                self._control.trouble(f"{what}: not within {PATIENCE_S:.0f} s")
                return "late"
            time.sleep(0.3)
        return found

    def _insist(self, method: str, path: str, body: Any = None) -> None:
        """Send a request until it is carried out, also one whose answer was lost."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, answer = self._api.call(method, path, body)
            if status in ACCEPTED or status == 404:
                return
            if time.monotonic() > deadline:
                self._control.trouble(f"{method} {path}: {status} {answer}")
                return
            time.sleep(0.5)

    def _delete(self, kind: str, path: str) -> None:
        """Delete something and wait until it is gone."""
        self._insist("DELETE", path)
        self._until(f"{kind} {path} gone", lambda: "gone" if self._api.insist("GET", path)[0] == 404 else None)
        self._control.count(f"{kind}s made and deleted")
