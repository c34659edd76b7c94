"""A started runtime on a machine of the test's own."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.network.namespaces import own_network
from tests.runtime.machine import BUSYBOX, Machine, started


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """Root only; needs busybox-static."""
    if os.geteuid() != 0:
        pytest.skip("pods are run by root")
    if not BUSYBOX.exists():
        pytest.skip("busybox-static is not installed")
    with own_network():
        async with started(tmp_path) as made:
            yield made
