"""What the kernel's tests share."""

import pytest

from .site import Site


@pytest.fixture
async def site(tmp_path):
    """A database, a host and workers, on SQLite."""
    site = Site(tmp_path, f"sqlite:///{tmp_path}/toy.db")
    await site.db.create_schema()
    yield site
    for worker in site.workers:
        await worker.stop()
    await site.db.close()
