"""POST /reshaper: move inventories and the allocations on them, all at once."""

from typing import Annotated

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, at_most
from pileus.services.placement.api.allocations import Allocations, set_many
from pileus.services.placement.api.inventories import InventoriesUpdate
from pileus.services.placement.api.router import OPERATOR, Uuid, api, dashed
from pileus.services.placement.app import inventory
from pileus.services.placement.store import providers

RESHAPE = Rule("placement:reshaper:reshape", OPERATOR)


class Reshape(Body):
    inventories: Annotated[dict[Uuid, InventoriesUpdate], at_most(100)]
    allocations: Annotated[dict[Uuid, Allocations], at_most(1000)]


@api.post("/reshaper", RESHAPE, since="1.30", body="", status=204)
def reshape(tx: Tx, ctx: Context, body: Reshape) -> None:
    """First offer everything old and new, then move the allocations, then drop what is no longer offered."""
    wanted = {}
    for uuid, given in body.inventories.items():
        provider = providers.get_provider(tx, dashed(uuid))
        if provider is None:
            raise Invalid(f"Resource provider {uuid} of the inventories does not exist.")
        inventory.take_generation(tx, provider, given.resource_provider_generation)
        wanted[provider.uuid] = {name: part.stock(ctx, name) for name, part in given.inventories.items()}
    for uuid, stocks in wanted.items():
        inventory.set_stocks(tx, uuid, {**providers.stocks_of(tx, uuid), **stocks})
    set_many(tx, ctx, body.allocations)
    for uuid, stocks in wanted.items():
        inventory.set_stocks(tx, uuid, stocks)
