"""What tests on a real host share: a state folder that guests' unprivileged user can reach, and the guest image."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.services.image.mini import MiniImage, build_mini


@pytest.fixture
def host_state() -> Iterator[Path]:
    """A folder anybody may pass through, as /var/lib/pileus is; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="pileus-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def mini() -> MiniImage:
    """pileus-mini, built once and kept between runs."""
    return build_mini(Path(tempfile.gettempdir()) / "pileus-test-images")
