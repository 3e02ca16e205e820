"""Providers and requests for the tests of placement."""

from typing import Any

import httpx

from pileus.kernel import ids


def version(number: str) -> dict[str, str]:
    """Return the header that asks for a microversion."""
    return {"OpenStack-API-Version": f"placement {number}"}


async def provider(
    http: httpx.AsyncClient,
    name: str,
    stocks: dict[str, int | dict[str, Any]] | None = None,
    traits: tuple[str, ...] = (),
    aggregates: tuple[str, ...] = (),
    parent: str | None = None,
) -> str:
    """Make a provider with inventories, traits and aggregates."""
    uuid = ids.new_id()
    body = {"name": name, "uuid": uuid, "parent_provider_uuid": parent}
    answer = await http.post("resource_providers", json=body)
    assert answer.status_code == 200, answer.text
    generation = 0
    parts: list[tuple[str, str, Any]] = [
        (
            "inventories",
            "inventories",
            {n: {"total": s} if isinstance(s, int) else s for n, s in (stocks or {}).items()},
        ),
        ("traits", "traits", list(traits)),
        ("aggregates", "aggregates", list(aggregates)),
    ]
    for path, member, value in parts:
        if value:
            content = {member: value, "resource_provider_generation": generation}
            answer = await http.put(f"resource_providers/{uuid}/{path}", json=content)
            assert answer.status_code == 200, answer.text
            generation = answer.json()["resource_provider_generation"]
    return uuid


def claim(held: dict[str, dict[str, int]], generation: int | None = None, **more: Any) -> dict[str, Any]:
    """Return the body of PUT /allocations at 1.38."""
    return {
        "allocations": {uuid: {"resources": amounts} for uuid, amounts in held.items()},
        "project_id": "p",
        "user_id": "u",
        "consumer_generation": generation,
        "consumer_type": "INSTANCE",
        **more,
    }


async def take(http: httpx.AsyncClient, held: dict[str, dict[str, int]], consumer: str | None = None) -> str:
    """Claim for a new consumer."""
    consumer = consumer or ids.new_id()
    answer = await http.put(f"allocations/{consumer}", json=claim(held))
    assert answer.status_code == 204, answer.text
    return consumer


async def candidates(http: httpx.AsyncClient, query: str, number: str = "1.39") -> list[dict[str, dict[str, int]]]:
    """Return the allocation requests: provider to resources."""
    answer = await http.get(f"allocation_candidates?{query}", headers=version(number))
    assert answer.status_code == 200, answer.text
    found = answer.json()["allocation_requests"]
    return [{uuid: part["resources"] for uuid, part in one["allocations"].items()} for one in found]
