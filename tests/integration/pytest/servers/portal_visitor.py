# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Somebody at the portal: portal_visitor.py PORTAL NAME ACTION..., in the portal's own environment.

AUTHORITIES in the environment may name PEM files, with colons between them, whom to trust besides.
An action is the name of a page to open, or of a form to send: key, line, end-sessions, and
device=CODE, which connects a terminal. Prints one JSON object: action to status and text.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
from pathlib import Path

import httpx2

sys.path.append(str(Path(__file__).resolve().parents[3]))

import identity_provider

FORMS = {"key": "connect", "line": "connect", "end-sessions": "overview", "device": "device"}


def main(portal: str, name: str, *actions: str) -> None:
    browser = httpx2.Client(timeout=30, trust_env=False, verify=_trusted())
    began = browser.get(f"{portal}/portal/sign-in")
    back = identity_provider.pass_provider(browser, began.headers["location"], name)
    seen = {"sign-in": _told(browser.get(back))}
    for asked in actions:
        action, _separator, code = asked.partition("=")
        if action not in FORMS:
            seen[action] = _told(browser.get(f"{portal}/portal/{action}"))
            continue
        page = browser.get(f"{portal}/portal/{FORMS[action]}").text
        [token, *_] = re.findall(r'name="csrf" value="([^"]+)"', page)
        fields = {"csrf": token, "code": code}
        seen[action] = _told(browser.post(f"{portal}/portal/{action}", data=fields))
    print(json.dumps(seen))


def _trusted() -> ssl.SSLContext:
    context = ssl.create_default_context()
    for path in filter(None, os.environ.get("AUTHORITIES", "").split(":")):
        context.load_verify_locations(path)
    return context


def _told(response: httpx2.Response) -> dict:
    return {"status": response.status_code, "text": response.text}


main(*sys.argv[1:])
