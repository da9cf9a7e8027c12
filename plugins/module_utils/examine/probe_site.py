# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether another site of the company would answer for this one's models.

It is not this platform that is wrong where it would not, and people notice nothing as long as their
own site's servers are well: all that is said is a warning.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient, Reply
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    PASSED,
    WARNING,
    Finding,
)
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.shapes import bearer

ARGUMENTS: dict[str, Any] = {
    "site": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "models": {"type": "list", "elements": "str", "required": True},
    "timeout": {"type": "int", "default": 10},
}
EXPECTED = "a LiteLLM that answers when no server of this site does"


def answers(name: str, params: dict[str, Any]) -> list[Finding]:
    """It answers, takes the key, and has the models."""
    headers = bearer(params["key"])
    service = f"the site {params['site']}"
    client = HttpClient(params["url"], service, "litellm_sites", headers, params["timeout"])
    try:
        reply = client.request("GET", "/v1/models")
    except ServiceError as error:
        return [
            _warning(
                name,
                error.found,
                EXPECTED,
                "look at that site and the way to it; whoever signed its certificate has to be in "
                "platform_ca_bundle; until then this site's models have nothing to fall back on",
            )
        ]
    return [_judged(name, f"{service} at {client.url}", reply, params["models"])]


def _judged(name: str, where: str, reply: Reply, wanted: list[str]) -> Finding:
    if reply.status in (401, 403):
        return _warning(
            name,
            f"{where} refuses the key (HTTP {reply.status})",
            "the key that it has as other-sites",
            "have the same secret key-other-sites at both sites and run site.yml there, or correct "
            "key in litellm_sites",
        )
    listed = reply.json()
    if not reply.ok or not isinstance(listed, dict) or not isinstance(listed.get("data"), list):
        said = f"{where} answers HTTP {reply.status} to GET /v1/models"
        return _warning(name, said, EXPECTED, "correct url in litellm_sites, or look at that site")
    has = {one.get("id") for one in listed["data"] if isinstance(one, dict)}
    if lacking := [model for model in wanted if model not in has]:
        return _warning(
            name,
            f"{where} has no {', '.join(lacking)}",
            f"{', '.join(wanted)} under the same names",
            "have them there, or name those that it has in models of litellm_sites",
        )
    found = f"{len(wanted)} models"
    return Finding(name, found, found, status=PASSED)


def _warning(name: str, found: str, expected: str, action: str) -> Finding:
    return Finding(name, found, expected, action, status=WARNING)
