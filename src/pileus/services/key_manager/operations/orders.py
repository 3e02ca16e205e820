"""Making the keys that are ordered: pairs take seconds, so they are made on threads of their own.

Rule: keys are nowhere but in memory until they are sealed into rows, by one transaction that also ends the order.
Whoever is killed before it makes other keys; after it there is nothing left to do.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from pileus.kernel import clock, events, ids
from pileus.kernel.db import Database, Tx
from pileus.kernel.errors import ApiError
from pileus.kernel.operations import Operation, operation
from pileus.kernel.runtime import Runtime, runtime_of
from pileus.services.key_manager.model import ACTIVE, ERROR, PENDING, Container, ContainerSecret, Order, Secret
from pileus.services.key_manager.store import keys, things

SYMMETRIC = {"aes", "des", "3des", "hmacsha1", "hmacsha256", "hmacsha384", "hmacsha512"}
SYMMETRIC_BITS = {64, 128, 192, 256}
ASYMMETRIC_BITS = {"rsa": {1024, 2048, 3072, 4096}, "dsa": {1024, 2048}, "ec": {256, 384, 521}}
CURVES = {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}
BINARY = "application/octet-stream"


class FillOrder(msgspec.Struct, frozen=True):
    order_id: str
    passphrase_id: str | None = None
    """The secret with the passphrase that the private key is to be encrypted with."""


class Wanted(msgspec.Struct, frozen=True):
    """What is to be made."""

    type: str
    algorithm: str
    bits: int
    mode: str
    passphrase: bytes | None

    @property
    def refusal(self) -> str | None:
        """Why no store makes this, None when one does."""
        if self.type == "key":
            bits = self.bits / (2 if self.mode == "xts" else 1)
            fine = self.algorithm in SYMMETRIC and bits in SYMMETRIC_BITS
        else:
            fine = self.bits in ASYMMETRIC_BITS.get(self.algorithm, ())
        if fine:
            return None
        return (
            f"No secret store makes keys of {self.algorithm} with {self.bits} bits: see the README of key management."
        )


class Makers:
    """The threads that make pairs of keys, so that many orders do not take the machine."""

    def __init__(self, runtime: Runtime) -> None:
        self.pool = ThreadPoolExecutor(2, "key-pairs")

    def close(self) -> None:
        """Begin nothing more; what is being made is made again by the next process."""
        self.pool.shutdown(wait=False, cancel_futures=True)


def make_pair(wanted: Wanted) -> tuple[bytes, bytes]:
    """Return a private key (PKCS #8) and its public key: PEM, of DSA DER, as upstream makes them."""
    match wanted.algorithm:
        case "rsa":
            private: Any = rsa.generate_private_key(public_exponent=65537, key_size=wanted.bits)
        case "dsa":
            private = dsa.generate_private_key(key_size=wanted.bits)
        case _:
            private = ec.generate_private_key(CURVES[wanted.bits]())
    encoding = serialization.Encoding.DER if wanted.algorithm == "dsa" else serialization.Encoding.PEM
    sealing: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if wanted.passphrase is not None:
        sealing = serialization.BestAvailableEncryption(wanted.passphrase)
    public = private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, sealing), public


