"""Subnet pools and address scopes: stocks of prefixes, and the cutting of subnets from them."""

import ipaddress
from typing import Any

from sqlalchemy import select

from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import Conflict, Invalid, NotFound
from pileus.kernel.rest.references import referred
from pileus.services.network.app.ranges import IpNetwork, network_of
from pileus.services.network.app.refusals import invalid
from pileus.services.network.app.sharing import check_scope_is_shared
from pileus.services.network.model import EVERYBODY, SHARED, AddressScope, SubnetPool
from pileus.services.network.store import networks, sharing

SMALLEST = {4: 8, 6: 64}
LARGEST = {4: 32, 6: 128}


def pool_for(tx: Tx, body: Any) -> SubnetPool | None:
    """Return the pool a subnet shall be cut from, if any."""
    if body.use_default_subnetpool:
        pool = tx.scalar(
            select(SubnetPool).where(SubnetPool.is_default.is_(True), SubnetPool.ip_version == (body.ip_version or 4))
        )
        if pool is None:
            raise NotFound(
                f"No default subnetpool found for IPv{body.ip_version or 4}.", kind="NoDefaultSubnetpoolFound"
            )
        return pool
    return referred(tx, "subnetpool", body.subnetpool_id) if body.subnetpool_id is not None else None


def cut(tx: Tx, pool: SubnetPool, project_id: str, cidr: str | None, prefixlen: int | None) -> IpNetwork:
    """Return a free range of a pool: the one asked for, or the first of the wanted length."""
    taken = sorted(
        (ipaddress.ip_network(subnet.cidr) for subnet in networks.subnets_of_pool(tx, pool.id)),
        key=lambda network: int(network[0]),
    )
    wanted = network_of(cidr) if cidr is not None else None
    length = pool.default_prefixlen if prefixlen is None else prefixlen
    if wanted is not None:
        length = wanted.prefixlen
    _check_length(pool, length)
    _check_quota(tx, pool, project_id, length)
    if wanted is not None:
        inside = any(_within(wanted, ipaddress.ip_network(prefix)) for prefix in pool.prefixes)
        if not inside or any(wanted.overlaps(other) for other in taken):
            raise _exhausted(f"Cannot allocate requested subnet {wanted} from the available set of prefixes.")
        return wanted
    for prefix in pool.prefixes:
        found = _first_free(ipaddress.ip_network(prefix), length, taken)
        if found is not None:
            return found
    raise _exhausted(f"Insufficient prefix space to allocate subnet size /{length}.")


