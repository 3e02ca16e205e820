"""Contents and the keys they are sealed with: each project's own, of the store that its new secrets go to.

Rule: plain contents pass through these functions and are kept nowhere.
"""

from sqlalchemy import exists, select, update

from pileus.kernel import ids
from pileus.kernel.db import Tx
from pileus.kernel.errors import Unavailable
from pileus.kernel.runtime import Runtime, runtime_of
from pileus.services.key_manager.drivers.base import CryptoDriver
from pileus.services.key_manager.drivers.simple_crypto import SimpleCrypto
from pileus.services.key_manager.model import PreferredStore, ProjectKey, Secret, SecretStore

CHUNK = 50
"""Rows that one transaction seals anew."""


class Stores:
    """The drivers of this cloud, by the name of their plugin; the first is the default."""

    def __init__(self, runtime: Runtime) -> None:
        self.drivers: dict[str, CryptoDriver] = {SimpleCrypto.plugin: SimpleCrypto(runtime.config)}

    def driver(self, plugin: str) -> CryptoDriver:
        """Return a store's driver; raise Unavailable when this cloud does not have it any more."""
        found = self.drivers.get(plugin)
        if found is None:
            raise Unavailable(f"The secret store {plugin} is not set up here: put it back into pileus.toml.")
        return found


def stores_of(tx: Tx) -> Stores:
    """Return the cloud's stores."""
    return runtime_of(tx).part(Stores)


def _bound_key(key: ProjectKey) -> bytes:
    return f"project key\n{key.project_id}\n{key.id}".encode()


def _bound(secret: Secret) -> bytes:
    return f"secret\n{secret.project_id}\n{secret.id}".encode()


def keep_content(tx: Tx, secret: Secret, content: bytes, content_type: str) -> None:
    """Seal a secret's content into its row, which has its id and its project already."""
    key = _active_key(tx, secret.project_id)
    secret.content = stores_of(tx).driver(key.store).seal(key.sealed, _bound_key(key), content, _bound(secret))
    secret.content_type, secret.key_id = content_type, key.id


def content_of(tx: Tx, secret: Secret) -> bytes:
    """Return the content of a secret that has one; raise Unavailable when its keys are gone."""
    assert secret.content is not None
    key = tx.get(ProjectKey, secret.key_id)
    if key is None:
        raise Unavailable(f"The key of secret {secret.id} is not in the database: restore it from a backup.")
    return stores_of(tx).driver(key.store).open(key.sealed, _bound_key(key), secret.content, _bound(secret))


def _active_key(tx: Tx, project_id: str) -> ProjectKey:
    store = store_of_project(tx, project_id).crypto_plugin
    return _find_active(tx, project_id, store) or _add_key(tx, project_id, store)


def _find_active(tx: Tx, project_id: str, store: str) -> ProjectKey | None:
    mine = (ProjectKey.project_id == project_id, ProjectKey.store == store, ProjectKey.active)
    return tx.scalars(select(ProjectKey).where(*mine).order_by(ProjectKey.created_at.desc()).limit(1)).first()


def _add_key(tx: Tx, project_id: str, store: str) -> ProjectKey:
    key = ProjectKey(id=ids.new_id(), project_id=project_id, store=store, active=True)
    key.sealed = stores_of(tx).driver(store).make_key(_bound_key(key))
    tx.add(key)
    tx.flush()
    return key


def store_of_project(tx: Tx, project_id: str) -> SecretStore:
    """Return where the new secrets of a project go."""
    preferred = tx.get(PreferredStore, project_id)
    found = tx.get(SecretStore, preferred.store_id) if preferred is not None else None
    return found or default_store(tx)


def default_store(tx: Tx) -> SecretStore:
    """Return where secrets go by default."""
    return tx.scalars(select(SecretStore).where(SecretStore.global_default)).one()


def ensure_stores(tx: Tx) -> None:
    """Have a row for each of the cloud's stores; the first is the default."""
    known = {row.crypto_plugin: row for row in tx.scalars(select(SecretStore))}
    for at, (plugin, driver) in enumerate(stores_of(tx).drivers.items()):
        row = known.get(plugin)
        if row is None:
            row = SecretStore(name=driver.name, crypto_plugin=plugin)
            tx.add(row)
        row.global_default = at == 0


def retire_keys(tx: Tx, project_id: str | None) -> int:
    """Let new keys seal from now on for one project, or for all; return how many keys were retired."""
    chosen = [ProjectKey.active] if project_id is None else [ProjectKey.active, ProjectKey.project_id == project_id]
    return tx.connection().execute(update(ProjectKey).where(*chosen).values(active=False)).rowcount


def reseal_some(tx: Tx, limit: int = CHUNK) -> int:
    """Seal some secrets of retired keys with their projects' active ones; return how many; 0: there are none left."""
    retired = select(ProjectKey.id).where(~ProjectKey.active)
    rows = tx.scalars(select(Secret).where(Secret.key_id.in_(retired)).order_by(Secret.id).limit(limit)).all()
    for row in rows:
        keep_content(tx, row, content_of(tx, row), row.content_type)
    return len(rows)


def forget_keys(tx: Tx, limit: int = CHUNK) -> int:
    """Delete retired keys that seal nothing any more; return how many."""
    unused = select(ProjectKey).where(~ProjectKey.active, ~exists().where(Secret.key_id == ProjectKey.id))
    rows = tx.scalars(unused.limit(limit)).all()
    for row in rows:
        tx.delete(row)
    return len(rows)


def reseal_keys(tx: Tx, after: str) -> str | None:
    """Seal some project keys with the newest master key, in the order of their ids; return where to go on."""
    rows = tx.scalars(select(ProjectKey).where(ProjectKey.id > after).order_by(ProjectKey.id).limit(CHUNK)).all()
    for row in rows:
        anew = stores_of(tx).driver(row.store).reseal_key(row.sealed, _bound_key(row))
        if anew is not None:
            row.sealed = anew
    return rows[-1].id if len(rows) == CHUNK else None
