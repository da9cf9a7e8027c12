"""Answers as people see them: templates, headers, and one message where something went wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mcp_portal import administrators, status, words
from mcp_portal.problem import Problem

# Where the portal begins, on the address that it shares with models and tools.
PREFIX = "/portal"
# Pages of who is signed in, in the order of the menu.
MENU = ("overview", "connect", "models", "tools", "usage", "status", "credentials")
# The one that only administrators have.
PEOPLE = "people"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
# What anybody can cause as often as they like is not logged: it would push out the rest.
QUIET = (400, 404, 413, 429)
log = logging.getLogger("mcp_portal")

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Request, name: str, http_status: int = 200, **values: object) -> Response:
    """Return a page in the browser's language."""
    language = words.language_of(request)

    def say(key: str, **known: object) -> str:
        return words.say(language, key, **known)

    session = request.scope.get("session") or {}
    text = _TEMPLATES.get_template(f"{name}.html").render(
        name=name,
        t=say,
        language=words.TAGS[language],
        languages={k: v for k, v in words.LANGUAGES.items() if k != language},
        prefix=PREFIX,
        menu=_menu(request, session),
        person=session.get("person"),
        moment=status.told,
        csrf=session.csrf if session else "",
        **values,
    )
    return HTMLResponse(text, http_status, headers=HEADERS)


def _menu(request: Request, session: Mapping[str, Any]) -> list[str]:
    state = request.app.state
    shown = [entry for entry in MENU if entry not in state.hidden]
    is_administrator = administrators.is_one(session, state.administrator_groups)
    return [*shown, PEOPLE] if is_administrator else shown


def problem(request: Request, found: Problem) -> Response:
    """Return the page of a problem; the log has what the page need not tell."""
    if found.status not in QUIET:
        log.warning("%s %r: %s %s", request.method, _logged(request), found.key, found.values)
    response = page(request, "problem", found.status, key=found.key, values=found.values)
    if found.status in (429, 503):
        response.headers["retry-after"] = "60"
    return response


def _logged(request: Request) -> str:
    """An address without what is secret in it: a line's code may still be good."""
    path = str(request.scope["path"])
    install = f"{PREFIX}/install/"
    return f"{install}..." if path.startswith(install) else path[:200]


def on_problem(request: Request, found: Exception) -> Response:
    """As Starlette's handlers are called."""
    assert isinstance(found, Problem)
    return problem(request, found)


def on_missing(request: Request, _found: Exception) -> Response:
    return problem(request, Problem("no_page", 404))
