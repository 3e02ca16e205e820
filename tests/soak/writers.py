"""Users whose every write is remembered: rows of three services, objects by their hash, blocks of a volume.

Rule: an acknowledged write must be found for ever after; one whose answer was lost is found whole or not at all.
"""

import hashlib
import random
import threading
from collections.abc import Callable
from typing import Any

from tests.real.api import ACCEPTED, IMAGE, LOST, NETWORK, VOLUME, Api
from tests.soak.control import Control


class Rows:
    """Small rows of one kind: made, changed and deleted by name; ``kept`` is what was acknowledged last."""

    def __init__(self, api: Api, control: Control, chance: random.Random, kind: "Kind", names: int = 40) -> None:
        self._api, self._control, self._chance, self._kind = api, control, chance, kind
        self.kept: dict[str, str] = {}
        self._names = [f"soak-{kind.name}-{number}" for number in range(names)]

    def write(self) -> None:
        """Make, change or delete one; resolve a lost answer by reading."""
        name, kind = self._chance.choice(self._names), self._kind
        before = self.kept.get(name)
        after: str | None = f"value-{self._chance.getrandbits(64):x}"
        if before is not None and self._chance.random() < 0.2:
            after = None
        status, answer = kind.write(self._api, name, before, after)
        if status == LOST:
            self._control.count(f"{kind.name}: answers lost")
            found = kind.read(self._api).get(name)
            self._control.expect(found in (before, after), f"{name} is {found}, neither {before} nor {after}")
            after = found
        elif status in ACCEPTED:
            self._control.count(f"{kind.name}: acknowledged")
        else:
            self._control.trouble(f"{kind.name} {name} was refused: {status} {answer}")
            return
        if after is None:
            self.kept.pop(name, None)
        else:
            self.kept[name] = after

    def verify(self) -> None:
        """Compare what is there with what was acknowledged."""
        found = self._kind.read(self._api)
        for name in sorted(self.kept.keys() | found.keys()):
            if name in self._names:
                wanted, there = self.kept.get(name), found.get(name)
                self._control.expect(wanted == there, f"{name} is {there}, acknowledged was {wanted}")
        self._control.count(f"{self._kind.name}: verified", len(self.kept))


class Kind:
    """How rows of one kind are written and read."""

    def __init__(
        self,
        name: str,
        write: Callable[[Api, str, str | None, str | None], tuple[int, Any]],
        read: Callable[[Api], dict[str, str]],
    ) -> None:
        self.name, self.write, self.read = name, write, read


def write_group(api: Api, name: str, before: str | None, after: str | None) -> tuple[int, Any]:
    """Write a security group, its value in the description."""
    path = f"{NETWORK}/security-groups"
    if before is None:
        return api.call("POST", path, {"security_group": {"name": name, "description": after}})
    (row,) = api.get(f"{path}?name={name}")["security_groups"]
    if after is None:
        return api.call("DELETE", f"{path}/{row['id']}")
    return api.call("PUT", f"{path}/{row['id']}", {"security_group": {"description": after}})


def read_groups(api: Api) -> dict[str, str]:
    rows = api.get(f"{NETWORK}/security-groups")["security_groups"]
    return {row["name"]: row["description"] for row in rows}


def write_image(api: Api, name: str, before: str | None, after: str | None) -> tuple[int, Any]:
    """Write an image's record, its value in a property; it never gets data."""
    path = f"{IMAGE}/images"
    if before is None:
        return api.call("POST", path, {"name": name, "soak": after})
    (row,) = api.get(f"{path}?name={name}")["images"]
    if after is None:
        return api.call("DELETE", f"{path}/{row['id']}")
    change = [{"op": "replace", "path": "/soak", "value": after}]
    return api.call("PATCH", f"{path}/{row['id']}", change, kind="application/openstack-images-v2.1-json-patch")


def read_images(api: Api) -> dict[str, str]:
    return {row["name"]: row["soak"] for row in api.get(f"{IMAGE}/images?limit=1000")["images"] if "soak" in row}


def volume_metadata(volume_id: str) -> Kind:
    """Return the kind of rows that are metadata of one volume."""
    path = f"{VOLUME}/volumes/{volume_id}/metadata"

    def write(api: Api, name: str, before: str | None, after: str | None) -> tuple[int, Any]:
        if after is None:
            return api.call("DELETE", f"{path}/{name}")
        return api.call("POST", path, {"metadata": {name: after}})

    return Kind("volume metadata", write, lambda api: api.get(path)["metadata"])


