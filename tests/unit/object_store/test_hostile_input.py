"""Archives and manifests made to cost, by a seeded dice and with a clock: none may take long, or end unexpectedly."""

import asyncio
import bz2
import io
import json
import random
import tarfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import create_engine

from pileus.kernel.db import Row, Tx
from pileus.kernel.db.session import Session
from pileus.kernel.errors import Invalid, TooLarge
from pileus.services.object_store import store
from pileus.services.object_store.app import content
from pileus.services.object_store.app.archives import KINDS, PIECE_BYTES, Archive, BadArchive, unpacked
from pileus.services.object_store.app.conditions import Range
from pileus.services.object_store.app.manifests import read_entries
from pileus.services.object_store.app.objects import Path
from pileus.services.object_store.model import ContainerRow, ObjectRow

ONE_INPUT_S = 0.25
"""CPU time: the machine may be busy with other things."""


@contextmanager
def clocked(what: object) -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < ONE_INPUT_S, what


def an_archive(dice: random.Random) -> bytes:
    """Return a sound archive of a few files, in one of the formats."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=dice.choice([0, 1, 2])) as archive:
        for _ in range(dice.randint(0, 4)):
            member = tarfile.TarInfo(dice.choice(["a", "box/b", "c/" * 40 + "x" * dice.choice([1, 150]), "d\u00fc"]))
            member.size = dice.choice([0, 1, 511, 512, 2000])
            try:
                archive.addfile(member, io.BytesIO(bytes(member.size)))
            except ValueError:
                continue  # ustar has no room for the name
    return buffer.getvalue()


def a_header(dice: random.Random) -> bytes:
    """Return a header with a right checksum and whatever else in it."""
    info = tarfile.TarInfo("n" * dice.randint(1, 99))
    info.type = dice.choice([b"x", b"g", b"L", b"K", b"S", b"0", b"5", b"1", b"Z", b"\xff"])
    info.size = dice.choice([0, 1, 512, 65536, 65537, 400 << 20, (1 << 33) - 1, 1 << 62])
    records = dice.choice([b"", b"9 path=x\n", b"99999999999 path=x\n", b"5 a=\n" * 2000, b"0 =\n", b"13 size=9999\n"])
    return info.tobuf(tarfile.GNU_FORMAT) + records + bytes(-len(records) % 512)


def spoilt(dice: random.Random) -> bytes:
    """Return an archive with something wrong: bytes changed, parts cut out, headers put in."""
    data = bytearray(an_archive(dice))
    for _ in range(dice.randint(0, 3)):
        at = dice.randrange(len(data) // 512 + 1) * 512
        match dice.randrange(3):
            case 0:
                data[at + dice.randrange(512) : at + 512] = dice.randbytes(dice.randint(0, 8))
            case 1:
                del data[at : at + dice.choice([100, 512])]
            case 2:
                data[at:at] = a_header(dice)
    return bytes(data)


def packed(dice: random.Random, kind: str, data: bytes) -> bytes:
    """Return the archive compressed as its kind has it, cut short now and then."""
    if kind == "tar.gz":
        packer = zlib.compressobj(1, wbits=31)
        data = packer.compress(data) + packer.flush()
    elif kind == "tar.bz2":
        data = bz2.compress(data, 1)
    return data[: dice.randint(0, len(data))] if dice.random() < 0.2 else data


async def in_chunks(dice: random.Random, data: bytes) -> AsyncIterator[bytes]:
    step = dice.choice([100, 512, 5000, len(data) + 1])
    for at in range(0, len(data), step):
        yield data[at : at + step]


async def read_all(archive: Archive, dice: random.Random) -> None:
    async for member in archive.members():
        assert member.size >= 0
        if dice.random() < 0.7:
            async for chunk in archive.content():
                assert 0 < len(chunk) <= PIECE_BYTES


@pytest.mark.parametrize("kind", KINDS)
async def test_no_archive_takes_long(kind: str) -> None:
    dice = random.Random(kind)
    ends: set[str] = set()
    for number in range(150):
        data = packed(dice, kind, spoilt(dice))
        with clocked((kind, number)):
            try:
                await read_all(Archive(unpacked(in_chunks(dice, data), kind)), dice)
                ends.add("read")
            except BadArchive as error:
                ends.add(str(error))
    assert "read" in ends
    assert len(ends) > 5


async def test_what_tarfile_packs_is_read_as_it_reads_it() -> None:
    dice = random.Random(7)
    for _ in range(60):
        data = an_archive(dice)
        found = [
            (member.name, member.size) async for member in Archive(unpacked(in_chunks(dice, data), "tar")).members()
        ]
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert found == [(member.name, member.size) for member in archive if member.isfile()]


async def test_many_entries_leave_room_for_others() -> None:
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    archive = Archive(unpacked(in_chunks(random.Random(1), folder.tobuf() * 3000), "tar"))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    with clocked("entries"):
        await read_all(archive, random.Random(1))
    counting.cancel()
    assert turns >= 10


def a_manifest(dice: random.Random) -> bytes:
    """Return what a client might send as a manifest, most of it wrong."""
    good: dict[str, Any] = {"path": "/box/o", "etag": "0" * 32, "size_bytes": 1, "range": "0-0"}
    wrong = [None, "", -1, 1 << 70, "9" * 5000, [], {}, "\0", "/", "a/b/c", True, 1.5]
    entries: list[Any] = [dict(good) for _ in range(dice.choice([0, 1, 3, 1000, 1001]))]
    for entry in entries[:3]:
        entry[dice.choice([*good, "data", "colour"])] = dice.choice(wrong)
    data = json.dumps(dice.choice([entries, entries, entries, {"a": entries}, 7])).encode()
    return dice.choice([data, data, data[: len(data) // 2], b"[" * 20000 + data, b"[" + b"1," * 300000 + b"1]"])


def test_no_manifest_takes_long() -> None:
    dice = random.Random(3)
    for number in range(30):
        data = a_manifest(dice)
        with clocked(number):
            try:
                assert 1 <= len(read_entries(data)) <= 1000
            except (Invalid, TooLarge):
                continue


@pytest.fixture
def box() -> Iterator[tuple[Tx, ContainerRow]]:
    engine = create_engine("sqlite://")
    Row.metadata.create_all(engine)
    with Session(engine) as tx:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        yield tx, store.insert_container(tx, store.ensure_account(tx, "AUTH_a", now), "box", now)


class Reads:
    """A database of one transaction, which counts what is asked of it."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.count = 0

    async def read(self, work: Callable[..., Any], *args: Any) -> Any:
        self.count += 1
        return work(self._tx, *args)


