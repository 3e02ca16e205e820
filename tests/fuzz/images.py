"""``python -m tests.fuzz.images --minutes 10``: hostile disk images against the parser of their headers.

Images that qemu-img makes, of every format, are damaged at random from a seed.  For each of them: the parser answers or
refuses, within its time, alike in whatever pieces the bytes come; what it accepts is accepted by oslo.utils' inspectors
too, where they are installed, and names no other file to qemu-img itself.  Exit code 1 on a finding.
"""

import argparse
import io
import json
import logging
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from pileus.kernel.agent.children import confined
from pileus.kernel.disk_formats import HEAD_BYTES, QEMU_NAMES, Inspector, UnsafeImage

LIMIT_S = 0.25
"""How much of the processor's time one image of a few MiB may take; it takes a hundredth."""
MAKES = (
    ("qcow2", "qcow2", "compat=1.1"),
    ("qcow2", "qcow2", "compat=0.10"),
    ("vmdk", "vmdk", "subformat=monolithicSparse"),
    ("vmdk", "vmdk", "subformat=streamOptimized"),
    ("vmdk", "vmdk", "subformat=monolithicFlat"),
    ("vdi", "vdi", "static=off"),
    ("vhd", "vpc", "subformat=dynamic"),
    ("vhd", "vpc", "subformat=fixed"),
    ("vhdx", "vhdx", "block_size=1M"),
)
"""Disk format, qemu-img's name for it, options."""
WORDS = (
    b'createType="monolithicFlat"\n', b'#createType="monolithicFlat"\n', b'parentFileNameHint="canary"\n', b"\n" * 5000,
    b'# parentFileNameHint="canary"\n', b'RW 8 FLAT "canary" 0\n', b'RW 8 SPARSE "/canary"\n', b"\0", b"=" * 3000,
    b"QFI\xfb", b"KDMV", b"COWD", b"conectix", b"vhdxfile", b"metadata", b"regi", b"CD001", b" " * 5000, b"\xff" * 16,
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 4, 7, 63, 104, 255, 512, 1024, 1 << 16, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 64) - 1)
PLACES = (0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 56, 60, 64, 72, 76, 0x170, 512, 0x30000, 0x30008, 0x30020)