GROUPS = Kind("security groups", write_group, read_groups)
IMAGES = Kind("images", write_image, read_images)


class Objects:
    """Objects of one container, remembered by the hash of their bytes."""

    def __init__(self, api: Api, control: Control, chance: random.Random, names: int = 120) -> None:
        self._api, self._control, self._chance = api, control, chance
        self._container = f"/object-store/v1/AUTH_{api.project_id}/soak"
        status, answer = api.call("PUT", self._container)
        assert status in ACCEPTED, answer
        self._names = [f"object-{number}" for number in range(names)]
        self.kept: dict[str, str] = {}

    def write(self) -> None:
        """Put, delete or read one object; resolve a lost answer by reading."""
        name = self._chance.choice(self._names)
        before, path = self.kept.get(name), f"{self._container}/{name}"
        draw = self._chance.random()
        if before is not None and draw < 0.2:
            found = self._hash(name)
            self._control.expect(found == before, f"{name} reads {found}, acknowledged was {before}")
            self._control.count("objects: read back")
            return
        if before is not None and draw < 0.3:
            after, (status, answer) = None, self._api.call("DELETE", path)
        else:
            size = self._chance.choice((0, 1, 700, 4096, 65_537, 300_000, 2_500_000))
            content = self._chance.randbytes(size)
            after, (status, answer) = hashlib.sha256(content).hexdigest(), self._api.call("PUT", path, content=content)
            self._control.count("objects: bytes sent", size)
        if status == LOST:
            self._control.count("objects: answers lost")
            found = self._hash(name)
            self._control.expect(found in (before, after), f"{name} is {found}, neither {before} nor {after}")
            after = found
        elif status in ACCEPTED:
            self._control.count("objects: acknowledged")
        else:
            self._control.trouble(f"object {name} was refused: {status} {answer}")
            return
        if after is None:
            self.kept.pop(name, None)
        else:
            self.kept[name] = after

    def verify(self) -> None:
        """Read every object and compare its hash; and compare the listing."""
        for name in self._names:
            wanted, found = self.kept.get(name), self._hash(name)
            self._control.expect(wanted == found, f"{name} reads {found}, acknowledged was {wanted}")
        listed = {row["name"] for row in self._api.get(f"{self._container}?format=json")}
        self._control.expect(listed == self.kept.keys(), f"the listing differs: {listed ^ self.kept.keys()}")
        self._control.count("objects: verified", len(self.kept))

    def clear(self) -> None:
        """Delete them all, and the container."""
        for name in list(self.kept):
            self._api.delete(f"{self._container}/{name}")
        self._api.delete(self._container)

    def _hash(self, name: str) -> str | None:
        status, content = self._api.insist("GET", f"{self._container}/{name}")
        assert status in (200, 404), f"GET {name}: {status} {content}"
        return None if status == 404 else hashlib.sha256(content).hexdigest()


class Blocks:
    """What a volume holds, block by block; thread-safe, since a snapshot copies it while its writer rests."""

    SIZE, SECTOR, COUNT = 4096, 512, 4096

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._possible: dict[int, list[bytes]] = {}

    def written(self, first: int, content: bytes, *, surely: bool) -> None:
        """Note blocks that were written, surely or perhaps."""
        with self._lock:
            for number in range(len(content) // self.SIZE):
                block = content[number * self.SIZE : (number + 1) * self.SIZE]
                known = self._possible.get(first + number, [bytes(self.SIZE)])
                self._possible[first + number] = [block] if surely else [*known, block]

    def copy(self) -> "Blocks":
        other = Blocks()
        with self._lock:
            other._possible = {number: list(blocks) for number, blocks in self._possible.items()}
        return other

    def wrong(self, disk: Callable[[int], bytes]) -> list[int]:
        """Return the blocks of which a sector is none of what it may be; ``disk(number)`` reads a block."""
        return [number for number, blocks in self._possible.items() if not self._fits(disk(number), blocks)]

    def _fits(self, found: bytes, blocks: list[bytes]) -> bool:
        sectors = range(0, self.SIZE, self.SECTOR)
        return all(any(found[at : at + self.SECTOR] == one[at : at + self.SECTOR] for one in blocks) for at in sectors)

    def __len__(self) -> int:
        return len(self._possible)
