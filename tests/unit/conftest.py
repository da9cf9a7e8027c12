# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every unit test needs: the collection importable, modules run as Ansible runs them."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import support

support.make_collection_importable()


@pytest.fixture
def run_module():
    """Run a module in this process: `run_module(name, check=False, diff=True, **options)`."""
    return support.run_module


@pytest.fixture
def service():
    """A fake HTTP service for one test."""
    fake = support.FakeService()
    yield fake
    fake.close()


@pytest.fixture
def closed_port():
    """The address of a port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
