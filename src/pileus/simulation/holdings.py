"""What hosts hold compared with what the rows say they hold: guests with all that is in them, volumes, snapshots.

Rule: it asks the drivers and the tables themselves, in its own words, not the code that it judges.
"""

from typing import Any

from pileus.simulation.cloud import Cloud
from pileus.simulation.rows import Ask
from pileus.simulation.wiring import networks_of_host

BROKEN = {"error", "error_deleting", "error_restoring"}
STORED = {
    "volume": "select id, status from block_storage_volumes where host like '{host}'",
    "snapshot": (
        "select s.id, s.status from block_storage_snapshots s join block_storage_volumes v on v.id = s.volume_id"
        " where v.host like '{host}'"
    ),
}
"""What the rows say is kept on a host."""
POWER = {"active": {"running"}, "stopped": {"off", "crashed"}, "paused": {"paused"}, "suspended": {"suspended"}}
"""How a guest is found whose server is in a state; the others may be found in any."""


async def hosts_at_rest(cloud: Cloud) -> list[str]:
    """Return how the hosts differ from what the rows say they hold, as sentences."""

    def ask(query: str) -> list[Any]:
        return cloud.store.connection.execute(query).fetchall()

    wrong: list[str] = []
    excused = erring_ports(cloud)
    for name, machine in cloud.machines.items():
        guests = {guest.id: guest for guest in await machine.drivers["compute"].guests()}
        wrong += compare(f"guest on {name}", guests, _wanted_guests(ask, name), _erring_guests(ask))
        wrong += _inside(ask, name, guests, machine.drivers["compute"])
        network = machine.drivers["network"]
        wanted = {id for (id,) in ask(f"select id from network_ports where binding_host = '{name}'"
                                      " and role = 'compute'")}  # fmt: skip
        wrong += compare(f"tap on {name}", set(network.ports), wanted, excused)
        wrong += networks_of_host(ask, name, network)
        kept = await machine.drivers["block_storage"].inventory()
        for kind in ("volume", "snapshot"):
            there = {one.id for one in getattr(kept, f"{kind}s")}
            rows = ask(STORED[kind].format(host=f"{name}@%"))
            wanted = {id for id, status in rows if status not in BROKEN}
            wrong += compare(f"{kind} on {name}", there, wanted, {id for id, _ in rows})
    return wrong


def _wanted_guests(ask: Ask, host: str) -> set[str]:
    query = f"select id from compute_servers where host = '{host}' and deleted_at is null and vm_state <> 'error'"
    return {id for (id,) in ask(query)}


def _erring_guests(ask: Ask) -> set[str]:
    """What is in error may have left something on its host, as long as a row says so and deleting removes it."""
    query = "select id from compute_servers where deleted_at is null and vm_state = 'error' and host is not null"
    erring = {id for (id,) in ask(query)}
    resized = "select s.id from compute_servers s where s.vm_state = 'resized' and s.deleted_at is null"
    return erring | {id for (id,) in ask(resized)}


def erring_ports(cloud: Cloud) -> set[str]:
    """Return the ports of servers in error, and of those that may still go back: they may be anywhere."""
    query = (
        "select p.id from network_ports p join compute_servers s on s.id = p.holder_id"
        " where s.vm_state in ('error', 'resized') and s.deleted_at is null"
    )
    return {id for (id,) in cloud.store.connection.execute(query)}


def _inside(ask: Ask, host: str, guests: dict[str, Any], hypervisor: Any) -> list[str]:
    """Compare guests that run as their rows want with those rows: power, size, cards, volumes."""
    wrong = []
    query = f"select id, vm_state, vcpus, memory_mb from compute_servers where host = '{host}' and deleted_at is null"
    there = {id for (id,) in ask("select id from network_ports")}
    for id, state, vcpus, memory_mb in ask(query):
        guest = guests.get(id)
        if guest is None or state not in POWER:
            continue
        name = f"guest {id} on {host}"
        if guest.power not in POWER[state]:
            wrong.append(f"{name} is {guest.power}, and its server {state}")
        if (size := hypervisor.size_of(id)) != (vcpus, memory_mb):
            wrong.append(f"{name} has {size} processors and MiB, and the rows say {(vcpus, memory_mb)}")
        cards = {port for (port,) in ask(f"select port_id from compute_nics where server_id = '{id}'")}
        found = set(guest.nics)
        if state == "suspended":  # keeps the card of a port that was deleted, cut off, until it is resumed
            found &= there | cards
        if cards != found:
            wrong.append(f"{name} has the cards {sorted(found)}, and the rows say {sorted(cards)}")
        volumes = {volume for (volume,) in ask(f"select volume_id from compute_block_devices where server_id = '{id}'")}
        if volumes != (found := set(guest.disks) - {"root"}):
            wrong.append(f"{name} has the volumes {sorted(found)}, and the rows say {sorted(volumes)}")
    return wrong


def compare(what: str, there: Any, wanted: set[str], allowed: set[str]) -> list[str]:
    """Return what is there unwanted, and what is wanted and not there, as sentences."""
    wrong = [f"{what}: {id} is in no row" for id in sorted(set(there) - wanted - allowed)]
    return wrong + [f"{what}: {id} is in a row and not there" for id in sorted(wanted - set(there) - allowed)]
