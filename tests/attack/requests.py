"""Requests as no client writes them, over bare sockets to a server of a fake cloud.

Rule: each is answered once at most, by no failure of the server's own, and with nothing that is not its sender's.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

FOREIGN = (b"root:x:", b"SQLite format 3", b"[cloud]", b"-----BEGIN")
"""What no answer may hold: files of the host, and secrets."""
LED = (b"//evil.example", b"\nset-cookie: smuggled")
"""What no head of an answer may hold: where the sender wants others to go, and what to be told."""
PATIENCE_S = 5.0
END = b"Connection: close\r\n\r\n"
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3})")


@dataclass(frozen=True)
class Case:
    """One way: what is sent, and which statuses are right; ``answers``: how many there may be at most."""

    subject: str
    name: str
    sent: bytes
    right: Callable[[int], bool]
    answers: int = 1


def refused(status: int) -> bool:
    """Tell whether the request was turned down by the server's reading of it."""
    return 400 <= status < 500 or status in (501, 505)


def anything(status: int) -> bool:
    """Tell whether it was answered by something else than a failure of the server's."""
    return status < 500 or status in (501, 505)


def get(path: str, *heads: str, method: str = "GET", host: str = "cloud.test") -> bytes:
    """Return a request without a body."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *heads]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n" + END


def post(heads: list[str], body: bytes) -> bytes:
    """Return a log-in with headers and a body as they are given."""
    lines = ["POST /identity/v3/auth/tokens HTTP/1.1", "Host: cloud.test", "Content-Type: application/json", *heads]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n" + END + body


INNER = b"GET /openapi.json HTTP/1.1\r\nHost: cloud.test\r\n\r\n"
CHUNKED = b"2\r\n{}\r\n0\r\n\r\n"


def smuggling() -> list[Case]:
    """Return requests of which two readers see different ends."""
    both = b"0\r\n\r\n" + INNER
    found = [
        Case("smuggling", f"length and {name}", post([f"Content-Length: {len(both)}", te], both), anything)
        for name, te in (
            ("chunks", "Transfer-Encoding: chunked"), ("chunks, spelt with a space", "Transfer-Encoding : chunked"),
            ("chunks after a tab", "Transfer-Encoding:\tchunked"), ("chunks in capitals", "Transfer-Encoding: Chunked"),
            ("no coding there is", "Transfer-Encoding: xchunked"),
            ("two codings", "Transfer-Encoding: chunked, identity"),
            ("chunks, folded", "Transfer-Encoding:\r\n chunked"), ("chunks in quotes", 'Transfer-Encoding: "chunked"'),
            ("chunks with a NUL", "Transfer-Encoding: chunked\x00"),
            ("chunks below", "X: y\nTransfer-Encoding: chunked"),
        )
    ]  # fmt: skip
    found += [
        Case("smuggling", f"a length of {length!r}", post([f"Content-Length: {length}"], b"{}" + INNER), refused)
        for length in ("+2", "-2", "0x2", "2 2", "2,3", "", "1e1", "9" * 40, "2\x0b", "\u00b2")
    ]
    found += [
        Case("smuggling", "two lengths", post(["Content-Length: 2", f"Content-Length: {2 + len(INNER)}"],
                                              b"{}" + INNER), refused),
        Case("smuggling", "a length with a space", post(["Content-Length : 2"], b"{}"), refused),
        Case("smuggling", "a folded header", post(["Content-Length: 2", "X-A: b\r\n c"], b"{}"), anything),
        Case("smuggling", "two codings", post(["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
                                              CHUNKED + INNER), anything),
        Case("smuggling", "a chunk of no size", post(["Transfer-Encoding: chunked"], b"x\r\n{}\r\n0\r\n\r\n"), refused),
        Case("smuggling", "a chunk of a size beyond numbers", post(["Transfer-Encoding: chunked"],
                                                                  b"F" * 40 + b"\r\n{}"), refused),
        Case("smuggling", "a chunk of a size below nothing", post(["Transfer-Encoding: chunked"],
                                                                  b"-2\r\n{}\r\n0\r\n\r\n"), refused),
        Case("smuggling", "a body on a read", get("/identity/v3", "Content-Length: 5") + INNER[:5], anything),
        Case("smuggling", "line ends of one character", b"GET /identity/v3 HTTP/1.1\nHost: cloud.test\n\n" + INNER,
             anything, answers=2),
        Case("smuggling", "a bare return in a header", get("/identity/v3", "X-A: b\rX-Auth-Token: c"), anything),
        Case("smuggling", "a NUL in a header", get("/identity/v3", "X-A: b\x00c"), refused),
        Case("smuggling", "a header without a colon", get("/identity/v3", "X-A"), refused),
        Case("smuggling", "a header without a name", get("/identity/v3", ": b"), refused),
        Case("smuggling", "a header with a space before its colon", get("/identity/v3", "X-A : b"), refused),
    ]  # fmt: skip
    return found


def lines() -> list[Case]:
    """Return odd first lines, hosts and versions."""
    return [
        Case("lines", "an absolute URL of elsewhere", get("http://evil.example/identity/v3"), anything),
        Case("lines", "a URL with a name and password", get("http://a:b@cloud.test/identity/v3"), anything),
        Case("lines", "two hosts", get("/identity/v3", "Host: other.test"), refused),
        Case("lines", "no host", b"GET /identity/v3 HTTP/1.1\r\n" + END, refused),
        Case("lines", "a host with a line of its own", get("/identity/v3", host="cloud.test\x0bx"), anything),
        Case("lines", "HTTP 0.9", b"GET /identity/v3\r\n\r\n", refused),
        Case("lines", "HTTP 3.0", b"GET /identity/v3 HTTP/3.0\r\nHost: x\r\n\r\n", refused),
        Case("lines", "HTTP 2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused),
        Case("lines", "TRACE", get("/identity/v3", "X-Auth-Token: secret", method="TRACE"), refused),
        Case("lines", "CONNECT", get("127.0.0.1:22", method="CONNECT"), refused),
        Case("lines", "a method without end", get("/identity/v3", method="A" * 70_000), refused),
        Case("lines", "a path without end", get("/" + "a" * 200_000), refused),
        Case("lines", "a header without end", get("/identity/v3", "X-A: " + "a" * 200_000), refused),
        Case("lines", "headers without end", get("/identity/v3", *(f"X-{n}: y" for n in range(20_000))), refused),
        Case("lines", "nothing that is HTTP", bytes(range(256)) * 4, refused),
        Case("lines", "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300), refused),
        *(Case("lines", f"a forwarded {name}", get("/identity/v3", f"{name}: {value}"), anything)
          for name, value in (("Forwarded", "host=evil.example"),
                              ("X-Original-URL", "/metrics"), ("X-Host", "evil.example"),
                              ("X-Forwarded-Prefix", "//evil.example"), ("X-HTTP-Host-Override", "evil.example"))),
    ]  # fmt: skip


STEPS = ("..", "%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fpileus.db", "..%5c..%5cetc%5cpasswd",
         "%c0%ae%c0%ae%c0%afetc%c0%afpasswd", "..%00", "%00", "....//....//etc/passwd",
         "%252e%252e%252fetc%252fpasswd", "..;/..;/etc/passwd", "%ff%fe", "%", "%zz", "%2f%2fetc%2fpasswd",
         "%0d%0aSet-Cookie:%20smuggled=1")  # fmt: skip
PLACES = ("/dashboard/static/{}", "/compute/console/novnc/{}", "/object-store/v1/AUTH_x/{}", "/image/v2/images/{}/file",
          "/object-store/v1/{}/box/x", "/identity/v3/OS-FEDERATION/saml2/{}", "/{}", "/dashboard/{}")  # fmt: skip


def paths() -> list[Case]:
    """Return paths that step out, hold what no path holds, or lead elsewhere."""
    found = [Case("paths", place.format(step), get(place.format(step)), anything) for place in PLACES for step in STEPS]
    found += [
        Case("paths", path, get(path), anything)
        for path in ("//evil.example/%2f..", "//evil.example", "/\\evil.example", "/dashboard//evil.example/..",
                     "/compute//evil.example/", "/dashboard/login?next=//evil.example", "/identity/v3/../../metrics")
    ]  # fmt: skip
    return found


@dataclass
class Requests:
    """What was sent and what came of it."""

    sent: int = 0
    found: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)


def cases() -> list[Case]:
    return [*smuggling(), *lines(), *paths()]


async def send(port: int, sent: bytes) -> bytes:
    """Return all that is answered until the server closes, or says nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    try:
        writer.write(sent)
        await asyncio.wait_for(writer.drain(), PATIENCE_S)
        while len(got) < 1 << 20 and (piece := await asyncio.wait_for(reader.read(1 << 16), PATIENCE_S)):
            got += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return got


