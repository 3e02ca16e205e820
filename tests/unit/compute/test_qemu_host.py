"""Guests' processes get no right of root's for the sake of /dev/kvm."""

import os
from pathlib import Path

import pytest

from pileus.services.compute.drivers.qemu import host


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to groups")
@pytest.mark.parametrize(
    ("group", "mode", "groups", "accelerator"),
    [(60901, 0o660, [60901], "kvm"), (0, 0o660, [], "tcg"), (0, 0o666, [], "kvm"), (60901, 0o600, [], "tcg")],
)
def test_roots_group_is_never_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int, mode: int, groups: list[int], accelerator: str
) -> None:
    device = tmp_path / "kvm"
    device.touch()
    os.chown(device, 0, group)
    device.chmod(mode)
    monkeypatch.setattr(host, "_processor", lambda: {"flags": "fpu vmx"})
    assert host.kvm_groups(device) == groups
    assert host.accelerator(60900, device) == accelerator
    assert host.accelerator(None, device) == "kvm"


def test_without_the_device_there_is_no_group(tmp_path: Path) -> None:
    assert host.kvm_groups(tmp_path / "kvm") == []
