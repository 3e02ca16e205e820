"""From a specification to QEMU's command line: what a guest sees is what was specified."""

import json
from itertools import pairwise

import pytest

from pileus.services.compute.commands import Blank, Disk, FromImage, GuestSpec, LocalFile, NbdSocket, Nic
from pileus.services.compute.drivers.qemu.arguments import (
    DiskFile,
    Sockets,
    block_node,
    command_line,
    disk_device,
    node_name,
)
from pileus.services.compute.drivers.qemu.slots import SPARE, Slots, first_slots

VOLUME = "0b0f1c3e-2f6a-4f0e-9f1d-6a7f4c3d2e1b"
ROOT = Disk(
    id="root", source=FromImage(image_id="i", path="/i", format="qcow2", size_gib=1), boot_index=0, serial="s" * 36
)
NIC = Nic(port_id="p1", mac="fa:16:3e:00:00:01", tap="t1", mtu=1450)


def line(*disks: Disk, nics: tuple[Nic, ...] = (), accelerator: str = "tcg", slots: Slots | None = None) -> list[str]:
    spec = GuestSpec(id="g" * 8, name="a name, with=signs", vcpus=2, memory_mib=256, disks=disks, nics=nics)
    files = {disk.id: DiskFile(f"/disks/{disk.id}", "qcow2") for disk in disks}
    taps = {nic.port_id: 40 + index for index, nic in enumerate(nics)}
    slots = slots or first_slots(spec)
    return command_line(spec, files, Sockets(10, 11, "/run/vnc"), taps, slots, accelerator=accelerator)


def values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(arguments) if name == option]


def devices(arguments: list[str]) -> list[dict[str, object]]:
    return [json.loads(value) for value in values(arguments, "-device") if value.startswith("{")]


def test_size_and_identity() -> None:
    arguments = line(ROOT)
    assert values(arguments, "-smp") == ["2"]
    assert values(arguments, "-m") == ["256M"]
    assert values(arguments, "-uuid") == ["g" * 8]
    assert not any("signs" in word for word in arguments), "a user's words must not reach QEMU's option parser"


def test_every_disk_and_card_has_a_port_of_its_own_and_some_are_spare() -> None:
    further = Disk(id=VOLUME, source=LocalFile(path="/v", format="qcow2"))
    arguments = line(ROOT, further, nics=(NIC,))
    ports = [device["bus"] for device in devices(arguments)]
    assert ports == ["port0", "port1", "port2"]
    roots = [value for value in values(arguments, "-device") if value.startswith("pcie-root-port")]
    assert len(roots) == 3 + SPARE
    assert len({value.split("addr=")[1].split(",")[0] for value in roots}) == len(roots)


def test_a_sleeper_wakes_with_its_devices_where_they_were() -> None:
    arguments = line(ROOT, nics=(NIC,), slots=Slots(12, {"disk-root": 0, "nic-p1": 7}))
    assert [device["bus"] for device in devices(arguments)] == ["port0", "port7"]


def test_the_guest_is_confined_and_outlives_nobody_by_mistake() -> None:
    arguments = line(ROOT)
    assert "spawn=deny" in values(arguments, "-sandbox")[0]
    assert {"-S", "-no-shutdown", "-nodefaults"} <= set(arguments)


def test_emulation_and_hardware() -> None:
    assert values(line(ROOT), "-accel") == ["tcg,tb-size=64"]
    assert values(line(ROOT, accelerator="kvm"), "-cpu") == ["host"]


def test_serial_numbers_are_cut_to_what_virtio_carries() -> None:
    assert disk_device(ROOT, "port0")["serial"] == "s" * 20
    assert "bootindex" not in disk_device(Disk(id="x", source=Blank(size_mib=1), boot_index=-1), "port1")


def test_a_card_tells_its_mtu_and_brings_no_boot_rom() -> None:
    (card,) = (device for device in devices(line(nics=(NIC,))) if device["driver"] == "virtio-net-pci")
    assert (card["host_mtu"], card["romfile"], card["mac"]) == (1450, "", NIC.mac)
    assert values(line(nics=(NIC,)), "-netdev") == ["tap,id=net-p1,fd=40"]


@pytest.mark.parametrize("disk_id", ["root", VOLUME, "x" * 100])
def test_block_nodes_have_names_that_qemu_accepts(disk_id: str) -> None:
    name = node_name(disk_id)
    assert len(name) <= 31
    assert name[0].isalpha()


def test_volumes_over_nbd_are_raw_and_find_their_server_again() -> None:
    disk = Disk(id=VOLUME, source=NbdSocket(path="/n", export="e", read_only=True))
    node = block_node(disk, DiskFile("/n", export="e", read_only=True))
    assert node["driver"] == "raw"
    assert node["read-only"] is True
    assert node["file"]["server"] == {"type": "unix", "path": "/n"}
    assert node["file"]["reconnect-delay"] > 0


def test_scsi_disks_get_their_controller() -> None:
    scsi = Disk(id="x", source=Blank(size_mib=1), bus="scsi")
    assert "virtio-scsi-pci,id=scsi0" in values(line(ROOT, scsi), "-device")
    assert "virtio-scsi-pci,id=scsi0" not in values(line(ROOT), "-device")
