# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What tests and faults share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hosts import INVENTORY, Client

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))  # what lanes share


@pytest.fixture(scope="session")
def secrets():
    """Return the secrets that the control node keeps for this inventory, by name."""
    files = [path for path in (INVENTORY / ".intranet-mcp/secrets").iterdir() if path.is_file()]
    return {path.name: path.read_text().strip() for path in files}


@pytest.fixture(scope="session")
def client(secrets):
    """Return the one address, with a developer's key."""
    return Client(secrets["key-first-developer"])