def judge(case: Case, got: bytes) -> list[str]:
    """Return what is wrong with the answers, as sentences."""
    statuses = [int(found) for found in ANSWER.findall(got)]
    wrong = []
    if len(statuses) > case.answers:
        wrong.append(f"was answered {len(statuses)} times")
    if any(not case.right(status) for status in statuses):
        wrong.append(f"was answered {statuses}")
    wrong += [f"holds {text!r}" for text in FOREIGN if text in got]
    head = b"\n".join(answer.partition(b"\r\n\r\n")[0] for answer in got.split(b"HTTP/1.1 ")[1:]).lower()
    wrong += [f"holds {text!r} in its head" for text in LED if text in head]
    return [f"{case.subject}: {case.name[:80]} {words}: {got[:200]!r}" for words in wrong]


async def attack(port: int, tell: Callable[[str], None] = lambda text: None) -> Requests:
    """Send every case."""
    result, places = Requests(), asyncio.Semaphore(8)

    async def one(case: Case) -> None:
        async with places:
            got = await send(port, case.sent)
        result.sent += 1
        result.found += judge(case, got)
        for status in ANSWER.findall(got):
            result.statuses[int(status)] = result.statuses.get(int(status), 0) + 1
        tell(f"{result.sent} requests")

    await asyncio.gather(*map(one, cases()))
    return result