def _within(inner: IpNetwork, outer: IpNetwork) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _first_free(prefix: IpNetwork, length: int, taken: list[Any]) -> IpNetwork | None:
    """Walk over what is taken, not over all that could be."""
    if length < prefix.prefixlen:
        return None
    size = 1 << (prefix.max_prefixlen - length)
    at, end = int(prefix[0]), int(prefix[-1]) + 1
    for other in taken:
        start, until = int(other[0]), int(other[-1]) + 1
        if until <= at or start >= end:
            continue
        if start - at >= size:
            break
        at = -(-until // size) * size
    return type(prefix)((at, length)) if at + size <= end else None


def _exhausted(reason: str) -> Conflict:
    return Conflict(f"Failed to allocate subnet: {reason}", kind="SubnetAllocationError")


def _check_length(pool: SubnetPool, length: int) -> None:
    if length < pool.min_prefixlen:
        raise Invalid(
            f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {pool.min_prefixlen}.",
            kind="MinPrefixSubnetAllocationError",
        )
    if length > pool.max_prefixlen:
        raise Invalid(
            f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {pool.max_prefixlen}.",
            kind="MaxPrefixSubnetAllocationError",
        )


def _check_quota(tx: Tx, pool: SubnetPool, project_id: str, length: int) -> None:
    """The quota counts addresses for IPv4 and /64 ranges for IPv6."""
    if pool.default_quota is None:
        return

    def size(prefix: int) -> int:
        return 1 << (32 - prefix if pool.ip_version == 4 else max(0, 64 - prefix))

    mine = [subnet for subnet in networks.subnets_of_pool(tx, pool.id) if subnet.project_id == project_id]
    used = sum(size(ipaddress.ip_network(subnet.cidr).prefixlen) for subnet in mine)
    if used + size(length) > pool.default_quota:
        raise Conflict("Per-tenant subnet pool prefix quota exceeded.", kind="SubnetPoolQuotaExceeded")


def _check_scope(tx: Tx, id: str | None, prefixes: list[str], pool_id: str | None = None) -> None:
    """Raise unless a pool of these prefixes may belong to an address scope: in it no address is in two pools."""
    if id is None:
        return
    wanted = [network_of(prefix) for prefix in prefixes]
    scope = tx.get_one(AddressScope, id)
    if scope.ip_version != wanted[0].version:
        raise Invalid(
            f"Illegal subnetpool association: subnetpool cannot associate with address scope {id} because its IP"
            " version differs.",
            kind="IllegalSubnetPoolIpVersionAssociationToAddressScope",
        )
    for other in tx.scalars(select(SubnetPool).where(SubnetPool.address_scope_id == id)):
        if other.id == pool_id:
            continue
        for prefix in other.prefixes:
            if any(network.overlaps(network_of(prefix)) for network in wanted):
                raise Conflict(
                    "Failed to associate address scope: subnetpools within an address scope must have unique prefixes,"
                    f" and {prefix} is in another subnet pool.",
                    kind="AddressScopePrefixConflict",
                )


def _check_own_scope(tx: Tx, ctx: Context, row: SubnetPool) -> None:
    """Raise Invalid for a pool in somebody else's address scope: what is in it is for the scope's owner to decide."""
    scope = tx.get(AddressScope, row.address_scope_id) if row.address_scope_id is not None else None
    if scope is not None and not (ctx.is_admin or scope.project_id == ctx.project_id):
        raise Invalid(
            f"Illegal subnetpool update : subnetpool {row.id} cannot be updated when associated with shared address"
            f" scope {scope.id}: ask the scope's owner.",
            kind="IllegalSubnetPoolUpdate",
        )


def _prefixes(given: list[str]) -> tuple[list[str], int]:
    if not given:
        raise Invalid("Invalid input for prefixes. Reason: a subnet pool needs at least one prefix.")
    found = list(ipaddress.collapse_addresses(_one_version(given)))
    return [str(network) for network in found], found[0].version


def _one_version(given: list[str]) -> list[Any]:
    found = [network_of(prefix) for prefix in given]
    if len({network.version for network in found}) > 1:
        raise Invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", kind="PrefixVersionMismatch")
    return found


def create_pool(tx: Tx, ctx: Context, body: Any) -> SubnetPool:
    """Add a pool of prefixes."""
    prefixes, version = _prefixes(body.prefixes)
    _check_scope(tx, body.address_scope_id, prefixes)
    least = SMALLEST[version] if body.min_prefixlen is None else body.min_prefixlen
    most = LARGEST[version] if body.max_prefixlen is None else body.max_prefixlen
    usual = least if body.default_prefixlen is None else body.default_prefixlen
    row = SubnetPool(
        project_id=body.project_id,
        name=body.name,
        description=body.description,
        ip_version=version,
        prefixes=prefixes,
        min_prefixlen=least,
        max_prefixlen=most,
        default_prefixlen=usual,
        default_quota=body.default_quota,
        address_scope_id=body.address_scope_id,
        is_default=body.is_default,
    )
    _check_lengths(row)
    _check_only_default(tx, row)
    tx.add(row)
    tx.flush()
    if body.shared:
        check_scope_is_shared(tx, row, EVERYBODY)
        sharing.set_everybody(tx, "subnetpool", row, SHARED, True)
    return row


def _check_lengths(row: SubnetPool) -> None:
    if not 0 <= row.min_prefixlen <= row.default_prefixlen <= row.max_prefixlen <= LARGEST[row.ip_version]:
        raise Invalid(
            f"Illegal prefix bounds: min_prefixlen={row.min_prefixlen} <= default_prefixlen={row.default_prefixlen} <="
            f" max_prefixlen={row.max_prefixlen} <= {LARGEST[row.ip_version]} must hold.",
            kind="IllegalSubnetPoolPrefixBounds",
        )


def _check_only_default(tx: Tx, row: SubnetPool) -> None:
    if not row.is_default:
        return
    others = select(SubnetPool.id).where(SubnetPool.is_default.is_(True), SubnetPool.ip_version == row.ip_version)
    if any(other != row.id for other in tx.scalars(others)):
        raise invalid(f"A default subnetpool for IPv{row.ip_version} has already been set. Only one can exist.")


def update_pool(tx: Tx, ctx: Context, row: SubnetPool, changes: dict[str, Any]) -> None:
    """Apply changes; prefixes can only become more."""
    _check_own_scope(tx, ctx, row)
    if "prefixes" in changes:
        prefixes, version = _prefixes(changes["prefixes"])
        if version != row.ip_version or not _covers(prefixes, row.prefixes):
            raise Invalid(
                "Illegal update to prefixes: existing prefixes must be a subset of the new prefixes.",
                kind="IllegalSubnetPoolPrefixUpdate",
            )
        changes["prefixes"] = prefixes
    if {"prefixes", "address_scope_id"} & changes.keys():
        scope_id = changes.get("address_scope_id", row.address_scope_id)
        _check_scope(tx, scope_id, changes.get("prefixes", row.prefixes), row.id)
    for name, value in changes.items():
        setattr(row, name, value)
    _check_lengths(row)
    _check_only_default(tx, row)


def _covers(outer: list[str], inner: list[str]) -> bool:
    around = [ipaddress.ip_network(prefix) for prefix in outer]
    return all(any(_within(ipaddress.ip_network(prefix), one) for one in around) for prefix in inner)


def delete_pool(tx: Tx, ctx: Context, row: SubnetPool) -> None:
    """Remove a pool, unless subnets were cut from it."""
    if networks.subnets_of_pool(tx, row.id):
        raise Conflict(
            f"Unable to delete subnet pool {row.id}: Subnet pool has existing allocations.",
            kind="SubnetPoolDeleteError",
        )
    sharing.delete_shares(tx, row.id)
    tx.delete(row)


def create_scope(tx: Tx, ctx: Context, body: Any) -> AddressScope:
    """Add an address scope."""
    row = AddressScope(
        project_id=body.project_id, name=body.name, description=body.description, ip_version=body.ip_version
    )
    tx.add(row)
    tx.flush()
    if body.shared:
        sharing.set_everybody(tx, "address_scope", row, SHARED, True)
    return row


def update_scope(tx: Tx, ctx: Context, row: AddressScope, changes: dict[str, Any]) -> None:
    """Apply changes; a shared scope stays shared."""
    if "shared" in changes:
        shared = changes.pop("shared")
        if not shared and sharing.everybody(tx, "address_scope", row.id, SHARED) is not None:
            raise Invalid(
                f"Unable to update address scope {row.id}: Shared address scope can't be unshared.",
                kind="AddressScopeUpdateError",
            )
        sharing.set_everybody(tx, "address_scope", row, SHARED, shared)
    for name, value in changes.items():
        setattr(row, name, value)


def delete_scope(tx: Tx, ctx: Context, row: AddressScope) -> None:
    """Remove a scope, unless pools belong to it."""
    if tx.scalar(select(SubnetPool.id).where(SubnetPool.address_scope_id == row.id).limit(1)) is not None:
        raise Conflict(
            f"There are one or more subnet pools in use on address scope {row.id}.", kind="AddressScopeInUse"
        )
    sharing.delete_shares(tx, row.id)
    tx.delete(row)


def remove_prefixes(tx: Tx, ctx: Context, row: SubnetPool, given: list[str]) -> None:
    """Take prefixes out of a pool, unless subnets were cut from them."""
    _check_own_scope(tx, ctx, row)
    gone = [network_of(prefix) for prefix in given]
    for subnet in networks.subnets_of_pool(tx, row.id):
        if any(_within(ipaddress.ip_network(subnet.cidr), prefix) for prefix in gone):
            raise Conflict(
                f"Illegal update to prefixes: subnet {subnet.id} ({subnet.cidr}) was cut from what is to be removed.",
                kind="IllegalSubnetPoolPrefixUpdate",
            )
    left: list[Any] = [ipaddress.ip_network(prefix) for prefix in row.prefixes]
    for prefix in gone:
        left = [part for network in left for part in _without(network, prefix)]
    if not left:
        raise Invalid("Illegal update to prefixes: a subnet pool needs at least one prefix; delete the pool instead.")
    row.prefixes = [str(network) for network in ipaddress.collapse_addresses(left)]


def _without(network: Any, prefix: IpNetwork) -> list[Any]:
    if network.version != prefix.version or not network.overlaps(prefix):
        return [network]
    return list(network.address_exclude(prefix)) if _within(prefix, network) else []
