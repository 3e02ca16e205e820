"""From one operation of the OpenAPI document to requests: drawn by schemathesis, aimed at real ids, then made worse.

Rule: everything follows from the seed, so that a finding can be found again.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import openapi
from schemathesis.generation import GenerationMode

from tests.fuzz.cloud import Target
from tests.fuzz.wire import Sent

DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
RAW_BODIES = (
    b"", b"null", b"[]", b"{}", b"0", b'"text"', b'{"a":', b"{'a': 1}", b"\xff\xfe", b'{"a": NaN}', b'{"a": "\\ud800"}',
    b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 1e400}', b"[" * 100_000, DEEP, b'{"a": 1, "a": 2}', b"\x00" * 64,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, "", " ", "\x00", "x\x00y", "x" * 70_000, "\ud83d\ude00", "\u202e", "..", "../../etc/passwd", "' or 1=1 --",
    "%s%n%d", "2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1.2.3.4", "10.0.0.0/33", "::/0",
    "fe80::1%eth0", "-1", "1e9", 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 1.5, 1e308, True, False, [], {}, [None],
    {"": ""}, [[]], "latest", "null",
)  # fmt: skip
QUERY_NAMES = (
    "limit", "marker", "sort_key", "sort_dir", "sort", "fields", "page_reverse", "changes-since", "changes-before",
    "all_tenants", "all_projects", "status", "name", "offset", "deleted", "project_id", "tags", "with_count", "usage",
    "start", "end", "detailed", "format", "prefix", "delimiter", "path", "reverse", "ip", "flavor", "image", "host",
    "resources", "required", "member_of", "in_tree", "group_policy", "allocation_candidates", "created_at", "size_min",
    "effective", "include_names", "parents_as_ids", "nocatalog", "dry_run", "bulk-delete", "multipart-manifest",
)  # fmt: skip
HEADERS: tuple[tuple[str, str], ...] = (
    ("openstack-api-version", "compute 99.99"), ("openstack-api-version", "volume x"),
    ("openstack-api-version", "\u00e4"),
    ("x-openstack-nova-api-version", "2.0"), ("if-match", "revision_number=x"), ("if-match", '"x"'),
    ("if-none-match", "*"), ("range", "bytes=5-1"), ("range", "bytes=-99999999999999999999"), ("range", "x"),
    ("content-type", "text/plain"), ("content-type", "\u00e4"), ("x-service-token", "x"), ("x-subject-token", "x"),
    ("x-forwarded-host", "\u00e4"), ("x-forwarded-proto", ""), ("x-openstack-request-id", "req-x"), ("accept", "a/b/c"),
    ("idempotency-key", "k"), ("x-delete-at", "x"), ("x-delete-after", "-1"), ("x-copy-from", "x"), ("etag", "x"),
    ("destination", "%ff"), ("x-object-manifest", "x"), ("if-modified-since", "x"), ("x-timestamp", "x"),
    ("content-length", "-5"), ("content-encoding", "gzip"), ("x-container-meta-a", "\u00e4"),
    ("x-container-read", ".r:x,"),
)  # fmt: skip
SEGMENTS = ("%00", "%FF", "..", "%2e%2e%2f", "a" * 5000, "%F0%9F%98%80", "0", "-1", "%20", "a%2Fb", "detail", "null")
REDRAWN = 0.1
"""How often new cases are drawn of an operation that has been met before."""
WORDS = re.compile(r"(id|uuid|ref|_by|owner|member|target|resource)s?$", re.IGNORECASE)


class Operations:
    """The document's operations, ready to be drawn from."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._entries = document["paths"]
        found: list[Any] = list(openapi.from_dict(document).get_all_operations())
        self.all = [result.ok() for result in found]
        self._drawn: dict[str, list[Any]] = {}

    def draw(self, operation: Any, count: int, random: Random) -> list[Any]:
        """Return some right and some wrong cases of one operation.

        Drawing costs more than sending, so most of the time earlier ones come again, aimed and spoilt differently.
        """
        known = self._drawn.setdefault(operation.label, [])
        if not known or random.random() < REDRAWN:
            known += self._draw(operation, count, random.randrange(2**32))
        return random.sample(known, min(len(known), 2 * count))

    def _draw(self, operation: Any, count: int, seed: int) -> list[Any]:
        found: list[Any] = []
        says_anything = operation.body or operation.query
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if says_anything else (GenerationMode.POSITIVE,)
        for mode in modes:

            @hypothesis.seed(seed)
            @given(operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=count, database=None, deadline=None, phases=[Phase.generate],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            )  # fmt: skip
            def keep(case: Any) -> None:
                found.append(case)

            with contextlib.suppress(Unsatisfiable):  # some can be told nothing wrong
                keep()
        return found

    def version(self, operation: Any, random: Random) -> str | None:
        """Return a microversion in which the operation may exist."""
        entry = self._entries[operation.path][operation.method.lower()]
        bounds = [entry[name] for name in ("x-since", "x-until") if name in entry]
        return random.choice([*bounds, "latest", "latest"] if "x-until" not in entry else bounds)


