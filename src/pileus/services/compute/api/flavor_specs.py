"""Extra specs of flavors: what a flavor asks of the scheduler and of the hypervisor beyond its size."""

from typing import Annotated

from msgspec import Meta

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.errors import Invalid, NotFound
from pileus.kernel.rest import at_most
from pileus.services.compute.api import rules
from pileus.services.compute.api.base import api
from pileus.services.compute.model import Flavor

Key = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9_:. -]{1,255}\Z")]
Specs = Annotated[dict[Key, Annotated[str, Meta(max_length=255)] | int | float], at_most(128)]
PATH = "/flavors/{flavor}/os-extra_specs"


def _texts(specs: Specs) -> dict[str, str]:
    return {key: str(value) for key, value in specs.items()}


def _save(flavor: Flavor, specs: dict[str, str]) -> None:
    flavor.extra_specs = specs
    flavor.updated_at = clock.now()


@api.get(PATH, rules.SPECS_INDEX, wrap="extra_specs")
def list_specs(flavor: Flavor) -> dict[str, str]:
    return flavor.extra_specs


@api.post(PATH, rules.SPECS_CREATE, wrap="extra_specs", status=200)
def create_specs(tx: Tx, flavor: Flavor, body: Specs) -> dict[str, str]:
    _save(flavor, {**flavor.extra_specs, **_texts(body)})
    return _texts(body)


@api.get(PATH + "/{key}", rules.SPECS_SHOW)
def show_spec(flavor: Flavor, key: str) -> dict[str, str]:
    if key not in flavor.extra_specs:
        raise NotFound(f"Flavor {flavor.id} has no extra specs with key {key}.")
    return {key: flavor.extra_specs[key]}


@api.put(PATH + "/{key}", rules.SPECS_UPDATE, body="")
def update_spec(tx: Tx, flavor: Flavor, key: str, body: Specs) -> dict[str, str]:
    if set(body) != {key}:
        raise Invalid(f"The request body must hold exactly the key of the URL, {key}.")
    _save(flavor, {**flavor.extra_specs, **_texts(body)})
    return _texts(body)


@api.delete(PATH + "/{key}", rules.SPECS_DELETE, status=200)
def delete_spec(tx: Tx, flavor: Flavor, key: str) -> None:
    if key not in flavor.extra_specs:
        raise NotFound(f"Flavor {flavor.id} has no extra specs with key {key}.")
    _save(flavor, {name: value for name, value in flavor.extra_specs.items() if name != key})