async def fill(db: Database, input: FillOrder) -> None:
    """Make the keys of an order and end it; nothing happens when it has ended, or was deleted."""
    wanted = await db.read(find_wanted, input)
    if wanted is None:
        return
    if wanted.refusal is not None:
        await db.write(fail, input, wanted.refusal, "400")
    elif wanted.type == "key":
        await db.write(keep, input, keep_key, ids.random_bytes(wanted.bits // 8))
    else:
        pool = runtime_of(db).part(Makers).pool
        private, public = await asyncio.get_running_loop().run_in_executor(pool, make_pair, wanted)
        await db.write(keep, input, keep_pair, private, public, input.passphrase_id)


def find_wanted(tx: Tx, input: FillOrder) -> Wanted | None:
    """Return what an order is about, None when there is nothing to do."""
    order = _pending(tx, input)
    if order is None:
        return None
    held = tx.get(Secret, input.passphrase_id) if input.passphrase_id is not None else None
    passphrase = keys.content_of(tx, held) if held is not None else None
    meta = order.meta
    mode = (meta.get("mode") or "").lower()
    return Wanted(order.type, meta["algorithm"].lower(), meta["bit_length"], mode, passphrase)


def _pending(tx: Tx, input: FillOrder) -> Order | None:
    order = tx.get(Order, input.order_id)
    return order if order is not None and order.status == PENDING else None


def keep(tx: Tx, input: FillOrder, work: Any, *made: Any) -> None:
    """Seal what was made and end the order; a project without room for it gets the reason."""
    order = _pending(tx, input)
    if order is None:
        return
    try:
        things.claim(tx, order.project_id, "secrets", 1 if order.type == "key" else 2)
        things.claim(tx, order.project_id, "containers", 0 if order.type == "key" else 1)
    except ApiError as error:
        _end(tx, order, ERROR, error.message, str(error.status))
        return
    work(tx, order, *made)
    _end(tx, order, ACTIVE)


def _end(tx: Tx, order: Order, status: str, reason: str | None = None, code: str | None = None) -> None:
    order.status, order.updated_at = status, clock.now()
    order.error_reason, order.error_status_code = reason and reason[:255], code
    tx.flush()
    project = order.project_id
    events.emit(tx, "key_manager.order.updated", order.id, project_id=project, ctx=None, status=status)


def fail(tx: Tx, input: FillOrder, reason: str, code: str = "500") -> None:
    """Let an order say why nothing was made."""
    order = _pending(tx, input)
    if order is not None:
        _end(tx, order, ERROR, reason, code)


def add_secret(tx: Tx, order: Order, secret_type: str, content: bytes, kind: str = "") -> Secret:
    """Add a secret that an order is about."""
    meta = order.meta
    row = Secret(
        project_id=order.project_id, creator_id=order.creator_id, name=meta.get("name"), secret_type=secret_type,
        algorithm=meta.get("algorithm"), bit_length=meta.get("bit_length"), mode=meta.get("mode"),
        expires_at=_moment(meta.get("expiration")),
    )  # fmt: skip
    tx.add(row)
    tx.flush()
    keys.keep_content(tx, row, content, kind or meta.get("payload_content_type") or BINARY)
    events.emit(tx, "key_manager.secret.created", row.id, project_id=row.project_id, ctx=None)
    return row


def keep_key(tx: Tx, order: Order, key: bytes) -> None:
    """Seal a symmetric key."""
    order.secret_id = add_secret(tx, order, "symmetric", key).id


def keep_pair(tx: Tx, order: Order, private: bytes, public: bytes, passphrase_id: str | None) -> None:
    """Seal a pair of keys, and put them into a container with the passphrase, if any."""
    type = "rsa" if order.meta["algorithm"].lower() == "rsa" else "generic"
    named = {
        "private_key": add_secret(tx, order, "private", private).id,
        "public_key": add_secret(tx, order, "public", public).id,
        **({"private_key_passphrase": passphrase_id} if passphrase_id is not None else {}),
    }
    row = Container(
        id=ids.new_id(),
        name=order.meta.get("name"),
        type=type,
        project_id=order.project_id,
        creator_id=order.creator_id,
    )
    tx.add(row)
    tx.add_all([ContainerSecret(container_id=row.id, secret_id=id, name=name) for name, id in named.items()])
    order.container_id = row.id
    events.emit(tx, "key_manager.container.created", row.id, project_id=row.project_id, ctx=None)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


@operation("key_manager.order", input=FillOrder, deadline_s=1800, on_failure=fail)
async def fill_order(op: Operation, input: FillOrder) -> None:
    """Make what is ordered."""
    await op.step("keys", fill, op.db, input)
