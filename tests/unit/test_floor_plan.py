"""The order of services is said once: who may call whom is who starts after whom."""

import re
import tomllib
from pathlib import Path

from pileus.kernel.service import find_services

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_services_start_in_the_order_of_their_layers():
    contracts = tomllib.loads(PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"] == "Services call only downwards")
    order = [name for layer in reversed(layers) for name in re.findall(r"pileus\.services\.(\w+)", layer)]
    assert [service.type for service in find_services()] == order
