# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The browser of a person whom a CLI sends to sign in: browser.py ADDRESS. NAME is who they are."""

from __future__ import annotations

import html
import os
import re
import sys
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2

sys.path.append(str(Path(__file__).resolve().parents[1]))

import identity_provider

HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


def allow(browser: httpx2.Client, address: str, name: str) -> str:
    """Sign in on the way to the portal's question, and allow the program what it asks for."""
    at_provider = identity_provider.pass_provider(browser, address, name)
    back = identity_provider.pass_provider(browser, at_provider, name)
    shown = browser.get(back, follow_redirects=True).raise_for_status()
    fields = {found: html.unescape(value) for found, value in HIDDEN.findall(shown.text)}
    answer = browser.post(urljoin(address, "/portal/authorize"), data={**fields, "answer": "allow"})
    return answer.headers["location"]


def main(address: str, name: str) -> None:
    browser = httpx2.Client(timeout=20, trust_env=False)
    is_portal = urlsplit(address).path == "/portal/authorize"
    step = allow if is_portal else identity_provider.pass_provider
    browser.get(step(browser, address, name)).raise_for_status()


if __name__ == "__main__":
    main(sys.argv[1], os.environ["NAME"])
