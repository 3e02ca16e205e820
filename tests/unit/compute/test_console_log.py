"""A guest's console log stays bounded, keeps its end, and is not torn from under the process that writes it."""

from pathlib import Path

from pileus.services.compute.drivers.qemu.console import LIMIT_BYTES, tail, trim


def test_a_long_log_is_cut_to_its_end_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(3 * LIMIT_BYTES // 16):
            writer.write(b"line %010d\n" % number)
        trim(log)
        assert log.stat().st_size == LIMIT_BYTES
        writer.write(b"after\n")
    assert log.stat().st_size == LIMIT_BYTES + 6
    assert tail(log).endswith(b"line 0000196607\nafter\n")


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"x" * (2 * LIMIT_BYTES))
    trim(log)
    assert log.stat().st_size == 2 * LIMIT_BYTES


def test_no_log_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "absent") == b""
