from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.api.compute.cloud import Cloud, cloud_at


@pytest_asyncio.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with cloud_at(tmp_path) as found:
        yield found
