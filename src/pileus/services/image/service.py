"""The image service as the kernel sees it."""

import logging

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.runtime import Runtime
from pileus.kernel.service import CatalogEntry, Service
from pileus.services.image import store
from pileus.services.image.api.answers import api, root
from pileus.services.image.app.imports import run_import
from pileus.services.image.model import ACCOUNT, DATA, STAGING
from pileus.services.object_store import public as objects

log = logging.getLogger(__name__)


def bootstrap(tx: Tx, runtime: Runtime) -> None:
    """Make the service's account; put images whose upload died with the last process back to queued."""
    objects.ensure_container(tx, ACCOUNT, DATA)
    objects.ensure_container(tx, ACCOUNT, STAGING)
    objects.ensure_signing_key(tx, ACCOUNT)
    abandoned = store.abandon_uploads(tx, clock.now())
    if abandoned:
        log.info("%d images are queued again: their uploads ended with the last process", abandoned)


async def start(runtime: Runtime) -> None:
    """Begin again the imports that the last process did not end."""
    for task_id in await runtime.db.read(_unfinished):
        runtime.spawn(run_import(runtime, task_id), f"image.import {task_id}")


def _unfinished(tx: Tx) -> list[str]:
    return [task.id for task in store.list_unfinished_tasks(tx)]


SERVICE = Service(
    "image",
    "/image",
    [api, root],
    [CatalogEntry("image", "glance", "/image", "Images")],
    bootstrap=bootstrap,
    start=start,
    order=30,
)