async def test_any_range_of_any_manifest_is_what_its_parts_are(box: tuple[Tx, ContainerRow]) -> None:
    """Manifests of manifests with ranges, against the bytes written out whole."""
    tx, container = box
    dice = random.Random(11)
    whole: dict[str, list[tuple[str, int]]] = {}
    rows: dict[str, ObjectRow] = {}

    def add(name: str, size: int, segments: list[dict[str, Any]] | None) -> None:
        blob = f"hash/{name}" if segments is None else None
        rows[name] = ObjectRow(
            container_id=container.id, name=name, size=size, own_bytes=size if blob else 0, etag=name.zfill(32),
            content_type="a/b", updated_at=datetime(2026, 1, 1, tzinfo=UTC), headers={}, blob=blob, segments=segments,
        )  # fmt: skip
        store.insert_object(tx, rows[name])

    for i in range(6):
        size = dice.randint(1, 9)
        add(f"o{i}", size, None)
        whole[f"o{i}"] = [(f"hash/o{i}", at) for at in range(size)]
    for i in range(14):
        segments = []
        units: list[tuple[str, int]] = []
        for name in dice.choices(sorted(whole), k=dice.randint(1, 5)):
            first = dice.randrange(len(whole[name]))
            last = dice.randrange(first, min(len(whole[name]), first + 40))
            units += whole[name][first : last + 1]
            segment: dict[str, Any] = {"path": f"/box/{name}", "hash": name.zfill(32), "bytes": len(whole[name])}
            segment["range"] = f"{first}-{last}"
            segments.append(segment | ({"sub_slo": True} if rows[name].segments is not None else {}))
        add(f"m{i:02}", len(units), segments)
        whole[f"m{i:02}"] = units
    with clocked("ranges"):
        for _ in range(60):
            name = dice.choice(sorted(whole))
            start = dice.randrange(len(whole[name]))
            end = dice.randint(start + 1, min(len(whole[name]), start + 20))
            reads = Reads(tx)
            found = await content.content_of(reads, Path("AUTH_a", "box", name), rows[name], lambda row: None)  # type: ignore[arg-type]
            parts = [part async for part in found.parts(Range(start, end))]
            got = [(part.blob, part.start + at) for part in parts for at in range(part.length)]
            assert got == whole[name][start:end]
            assert reads.count <= 1 + (end - start) * content.MAX_DEPTH // content.BATCH
