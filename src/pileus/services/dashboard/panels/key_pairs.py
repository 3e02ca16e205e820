"""Key pairs: bring a public key; guests let its owner in."""

from typing import Any

from pileus.services.dashboard.panel import Panel, Visit

BASE = "/compute/v2.1/os-keypairs"


async def load(visit: Visit) -> dict[str, Any]:
    """Return the user's key pairs."""
    return {"keys": [entry["keypair"] for entry in (await visit.api.get(BASE))["keypairs"]]}


async def load_form(visit: Visit) -> dict[str, Any]:
    """The form offers nothing to choose from."""
    return {}


async def create(visit: Visit) -> str:
    """Keep the public key the form brings."""
    body = {"keypair": {"name": visit.text("name"), "public_key": visit.text("public_key")}}
    await visit.api.post(BASE, body)
    return f"Key pair {visit.text('name')} is kept."


async def delete(visit: Visit, id: str) -> str:
    await visit.api.delete(f"{BASE}/{id}")
    return "The key pair has been deleted."


PANEL = Panel("key-pairs", "Key pairs", 50, load, load_form=load_form, create=create, actions={"delete": delete})
