# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The browser of a person whom a CLI sends to sign in: browser.py ADDRESS. NAME is who they are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx2

sys.path.append(str(Path(__file__).resolve().parents[1]))

import identity_provider

browser = httpx2.Client(timeout=20, trust_env=False)
back = identity_provider.pass_provider(browser, sys.argv[1], os.environ["NAME"])
browser.get(back).raise_for_status()
