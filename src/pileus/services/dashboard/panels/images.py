"""Images: what can be booted."""

from typing import Any

from pileus.services.dashboard.panel import Panel, Visit


async def load(visit: Visit) -> dict[str, Any]:
    """Return the images the project sees."""
    return {"images": (await visit.api.get("/image/v2/images", sort="name:asc"))["images"]}


async def delete(visit: Visit, id: str) -> str:
    await visit.api.delete(f"/image/v2/images/{id}")
    return "The image has been deleted."


PANEL = Panel("images", "Images", 40, load, actions={"delete": delete}, events=("image.image",))
