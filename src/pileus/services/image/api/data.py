"""The bytes of images: uploaded, staged, imported, downloaded."""

from typing import Any

from pileus.kernel.context import Context
from pileus.kernel.db import Tx, after_commit
from pileus.kernel.errors import ApiError, Forbidden, Invalid
from pileus.kernel.rest import Request, Response
from pileus.kernel.rest.schema import decode
from pileus.kernel.runtime import Runtime
from pileus.services.image import store
from pileus.services.image.api.answers import api
from pileus.services.image.app import visibility as rules
from pileus.services.image.app.imports import ImportRequest, begin_import, describe_task, run_import, task_of
from pileus.services.image.app.uploads import stage_bytes, store_bytes
from pileus.services.image.model import ACTIVE, DEACTIVATED, ImageRow, ImageSettings, data_of
from pileus.services.object_store import public as objects

BINARY = "application/octet-stream"


def _announced(request: Request) -> int | None:
    """Return the size that the client announces.  Raises ApiError 415 for bytes of another type, Invalid."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != BINARY:
        raise ApiError(f"Image data is sent as {BINARY}, not '{kind}'.", status=415)
    announced = None
    for header in ("content-length", "x-openstack-image-size"):
        value = request.headers.get(header)
        if value is not None:
            if not value.isdigit():
                raise Invalid(f"{header} must be a number of bytes, not '{value}'.")
            announced = int(value)
    return announced


@api.put("/images/{image}/file", rules.UPLOAD)
async def upload_image(ctx: Context, request: Request, runtime: Runtime, image: ImageRow) -> None:
    size = _announced(request)
    await store_bytes(runtime, ctx, image.id, request.stream(), size)


@api.put("/images/{image}/stage", rules.UPLOAD)
async def stage_image(ctx: Context, request: Request, runtime: Runtime, image: ImageRow) -> None:
    size = _announced(request)
    await stage_bytes(runtime, ctx, image.id, request.stream(), size)


@api.get("/images/{image}/file", rules.DOWNLOAD)
async def download_image(ctx: Context, request: Request, runtime: Runtime, image: ImageRow) -> Response:
    if image.status == DEACTIVATED and not ctx.is_admin:
        raise Forbidden(f"The requested image {image.id} has been deactivated. Image data download is forbidden.")
    if image.status not in (ACTIVE, DEACTIVATED) or image.size is None:
        return Response(204, media_type=None)
    start, end = _range(request, image.size)
    headers = [("Content-MD5", image.checksum)] if image.checksum and end - start == image.size else []
    headers.append(("Accept-Ranges", "bytes"))
    if "range" in request.headers or "content-range" in request.headers:
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{image.size}"))
    status = 206 if end - start < image.size else 200
    body = await objects.get(runtime, data_of(image.id), start, end - start)
    return Response(status, body, headers, BINARY, end - start)


def _range(request: Request, size: int) -> tuple[int, int]:
    """Return the bytes asked for, by ``Range`` or by the ``Content-Range`` of old clients."""
    header = request.headers.get("range") or request.headers.get("content-range", "").replace("bytes ", "bytes=")
    if not header:
        return 0, size
    unit, _, spec = header.partition("=")
    first, dash, last = spec.partition("/")[0].partition("-")
    if unit != "bytes" or not dash or not (first + last).isdigit():
        raise ApiError(f"The range '{header}' cannot be read; ask for one range of bytes.", status=416)
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise ApiError(
            f"The range '{header}' lies outside the image's {size} bytes.",
            status=416,
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


@api.post("/images/{image}/import", rules.MODIFY, status=202)
def import_image(tx: Tx, ctx: Context, runtime: Runtime, image: ImageRow, body: Any, settings: ImageSettings) -> None:
    asked = decode(body, ImportRequest, "the import request")
    task = begin_import(tx, ctx, image, asked, settings)
    if task.status != "success":
        name, task_id = f"image.import {image.id}", task.id
        after_commit(tx, lambda: runtime.spawn(run_import(runtime, task_id), name))


@api.get("/images/{image}/tasks", rules.GET)
def list_image_tasks(tx: Tx, image: ImageRow) -> dict[str, Any]:
    return {"tasks": [describe_task(task) for task in store.list_tasks(tx, image_id=image.id)]}


@api.get("/tasks", rules.TASKS)
def list_tasks(tx: Tx, ctx: Context) -> dict[str, Any]:
    rows = store.list_tasks(tx, project_id=None if ctx.is_admin else ctx.project_id)
    return {"tasks": [describe_task(task) for task in rows], "first": "/v2/tasks", "schema": "/v2/schemas/tasks"}


@api.get("/tasks/{task}", rules.TASKS)
def show_task(tx: Tx, ctx: Context, task: str) -> dict[str, Any]:
    return describe_task(task_of(tx, task, ctx.project_id, is_admin=ctx.is_admin))
