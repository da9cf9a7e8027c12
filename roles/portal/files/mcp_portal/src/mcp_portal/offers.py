"""What there is for a team: models and tools, why not the rest, and what works of it."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from mcp_portal import administrators, reasons, status, tools
from mcp_portal.pages import page
from mcp_portal.portal import Portal
from mcp_portal.problem import Problem


class Offers:
    """Pages of what somebody may use; each public method answers one address."""

    def __init__(self, portal: Portal) -> None:
        self._portal, self._site = portal, portal.site
        self._status = status.Status(portal.config.status_file)

    async def models(self, request: Request) -> Response:
        person, session = self._portal.signed_in(request)
        team = self._portal.team(request, person)
        names = await self._portal.keys.models(await self._portal.page_key(person, session, team))
        known = {model.name: model for model in self._site.models}
        report = self._status.report()
        return page(
            request, "models", rows=[(name, known.get(name)) for name in names], team=team,
            teams=person.teams, report=report, age=status.age(report),
            has_report=self._status.is_kept, closed=reasons.of_models(self._site, team, names),
        )  # fmt: skip

    async def tools(self, request: Request) -> Response:
        person, session = self._portal.signed_in(request)
        team = self._portal.team(request, person)
        key = await self._portal.page_key(person, session, team)
        listed = await self._portal.gateway.listed(key)
        hidden = {
            server: reasons.of_tools(self._site, team, server, [tool["name"] for tool in shown])
            for server, shown in listed.items()
        }
        words_ = request.query_params.get("q", "")[:200]
        return page(
            request, "tools", listed=tools.matching(listed, words_), words=words_, hidden=hidden,
            closed=reasons.of_servers(self._site, team, listed, self._status.report()),
            servers=self._site.servers, personal=self._site.personal, team=team,
            teams=person.teams,
        )  # fmt: skip

    async def report(self, request: Request) -> Response:
        """What verify found last: parts for everybody, checks for administrators."""
        _person, session = self._portal.signed_in(request)
        if not self._status.is_kept:
            raise Problem("no_page", 404)
        report, named = self._status.report(), self._portal.config.administrator_groups
        return page(
            request, "status", report=report, age=status.age(report),
            is_administrator=administrators.is_one(session, named),
            is_fresh=administrators.is_fresh(session, time.time()),
        )  # fmt: skip