def requests_of(
    operation: Any, cases: list[Any], target: Target, operations: Operations, random: Random
) -> Iterator[Sent]:
    """Yield a request for each case, mostly aimed at things that are there, some of them spoilt."""
    for case in cases:
        template = operation.path.partition("#")[0]
        method = operation.method.upper()
        path = _path(template, case, target, random)
        sent = Sent(
            operation.label, method, path, _query(case), target.headers(path, operations.version(operation, random))
        )
        body = case.body if not type(case.body).__name__.startswith("NotSet") else None
        if isinstance(body, bytes):
            sent.body = body
        elif body is not None or operation.body:
            sent.headers["content-type"] = "application/json"
            sent.body = encode(_aimed(body, target, random))
        _spoil(sent, body, random)
        yield sent


def encode(body: Any) -> bytes:
    return json.dumps(body, default=str).encode("utf-8", "surrogatepass")


def _path(template: str, case: Any, target: Target, random: Random) -> str:
    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        known = target.pick(template, name, random) if random.random() < 0.8 else None
        drawn = (case.path_parameters or {}).get(name, "x")
        return quote(known, safe="") if known is not None else str(drawn) or "x"

    return re.sub(r"{([^}]+)}", fill, template)


def _query(case: Any) -> list[tuple[str, str]]:
    return [
        (name, value if isinstance(value, str) else encode(value).decode())
        for name, values in (case.query or {}).items()
        for value in (values if isinstance(values, list) else [values])
    ]


def _aimed(value: Any, target: Target, random: Random, name: str = "") -> Any:
    """Put real ids where ids belong."""
    if isinstance(value, dict):
        return {key: _aimed(item, target, random, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_aimed(item, target, random, name) for item in value]
    if isinstance(value, str) and WORDS.search(name) and random.random() < 0.8:
        fitting = target.known.get(re.sub(r"(_?(id|uuid|ref))$", "", name, flags=re.IGNORECASE).lower())
        return random.choice(fitting) if fitting else target.any(random) or value
    return value


def _spoil(sent: Sent, body: Any, random: Random) -> None:
    """Make about half of the requests worse in one or two ways."""
    if random.random() < 0.08 and sent.method in ("POST", "PUT", "PATCH"):
        sent.body = random.choice(RAW_BODIES)
        sent.headers["content-type"] = "application/json"
    elif random.random() < 0.35 and isinstance(body, dict | list) and body:
        sent.body = encode(_with_one_worse(json.loads(encode(body)), random))
    if random.random() < 0.15:
        value = random.choice(VALUES)
        sent.query.append((random.choice(QUERY_NAMES), value if isinstance(value, str) else encode(value).decode()))
    if random.random() < 0.1:
        name, value = random.choice(HEADERS)
        sent.headers[name] = value
    if random.random() < 0.04:
        head, _, _ = sent.path.rpartition("/")
        sent.path = f"{head}/{random.choice(SEGMENTS)}"


def _with_one_worse(value: Any, random: Random) -> Any:
    """Replace one value somewhere in a document."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = random.choice(list(value))
        return {**value, key: _with_one_worse(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [*value[:at], _with_one_worse(value[at], random), *value[at + 1 :]]
    return random.choice(VALUES)
