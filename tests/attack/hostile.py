"""Documents that take much to read, or want to be read as something else: JSON, XML, images, archives, manifests."""

import asyncio
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pileus.kernel.testing import client, running
from pileus.kernel.watchdog import LoopWatch
from pileus.services.identity.testing import login
from tests.attack.parts import Part
from tests.fuzz import images

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 1.0
JSON: dict[str, bytes] = {
    "nothing": b"", "null": b"null", "a list": b"[]", "a number": b"1", "cut off": b'{"a":', "no UTF-8": b"\xff\xfe{}",
    "not a number": b'{"a": NaN}', "half a character": b'{"a": "\\ud800"}',
    "a huge number": b'{"a": ' + b"9" * 100_000 + b"}",
    "a huge exponent": b'{"a": 1e999999999}', "deep lists": b"[" * 200_000, "deep objects": b'{"a":' * 100_000,
    "deep and closed": b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "one name twice": b'{"a": 1, "a": 2}',
    "NUL": b"\x00" * 64, "a NUL in a text": b'{"name": "a\\u0000b"}', "a BOM": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "many names": b"{" + b",".join(b'"%d": 1' % number for number in range(60_000)) + b"}",
    "a long name": b'{"' + b"a" * 900_000 + b'": 1}', "a long list": b"[" + b"1," * 400_000 + b"1]",
    "beyond the limit": b'{"a": "' + b"x" * (2 << 20) + b'"}', "YAML": b"!!python/object/apply:os.system [id]",
    "a prototype": b'{"__proto__": {"admin": true}, "constructor": 1, "__class__": 2}',
}  # fmt: skip
WRITES = (
    "/identity/v3/auth/tokens", "/identity/v3/credentials", "/compute/v2.1/servers", "/compute/v2.1/os-keypairs",
    "/networking/v2.0/networks", "/networking/v2.0/ports", "/image/v2/images", "/volume/v3/volumes",
    "/placement/allocations",
)  # fmt: skip
XML: dict[str, str] = {
    "entities of entities": '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]><x>&j;</x>",
    "one long entity, many times": f'<!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]><x>{"&a;" * 50_000}</x>',
    "a file": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "a file by a parameter": '<!DOCTYPE x [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]><x/>',
    "a DTD of elsewhere": '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>',
    "an inclusion": '<x xmlns:xi="http://www.w3.org/2001/XInclude">'
    '<xi:include href="file:///etc/passwd" parse="text"/></x>',
    "depth": "<x>" * 20_000 + "</x>" * 20_000,
}
BESIDE = (
    "tests/unit/kernel/test_disk_formats.py", "tests/unit/object_store/test_hostile_input.py",
    "tests/api/object_store/test_archives.py", "tests/api/object_store/test_large_objects.py",
    "tests/api/identity/test_saml.py", "tests/unit/identity/test_mapping.py",
)  # fmt: skip
"""Suites that try hostile archives, manifests, images and SAML by themselves."""


async def documents() -> tuple[int, list[str]]:
    """Send each JSON document to a write of each service; return how many were sent and what went wrong."""
    sent, wrong = 0, []
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as runtime, client(runtime, await login(runtime)) as http:
            watch = LoopWatch()
            watch.start()
            for path in WRITES:
                for name, body in JSON.items():
                    began = time.process_time()
                    answer = await http.post(path, content=body, headers={"Content-Type": "application/json"})
                    took_s = time.process_time() - began
                    sent += 1
                    if answer.status_code >= 500 or (answer.is_success and name != "a NUL in a text"):
                        wrong.append(f"{path}: {name}: {answer.status_code} {answer.text[:200]}")
                    if took_s > LIMIT_S:
                        wrong.append(f"{path}: {name} took {took_s:.1f} s")
            watch.stop()
    return sent, wrong


def markup() -> Iterator[str]:
    """Yield what is wrong with how XML from outside is read."""
    from pileus.services.identity.drivers.saml import _out_of_envelope

    for name, text in XML.items():
        began = time.process_time()
        try:
            read = _out_of_envelope(text)
        except Exception:  # whatever a parser does of this: its caller refuses all of them
            read = ""
        if "root:" in read:
            yield f"{name}: {read[:100]}"
        if (took_s := time.process_time() - began) > LIMIT_S:
            yield f"{name} took {took_s:.1f} s"


def damaged_images(seconds: float) -> images.Tally:
    """Try damaged images, qemu-img beside our own reading where it is installed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chmod(folder, 0o755)
        made = images.corpus(folder)
        return images.run(int(time.time()), time.monotonic() + seconds, folder, made)


async def attack(short: bool, tell: Callable[[str], None]) -> Part:
    """Try all of them."""
    part = Part("hostile documents")
    tell("JSON")
    sent, part.found = await documents()
    part.found += list(markup())
    tried = f"{sent} JSON bodies, {len(XML)} XML documents"
    if short:
        part.not_tried = "damaged images, archives, manifests and SAML, which CI tries in suites of their own"
    else:
        tell("damaged images")
        tally = damaged_images(60)
        part.found += tally.findings
        tried += f", {sum(tally.answers.values()):,} damaged images"
        for suite in BESIDE:
            tell(suite)
            command = [sys.executable, "-m", "pytest", "-q", suite]
            run = functools.partial(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False)
            done = await asyncio.to_thread(run)
            tried += f", `{suite}`: {done.stdout.strip().splitlines()[-1].strip('= ')}"
            if done.returncode:
                part.found.append(f"{suite}: {done.stdout[-500:]}")
        part.not_tried = "formats that QEMU reads and Glance does not take; LDIF of directories"
    part.tried = tried
    return part
