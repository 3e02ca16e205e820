"""What a provider offers, and how much of it is used."""

from typing import Annotated, Any

import msgspec

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.policy import Rule
from pileus.kernel.rest import Body, Response, at_most
from pileus.services.placement.api.router import OPERATOR, ClassName, Generation, api, created
from pileus.services.placement.app import inventory
from pileus.services.placement.model import MAX_INT, Provider, Stock
from pileus.services.placement.store import providers

LIST = Rule("placement:resource_providers:inventories:list", OPERATOR)
CREATE = Rule("placement:resource_providers:inventories:create", OPERATOR)
SHOW = Rule("placement:resource_providers:inventories:show", OPERATOR)
UPDATE = Rule("placement:resource_providers:inventories:update", OPERATOR)
DELETE = Rule("placement:resource_providers:inventories:delete", OPERATOR)
USAGES = Rule("placement:resource_providers:usages", OPERATOR)

Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_INT)]


class InventoryBody(Body):
    total: Count
    reserved: Annotated[int, msgspec.Meta(ge=0, le=MAX_INT)] = 0
    min_unit: Count = 1
    max_unit: Count = MAX_INT
    step_size: Count = 1
    allocation_ratio: Annotated[float, msgspec.Meta(gt=0, le=3.40282e38)] = 1.0

    def stock(self, ctx: Context, resource_class: str) -> Stock:
        """Return it as a Stock; raise Invalid when all or more is reserved."""
        if self.reserved > self.total or (self.reserved == self.total and ctx.version < (1, 26)):
            raise Invalid(
                f"Unable to update inventory for {resource_class}: reserved {self.reserved} leaves nothing of the "
                f"total {self.total}."
            )
        return Stock(
            self.total, self.reserved, self.min_unit, self.max_unit, self.step_size, float(self.allocation_ratio)
        )


class InventoryCreate(InventoryBody, kw_only=True):
    resource_class: ClassName
    resource_provider_generation: Generation | None = None


class InventoryUpdate(InventoryBody, kw_only=True):
    resource_provider_generation: Generation


class InventoriesUpdate(Body):
    resource_provider_generation: Generation
    inventories: Annotated[dict[ClassName, InventoryBody], at_most(1000)]


def view(stock: Stock) -> dict[str, Any]:
    """Return the document of one inventory."""
    return {
        "total": stock.total,
        "reserved": stock.reserved,
        "min_unit": stock.min_unit,
        "max_unit": stock.max_unit,
        "step_size": stock.step_size,
        "allocation_ratio": stock.allocation_ratio,
    }


def _all(tx: Tx, provider: Provider) -> dict[str, Any]:
    stocks = providers.stocks_of(tx, provider.uuid)
    return {
        "resource_provider_generation": provider.generation,
        "inventories": {name: view(stock) for name, stock in stocks.items()},
    }


def _one(tx: Tx, provider: Provider, resource_class: str) -> dict[str, Any]:
    stock = providers.stocks_of(tx, provider.uuid).get(resource_class)
    if stock is None:
        raise NotFound(f"No inventory of class {resource_class} for {provider.uuid}.")
    return {**view(stock), "resource_provider_generation": provider.generation}


@api.get("/resource_providers/{provider}/inventories", LIST)
def list_inventories(tx: Tx, provider: Provider) -> dict[str, Any]:
    return _all(tx, provider)


@api.put("/resource_providers/{provider}/inventories", UPDATE, body="")
def set_inventories(tx: Tx, ctx: Context, provider: Provider, body: InventoriesUpdate) -> dict[str, Any]:
    inventory.take_generation(tx, provider, body.resource_provider_generation)
    stocks = {name: given.stock(ctx, name) for name, given in body.inventories.items()}
    inventory.set_stocks(tx, provider.uuid, stocks)
    return _all(tx, provider)


@api.post("/resource_providers/{provider}/inventories", CREATE, body="")
def create_inventory(tx: Tx, ctx: Context, provider: Provider, body: InventoryCreate) -> Response:
    there = providers.stocks_of(tx, provider.uuid)
    if body.resource_class in there:
        raise Conflict(f"Update conflict: {body.resource_class} is offered by {provider.uuid} already; use PUT.")
    given = body.resource_provider_generation
    inventory.take_generation(tx, provider, provider.generation if given is None else given)
    stock = body.stock(ctx, body.resource_class)
    inventory.set_stocks(tx, provider.uuid, {**there, body.resource_class: stock})
    answer = created(
        ctx,
        f"/resource_providers/{provider.uuid}/inventories/{body.resource_class}",
        {**view(stock), "resource_provider_generation": provider.generation},
    )
    answer.status = 201
    return answer


@api.delete("/resource_providers/{provider}/inventories", DELETE, since="1.5")
def delete_inventories(tx: Tx, provider: Provider) -> None:
    inventory.drop_stocks(tx, provider.uuid, providers.stocks_of(tx, provider.uuid).keys())
    inventory.take_generation(tx, provider, provider.generation)


@api.get("/resource_providers/{provider}/inventories/{resource_class}", SHOW)
def show_inventory(tx: Tx, provider: Provider, resource_class: str) -> dict[str, Any]:
    return _one(tx, provider, resource_class)


@api.put("/resource_providers/{provider}/inventories/{resource_class}", UPDATE, body="")
def update_inventory(
    tx: Tx, ctx: Context, provider: Provider, resource_class: str, body: InventoryUpdate
) -> dict[str, Any]:
    there = providers.stocks_of(tx, provider.uuid)
    if resource_class not in there:
        raise Invalid(f"No inventory record with resource class {resource_class} for {provider.uuid}: create it first.")
    inventory.take_generation(tx, provider, body.resource_provider_generation)
    inventory.set_stocks(tx, provider.uuid, {**there, resource_class: body.stock(ctx, resource_class)})
    return _one(tx, provider, resource_class)


@api.delete("/resource_providers/{provider}/inventories/{resource_class}", DELETE)
def delete_inventory(tx: Tx, provider: Provider, resource_class: str) -> None:
    _one(tx, provider, resource_class)
    inventory.drop_stocks(tx, provider.uuid, [resource_class])
    inventory.take_generation(tx, provider, provider.generation)


@api.get("/resource_providers/{provider}/usages", USAGES)
def show_usages(tx: Tx, provider: Provider) -> dict[str, Any]:
    used = providers.used_of(tx, provider.uuid)
    return {
        "resource_provider_generation": provider.generation,
        "usages": {name: used.get(name, 0) for name in providers.stocks_of(tx, provider.uuid)},
    }
