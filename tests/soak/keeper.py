"""A guest that stays, with a volume whose blocks are written from inside and remembered.

Rule: what ``dd conv=fsync`` has acknowledged in the guest must be in the volume's file at the end, whoever was killed.
"""

import random
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.real.api import ACCEPTED, COMPUTE, LOST, NETWORK, VOLUME, Api
from tests.soak.control import Control
from tests.soak.writers import Blocks

CHUNK_BLOCKS = 64
OPTIONS = {
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
    "ConnectTimeout": "5",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
}
WRITE = """
for b in vdb vdc vdd vde; do grep -qs {serial} /sys/block/$b/serial && d=$b; done
[ -n "$d" ] || exit 9
sudo dd of=/dev/$d bs=65536 seek={chunk} count={chunks} iflag=fullblock conv=fsync,notrunc 2>/dev/null
"""


class Keeper:
    """One server with a floating IP and a volume."""

    def __init__(self, api: Api, control: Control, chance: random.Random, key: Path, body: dict[str, Any]) -> None:
        self.api, self.control, self._chance, self._key = api, control, chance, key
        self.blocks = Blocks()
        self.snapshots: dict[str, Blocks] = {}
        self.volume: str = api.post(f"{VOLUME}/volumes", {"volume": {"size": 1, "name": "kept"}})["volume"]["id"]
        self.server: str = api.post(f"{COMPUTE}/servers", body)["server"]["id"]
        self.until("ACTIVE", 300)
        attachment = {"volumeAttachment": {"volumeId": self.volume}}
        api.post(f"{COMPUTE}/servers/{self.server}/os-volume_attachments", attachment)
        (port,) = api.get(f"{NETWORK}/ports?device_id={self.server}")["ports"]
        (public,) = api.get(f"{NETWORK}/networks?router:external=true")["networks"]
        floating = {"floatingip": {"floating_network_id": public["id"], "port_id": port["id"]}}
        made = api.post(f"{NETWORK}/floatingips", floating)["floatingip"]
        self.floating_ip, self.address = made["id"], made["floating_ip_address"]

    def status(self) -> str:
        return self.api.get(f"{COMPUTE}/servers/{self.server}")["server"]["status"]

    def until(self, wanted: str, patience_s: float) -> bool:
        """Wait for a status; tell whether it came."""
        deadline = time.monotonic() + patience_s
        while self.status() != wanted:
            if time.monotonic() > deadline:
                return False
            time.sleep(1)
        return True

    def write(self) -> None:
        """Write a chunk of random blocks from inside the guest; revive the guest if somebody killed it."""
        if not self.alive():
            return
        chunk = self._chance.randrange(Blocks.COUNT // CHUNK_BLOCKS)
        content = self._chance.randbytes(CHUNK_BLOCKS * Blocks.SIZE)
        first, chunks = chunk * CHUNK_BLOCKS, CHUNK_BLOCKS * Blocks.SIZE // 65536
        command = WRITE.format(serial=self.volume[:20], chunk=chunk * chunks, chunks=chunks)
        code = self.ssh(command, content)
        if code == 9:
            self.control.count("volume: guest was up before its disk")
            return
        self.blocks.written(first, content, surely=code == 0)
        self.control.count("volume: acknowledged KiB" if code == 0 else "volume: answers lost KiB", len(content) >> 10)

    def snapshot(self) -> None:
        """Take a snapshot of the volume while nobody writes, and remember what it must hold."""
        if len(self.snapshots) >= 4:
            return
        body = {"snapshot": {"volume_id": self.volume, "force": True, "name": "of-the-kept"}}
        kept = self.blocks.copy()
        status, answer = self.api.call("POST", f"{VOLUME}/snapshots", body)
        if status == LOST:
            self.control.count("snapshots: answers lost")
            return
        self.control.expect(status in ACCEPTED, f"the snapshot was refused: {status} {answer}")
        if status not in ACCEPTED:
            return
        id = answer["snapshot"]["id"]
        deadline = time.monotonic() + 300
        while (state := self.api.get(f"{VOLUME}/snapshots/{id}")["snapshot"]["status"]) == "creating":
            assert time.monotonic() < deadline, f"snapshot {id} is still creating after 300 s"
            time.sleep(0.5)
        if state == "available":
            self.snapshots[id] = kept
            self.control.count("snapshots: taken of a volume in use")
        else:
            self.control.count("snapshots: ended in error")

    def alive(self) -> bool:
        """Tell whether the guest can be logged into; start it again if it is off."""
        status = self.status()
        if status == "SHUTOFF":
            self.control.count("guests started again by their user")
            code, answer = self.api.call("POST", f"{COMPUTE}/servers/{self.server}/action", {"os-start": None})
            self.control.expect(code in (*ACCEPTED, LOST, 409), f"the start was refused: {code} {answer}")
            self.control.expect(self.until("ACTIVE", 300), f"the guest was not started within 300 s: {self.status()}")
        elif status == "ERROR":
            self.control.trouble(
                f"server {self.server} is in ERROR: {self.api.get(f'{COMPUTE}/servers/{self.server}')}"
            )
            self.api.call("POST", f"{COMPUTE}/servers/{self.server}/action", {"reboot": {"type": "HARD"}})
        deadline = time.monotonic() + 240
        while self.ssh("true") != 0:
            if self.status() != "ACTIVE":  # killed while it booted
                return False
            if time.monotonic() > deadline:
                self.control.trouble(f"no login to {self.address} for 240 s though the server is ACTIVE")
                return False
            time.sleep(2)
        return True

    def ssh(self, command: str, content: bytes = b"") -> int:
        """Run a command in the guest; return its exit code, 255 when there is no connection."""
        words = ["ssh", "-i", str(self._key), *(f"-o{name}={value}" for name, value in OPTIONS.items())]
        try:
            done = subprocess.run(
                [*words, f"demo@{self.address}", command], input=content, capture_output=True, timeout=90, check=False
            )
        except subprocess.TimeoutExpired:
            return 255
        return done.returncode

    def verify(self, files: Path, folder: Path) -> None:
        """Read the volume's and its snapshots' files on the host, the guest being off, and compare the bytes."""
        kept = {files / "volumes" / f"{self.volume}.qcow2": self.blocks}
        kept |= {files / "snapshots" / f"{id}.qcow2": blocks for id, blocks in self.snapshots.items()}
        for file, blocks in kept.items():
            raw = folder / "raw"
            subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(file), str(raw)], check=True)
            with raw.open("rb") as disk:

                def block(number: int, disk: Any = disk) -> bytes:
                    disk.seek(number * Blocks.SIZE)
                    return disk.read(Blocks.SIZE)

                wrong = blocks.wrong(block)
            raw.unlink()
            check = subprocess.run(["qemu-img", "check", "-q", str(file)], capture_output=True, text=True, check=False)
            self.control.expect(not wrong, f"{len(wrong)} of {len(blocks)} blocks of {file.name} are lost: {wrong[:9]}")
            self.control.expect(check.returncode in (0, 3), f"{file.name} is damaged: {check.stdout}{check.stderr}")
            self.control.count("volume: blocks verified", len(blocks))

    def stop(self) -> None:
        """Switch the guest off, so that its volume is at rest."""
        if self.status() == "ACTIVE":
            self.api.call("POST", f"{COMPUTE}/servers/{self.server}/action", {"os-stop": None})
            assert self.until("SHUTOFF", 200), self.status()

    def clear(self) -> None:
        """Delete everything."""
        self.api.delete(f"{NETWORK}/floatingips/{self.floating_ip}")
        self.api.delete(f"{COMPUTE}/servers/{self.server}")
        for id in self.snapshots:
            self.api.delete(f"{VOLUME}/snapshots/{id}")
