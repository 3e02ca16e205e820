"""Upload and download of one large object and one large image, beside what the disk itself does."""

import asyncio
import subprocess
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.cloud import FakeCloud
from bench.http import Connection
from bench.requests import Progress

SIZE = 1 << 30
CHUNK = 1 << 20


@dataclass(frozen=True)
class Stream:
    """One direction: MB/s, and by how many MB the server's memory grew while it ran."""

    name: str
    mb_per_s: float
    share_of_disk: float
    grew_mb: float


async def run(cloud: FakeCloud, say: Progress) -> list[Stream]:
    """Measure writing and reading with dd, then objects, then images."""
    written, read = disk(cloud, say)
    token = await cloud.login("admin")
    connection = Connection(cloud.url, {"X-Auth-Token": token})
    projects = (await connection.request("GET", "/identity/v3/auth/projects")).json()["projects"]
    account = f"/object-store/v1/AUTH_{next(p['id'] for p in projects if p['name'] == 'admin')}"
    (await connection.request("PUT", f"{account}/bench")).expect(201, 202)
    body = {"name": "big", "disk_format": "raw", "container_format": "bare"}
    image = (await connection.request("POST", "/image/v2/images", body)).expect(201).json()["id"]
    file = f"/image/v2/images/{image}/file"
    found = []
    for name, method, path, rate in (
        ("object upload", "PUT", f"{account}/bench/big", written),
        ("object download", "GET", f"{account}/bench/big", read),
        ("image upload", "PUT", file, written),
        ("image download", "GET", file, read),
    ):
        say(name)
        before = cloud.pss_mb()
        peak, seconds = await transfer(cloud, token, method, path)
        speed = SIZE / seconds / 1e6
        found.append(Stream(name, speed, speed / rate, max(0.0, peak - before)))
    connection.close()
    return found


def disk(cloud: FakeCloud, say: Progress) -> tuple[float, float]:
    """Return MB/s of writing with one sync at the end, and of reading back past the page cache."""
    say("the disk alone")
    file = cloud.state / "dd"
    rates = []
    for words in (["if=/dev/zero", f"of={file}", "conv=fdatasync"], [f"if={file}", "of=/dev/null", "iflag=direct"]):
        started = time.monotonic()
        subprocess.run(["dd", *words, "bs=1M", "count=1024"], check=True, capture_output=True)
        rates.append(SIZE / (time.monotonic() - started) / 1e6)
    file.unlink()
    return rates[0], rates[1]


async def transfer(cloud: FakeCloud, token: str, method: str, path: str) -> tuple[float, float]:
    """Send or fetch 1 GiB; return the server's peak memory meanwhile in MB, and the seconds."""
    parts = urlsplit(cloud.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=CHUNK)
    head = f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nX-Auth-Token: {token}\r\nConnection: close\r\n"
    started, peak = time.monotonic(), 0.0
    if method == "PUT":
        writer.write(f"{head}Content-Type: application/octet-stream\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        block = bytes(CHUNK)
        for number in range(SIZE // CHUNK):
            writer.write(block)
            await writer.drain()
            if number % 128 == 0:
                peak = max(peak, cloud.pss_mb())
    else:
        writer.write(f"{head}\r\n".encode())
    answer, number = await reader.readuntil(b"\r\n\r\n"), 0
    if int(answer.split()[1]) >= 300:
        raise RuntimeError(answer.decode())
    while block := await reader.read(CHUNK):
        number += 1
        if number % 512 == 0:
            peak = max(peak, cloud.pss_mb())
    seconds = time.monotonic() - started
    writer.close()
    return peak, seconds