def corpus(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Return sound images by name: their disk format and bytes."""
    made: dict[str, tuple[str, bytes]] = {}
    for disk_format, name, options in MAKES:
        path = folder / f"{name}-{options}"
        command = ["qemu-img", "create", "-q", "-f", name, "-o", options, str(path), "1M"]
        subprocess.run(command, check=True, capture_output=True)
        made[path.name] = disk_format, path.read_bytes()
    made["vmdk-footer"] = "vmdk", with_footer(made["vmdk-subformat=streamOptimized"][1])
    made["raw"] = "raw", bytes(1 << 16)
    return made


def with_footer(image: bytes) -> bytes:
    """Return a stream-optimized VMDK as VMware writes it: the header says that the footer says it."""
    footer = image[:512]
    header = footer[:56] + b"\xff" * 8 + footer[64:]
    padded = image[512:] + bytes(-len(image) % 512)
    return header + padded + struct.pack("<QII", 1, 0, 3).ljust(512, b"\0") + footer + bytes(512)


def damaged(image: bytes, others: list[bytes], random: Random) -> bytes:
    """Return an image with a few things wrong."""
    data = bytearray(image)
    for _ in range(random.randint(1, 4)):
        match random.randrange(7):
            case 0:
                data = data[: random.choice((random.randrange(1200), random.randrange(len(data) + 1)))]
            case 1:
                place = min(random.choice(PLACES), max(0, len(data) - 8))
                layout = random.choice(("<I", ">I", "<Q", ">Q"))
                number = struct.pack(layout, random.choice(NUMBERS) & ((1 << 8 * struct.calcsize(layout)) - 1))
                data[place : place + len(number)] = number
            case 2:
                word, place = random.choice(WORDS), random.randrange(2048)
                data[place : place + len(word)] = word
            case 3:
                word, place = random.choice(WORDS), 512 + random.randrange(400)
                data[place:place] = word
            case 4:
                other = random.choice(others)
                data[: random.choice((4, 64, 512))] = other[: random.choice((4, 64, 512))]
            case 5:
                for _ in range(random.randint(1, 8)):
                    if data:
                        data[random.randrange(min(len(data), 2048))] = random.randrange(256)
            case _:
                data[-random.choice((512, 1024, 1536)) :] = random.choice(others)[:512] + bytes(random.choice((0, 7)))
    return bytes(data)


def pieces(data: bytes, random: Random) -> Iterator[bytes]:
    """Cut an image as a network would."""
    start, size = 0, random.choice((1000, 65536, 1 << 20))
    while start < len(data):
        yield data[start : start + size]
        start += size


def answer(inspector: Inspector, disk_format: str) -> str:
    """Return what an inspector says, accepted or refused, in words to compare."""
    try:
        return f"accepted: {inspector.check(disk_format)}"
    except UnsafeImage as refusal:
        return f"refused: {refusal}"


@dataclass
class Tally:
    """What has been tried and what was found."""

    answers: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def judge(self, disk_format: str, data: bytes, random: Random, folder: Path | None = None) -> None:
        """Try one image; ``folder``: where to put it for qemu-img, which is asked only then."""
        started = time.process_time()
        streamed = Inspector()
        for piece in pieces(data, random):
            streamed.feed(piece)
        early = ""
        if len(data) >= HEAD_BYTES:
            try:
                streamed.check_head(disk_format)
            except UnsafeImage as refusal:
                early = str(refusal)
        said = answer(streamed, disk_format)
        took_s = time.process_time() - started
        self.slowest_s = max(self.slowest_s, took_s)
        self.answers[said.partition(":")[0]] += 1
        at_rest = answer(Inspector.of_file(io.BytesIO(data)), disk_format)
        problems = [
            (took_s > LIMIT_S, f"it took {took_s:.2f} s"),
            (at_rest != said, f"as a file {at_rest}"),
            (early and said.startswith("accepted"), f"its head was refused: {early}"),
        ]
        if said.startswith("accepted"):
            problems.append((bool(complaint := oslo_refuses(disk_format, data)), f"oslo.utils refuses it: {complaint}"))
            if folder is not None:
                problems.append((bool(named := other_files(disk_format, data, folder)), f"qemu-img names {named}"))
        self.findings += [f"{disk_format}, {said}: {words}" for wrong, words in problems if wrong]


def oslo_refuses(disk_format: str, data: bytes) -> str:
    """Return why oslo.utils' inspector of the format finds the image unsafe; empty when it does not, or is not here."""
    try:
        from oslo_utils.imageutils import format_inspector
    except ImportError:
        return ""
    kind = format_inspector.get_inspector(disk_format)
    if kind is None or disk_format == "raw":
        return ""
    inspector = kind()
    try:
        inspector.eat_chunk(data)
        inspector.finish()
        if inspector.format_match:  # it does not know a fixed VHD, nor a header shorter than a sector
            inspector.safety_check()
    except format_inspector.SafetyCheckFailed as failed:
        found = set(map(str, failed.failures))
        if disk_format == "qcow2" and data[4:8] == b"\x00\x00\x00\x02":
            found -= {"data_file", "unknown_features"}  # version 2 has no features: extensions stand there already
        return ", ".join(sorted(found))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def other_files(disk_format: str, data: bytes, folder: Path) -> str:
    """Return which other file qemu-img finds the image to refer to; empty when it finds none or cannot read it."""
    path = folder / "image"
    path.write_bytes(data)
    limits = confined(memory_bytes=1 << 30, cpu_s=10, file_bytes=0, user=None)
    command = (*limits, "qemu-img", "info", "--output=json", "-f", QEMU_NAMES[disk_format], str(path))
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, cwd=folder)
    if done.returncode:
        return ""
    found = json.loads(done.stdout)
    specific = found.get("format-specific", {}).get("data", {})
    names = {extent.get("filename") for extent in specific.get("extents", [])} - {str(path)}
    names |= {found.get("backing-filename"), specific.get("data-file")}
    return ", ".join(str(name) for name in names if name)


def run(seed: int, until: float, folder: Path | None, made: dict[str, tuple[str, bytes]], most: int = 1 << 62) -> Tally:
    """Try damaged images until the time is over or ``most`` of them have been tried."""
    tally, random = Tally(), Random(seed)
    whole = [data for _, data in made.values()]
    names = sorted(made)
    for number in range(most):
        if time.monotonic() > until:
            break
        disk_format, image = made[names[number % len(names)]]
        tally.judge(disk_format, damaged(image, whole, random), random, folder)
    return tally


def main() -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.images", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long in all (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="the seed everything follows from (default 0)")
    words = parser.parse_args()
    logging.getLogger("oslo_utils").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chmod(folder, 0o755)
        tally = run(words.seed, time.monotonic() + words.minutes * 60, folder, corpus(folder))
    print(f"{sum(tally.answers.values()):,} images: {dict(tally.answers)}, slowest {tally.slowest_s * 1000:.1f} ms")
    for finding, times in Counter(tally.findings).most_common(50):
        print(f"{times} x {finding}")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
