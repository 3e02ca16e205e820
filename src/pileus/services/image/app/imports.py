"""Imports: staged bytes become the image's at once; bytes from the web are fetched in the background.

The one rule: an import ends in a task that says how it went; one that a crash cut off is begun again.
"""

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from pileus.kernel import clock, ids, quota
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import ApiError, Conflict, Invalid, NotFound
from pileus.services.image import store
from pileus.services.image.app.images import limits
from pileus.services.image.app.uploads import MIB, activate, store_bytes
from pileus.services.image.drivers.web import WebSource
from pileus.services.image.model import (
    ENDED,
    QUEUED,
    STORE,
    TASKS_KEPT,
    UPLOADING,
    ImageRow,
    ImageSettings,
    TaskRow,
    data_of,
    staging_of,
)
from pileus.services.object_store import public as objects

if TYPE_CHECKING:
    from pileus.kernel.runtime import Runtime

log = logging.getLogger(__name__)
FAILED_IMPORT = "os_glance_failed_import"
"""The property that names the stores into which the last import failed."""
METHODS = ("glance-direct", "web-download")


class Method(msgspec.Struct, forbid_unknown_fields=True):
    """How to import."""

    name: str
    uri: str | None = None


class ImportRequest(msgspec.Struct):
    """What a client asks."""

    method: Method
    stores: list[str] | None = None
    all_stores: bool = False
    all_stores_must_succeed: bool = True


def begin_import(tx: Tx, ctx: Context, row: ImageRow, asked: ImportRequest, settings: ImageSettings) -> TaskRow:
    """Write the task; carry out an import of staged bytes, leave one from the web to ``run_import``."""
    if asked.stores and set(asked.stores) != {STORE}:
        unknown = ", ".join(sorted(set(asked.stores) - {STORE}))
        raise Invalid(f"There is no store '{unknown}'; the one store is '{STORE}'.")
    if row.container_format is None or row.disk_format is None:
        raise Invalid("'container_format' and 'disk_format' need to be set before import.")
    now = clock.now()
    task = TaskRow(
        id=ids.new_id(),
        image_id=row.id,
        project_id=ctx.project_id or None,
        user_id=ctx.user_id or None,
        request_id=ctx.request_id,
        status="pending",
        input={"image_id": row.id, "import_req": msgspec.to_builtins(asked), "backend": [STORE]},
        created_at=now,
        updated_at=now,
    )
    store.insert_task(tx, task)
    if asked.method.name == "glance-direct":
        _promote(tx, ctx, row, settings)
        task.status = "success"
    elif asked.method.name == "web-download":
        source_of(settings).check(asked.method.uri or "")
        if row.status != QUEUED:
            raise Conflict(f"Image {row.id} needs to be in 'queued' state to use 'web-download'; it is {row.status}.")
    else:
        raise Invalid(f"Unknown import method '{asked.method.name}'; possible: {', '.join(METHODS)}.")
    return task


def _promote(tx: Tx, ctx: Context, row: ImageRow, settings: ImageSettings) -> None:
    if row.status != UPLOADING or row.staged is None:
        raise Conflict(f"Image {row.id} needs to be staged before 'glance-direct' method can be used.")
    facts = row.staged
    if row.project_id is not None:
        wanted = -(-int(facts["size"] or 1) // MIB)
        quota.claim(tx, row.project_id, limits(settings), {"image_size_total": wanted})
    objects.move(tx, staging_of(row.id), data_of(row.id))
    activate(tx, ctx, row, facts)


def source_of(settings: ImageSettings) -> WebSource:
    """Return what web-downloads may reach."""
    ports = frozenset(settings.web_download_ports)
    return WebSource(ports, settings.web_download_private, settings.web_download_seconds)


async def run_import(runtime: "Runtime", task_id: str) -> None:
    """Fetch an image from the web; the task tells how it went."""
    found = await runtime.db.write(_start_task, task_id)
    if found is None:
        return
    image_id, uri, ctx_project = found
    source = source_of(runtime.config.get(ImageSettings))
    problem = ""
    try:
        await store_bytes(runtime, runtime.internal(project_id=ctx_project), image_id, source.chunks(uri))
    except ApiError as error:
        problem = error.message
        log.info("import of image %s from %s failed: %s", image_id, uri, problem)
    except Exception as error:  # a defect of ours: the task still says how it went
        problem = f"The import failed for a reason that is not its own ({type(error).__name__}); try again."
        log.exception("import of image %s from %s failed", image_id, uri)
    await runtime.db.write(_end_task, task_id, problem)


def _start_task(tx: Tx, task_id: str) -> tuple[str, str, str | None] | None:
    task = store.get_task(tx, task_id)
    if task is None:
        return None
    task.status, task.updated_at = "processing", clock.now()
    method: dict[str, Any] = task.input["import_req"]["method"]
    return task.image_id, method["uri"], task.project_id


def _end_task(tx: Tx, task_id: str, problem: str) -> None:
    task = store.get_task(tx, task_id)
    if task is not None:
        task.status, task.message = ("failure", problem[:4000]) if problem else ("success", "")
        task.updated_at = clock.now()
        store.set_property(tx, task.image_id, FAILED_IMPORT, STORE if problem else None)


def describe_task(task: TaskRow) -> dict[str, Any]:
    """Return a task as the API shows it."""
    return {
        "id": task.id,
        "type": "api_image_import",
        "status": task.status,
        "owner": task.project_id,
        "user_id": task.user_id,
        "request_id": task.request_id,
        "image_id": task.image_id,
        "input": task.input,
        "result": {"image_id": task.image_id} if task.status == "success" else None,
        "message": task.message,
        "expires_at": clock.iso(task.updated_at + TASKS_KEPT) if task.status in ENDED else None,
        "created_at": clock.iso(task.created_at),
        "updated_at": clock.iso(task.updated_at),
        "self": f"/v2/tasks/{task.id}",
        "schema": "/v2/schemas/task",
    }


def task_of(tx: Tx, task_id: str, project_id: str, *, is_admin: bool) -> TaskRow:
    """Return a task of the caller's project.  Raises NotFound."""
    task = store.get_task(tx, task_id)
    if task is None or (task.project_id != project_id and not is_admin):
        raise NotFound(f"No task found with ID {task_id}.")
    return task
