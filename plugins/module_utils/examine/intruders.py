# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Attacks that a platform must refuse, safe to try on one that does not.

Each is a request that somebody with too few rights sends. What would succeed changes nothing but
the user INTRUDER and this user's keys, which whoever runs these probes removes afterwards.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient, Reply
from ansible_collections.intranet.mcp.plugins.module_utils.examine import outside
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    NOT_APPLICABLE,
    Finding,
    verdict,
)

Findings = list[Finding]

INTRUDER = "verify-intruder"
# The same on every platform, and whether this one is up.
FOR_EVERYBODY = {"name", "version", "status", "protocol_versions", "endpoints"}
# What LiteLLM's framework says of a path that is not there. A 404 of LiteLLM itself differs:
# who gets it was let through.
ABSENT = ({"detail": "Not Found"}, {"detail": "Method Not Allowed"})


@dataclass(frozen=True)
class Attack:
    """One request. `refused` lists the statuses that are a refusal."""

    about: str
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    refused: tuple[int, ...] = (401, 403)


def _post(about: str, path: str, body: dict[str, Any]) -> Attack:
    return Attack(about, "POST", path, body)


def _get(path: str) -> Attack:
    return Attack(path, "GET", path)


# What a member's key must not do at LiteLLM, by the row it is reported in.
MEMBER_ATTACKS = {
    "members cannot make keys": [
        _post("a key of its own", "/key/generate", {"models": [], "metadata": {"groups": ["x"]}}),
        _post("a key of the team", "/key/generate", {"team_id": INTRUDER}),
        _post("a service account", "/key/service-account/generate", {"team_id": INTRUDER}),
    ],
    "members cannot administer": [
        _post("an own role", "/user/update", {"user_id": INTRUDER, "user_role": "proxy_admin"}),
        _post("another's key", "/key/delete", {"key_aliases": [INTRUDER + "-none"]}),
        _post("a model", "/model/delete", {"id": INTRUDER + "-none"}),
        _post(
            "a setting",
            "/config/field/delete",
            {"config_type": "general_settings", "field_name": INTRUDER},
        ),
    ],
    "members cannot read about others": [
        _get("/key/list"),
        _get("/user/list"),
        _get("/user/info"),
        _get("/team/list"),
        _get("/spend/logs"),
        _get("/spend/keys"),
        _get("/spend/users"),
        _get("/global/spend"),
        _get("/get/config/callbacks"),
        _get("/config/list?config_type=general_settings"),
        _get("/credentials"),
    ],
}

LITELLM_ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "api_key": {"type": "str", "required": True, "no_log": True},
    "timeout": {"type": "int", "default": 30},
}
GATEWAY_ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "servers": {"type": "list", "elements": "str", "required": True},
    "pages": {"type": "list", "elements": "str", "default": ["/"]},
    "timeout": {"type": "int", "default": 30},
}


def litellm(name: str, params: dict[str, Any]) -> Findings:
    """Try with a member's key what only administrators may."""
    headers = {"Authorization": f"Bearer {params['api_key']}"}
    client = HttpClient(params["url"], "LiteLLM", "its address", headers, params["timeout"])
    # A key that opens nothing at all is refused everywhere, which would prove nothing.
    status = client.request("GET", "/v1/models").status
    if status != 200:
        action = "read LiteLLM's log, then run verify again"
        found = f"the key itself gets HTTP {status}"
        return [
            Finding(f"{name} {about}", found, "a key that is valid", action, status=verdict(None))
            for about in MEMBER_ATTACKS
        ]
    action = "run site.yml, which gives people their role and keys their allowed_routes"
    return [
        _judged(f"{name} {about}", client, attacks, action)
        for about, attacks in MEMBER_ATTACKS.items()
    ]


def _judged(name: str, client: HttpClient, attacks: list[Attack], action: str) -> Finding:
    let_through = []
    for attack in attacks:
        reply = client.request(attack.method, attack.path, attack.body, attack.headers)
        if reply.status not in attack.refused and reply.json() not in ABSENT:
            let_through.append(f"{attack.about}: HTTP {reply.status}")
    found = "; ".join(let_through) or f"{len(attacks)} of {len(attacks)} requests refused"
    return Finding(name, found, "every request refused", action, status=verdict(not let_through))


def gateway(name: str, params: dict[str, Any]) -> Findings:
    """Try at the gateway what no policy may let through."""
    client = HttpClient(params["url"], "the gateway", "its address", timeout=params["timeout"])
    return [
        _injected(f"{name} a response carries no request", client, params),
        _foreign_names(f"{name} foreign hosts and origins are refused", client),
        *(_discloses(name, client, path, params["servers"]) for path in params["pages"]),
    ]


def injections(server: str) -> dict[str, dict[str, Any]]:
    """Messages of which a gateway could make a request that no policy saw. They only ping."""
    id_ = f's:{server}:7,"method":"ping","params":{{}}'
    return {
        "a request in the id": {"jsonrpc": "2.0", "result": {}, "id": id_},
        "a request and a response": {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "ping",
            "result": {},
        },
    }


def _injected(name: str, client: HttpClient, params: dict[str, Any]) -> Finding:
    headers = {
        "Authorization": f"Bearer {params['key']}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
    }
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "intranet.mcp", "version": "1"},
    }
    opening = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
    reply = client.request("POST", "/mcp", opening, headers)
    session = reply.headers.get("mcp-session-id")
    action = "update the gateway; until then, anybody with a key can run any tool"
    if not session:
        found = f"no session (HTTP {reply.status} {reply.text[:100]})"
        return Finding(name, found, "a session to try it in", "check the key", status=verdict(None))
    headers["Mcp-Session-Id"] = session
    taken = []
    for about, message in injections(([*params["servers"], "none"])[0]).items():
        status = client.request("POST", "/mcp", message, headers).status
        if not 400 <= status < 500:
            taken.append(f"{about}: HTTP {status}")
    client.request("DELETE", "/mcp", headers=headers)
    return Finding(
        name, "; ".join(taken) or "refused", "HTTP 4xx", action, status=verdict(not taken)
    )


def _foreign_names(name: str, client: HttpClient) -> Finding:
    """A page elsewhere, whose name was made to lead here, is kept out by Host and Origin."""
    attacks = [
        Attack(header, "POST", "/mcp", {}, {header: value}, (400, 403, 421, *others))
        for header, value, others in (
            # A cluster's entry has nothing for a name that is not the platform's.
            ("Host", "intruder.example.invalid", (404,)),
            ("Origin", "https://intruder.example.invalid", ()),
        )
    ]
    action = "take '*' out of gateway_allowed_hosts and gateway_allowed_origins"
    return _judged(name, client, attacks, action)


def _discloses(name: str, client: HttpClient, path: str, servers: list[str]) -> Finding:
    reply = client.request("GET", path, headers={"Accept": "application/json"})
    found = disclosed(reply, servers)
    action = "update the gateway, or close the path at what stands before it"
    name = f"{name} {path} discloses nothing without a key"
    seen = f"HTTP {reply.status}" + (f" with {', '.join(found)}" if found else "")
    return Finding(
        name, seen, "no server, tool, address or error", action, status=verdict(not found)
    )


def disclosed(reply: Reply, servers: list[str]) -> list[str]:
    """Return what a reply tells that is not for everybody: members, servers, addresses. Pure."""
    body = reply.json() if reply.ok else None  # else it says what is wrong
    members = set(body) - FOR_EVERYBODY if isinstance(body, dict) else set()
    named = {server for server in servers if server in re.findall(r"[\w.-]+", reply.text)}
    addresses = re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", reply.text)
    return sorted({*members, *named, *addresses})


PORTS_ARGUMENTS: dict[str, Any] = {
    "address": {"type": "str", "required": True},
    "managed": {"type": "list", "elements": "int", "required": True},
    "flows": {"type": "list", "elements": "dict", "required": True},
}


def ports(name: str, params: dict[str, Any]) -> Findings:
    """Connect from here to another host: what no flow declares for this address must be closed."""
    source = source_to(params["address"])
    if source is None:
        return [
            Finding(
                name, f"there is no way from here to {params['address']}", status=NOT_APPLICABLE
            )
        ]
    if source == params["address"] or source.startswith("127."):
        return [Finding(name, "this is that host, which reaches itself", status=NOT_APPLICABLE)]
    managed = params["managed"]
    found = outside.reached([(params["address"], port) for port in managed])
    allowed = outside.expected_open(params["flows"], source)
    extra = [port for (_to, port), state in found.items() if state == "open"]
    extra = sorted(set(extra) - allowed)
    text = f"open though undeclared: {', '.join(map(str, extra))}" if extra else "none is open"
    wanted = f"{len(set(managed) - allowed)} ports closed to {source}"
    action = "run site.yml for the firewall; check what else filters in between"
    return [Finding(name, text, wanted, action, status=verdict(not extra))]


def source_to(address: str) -> str | None:
    """Return this host's address on the way to another, None where there is no way."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))  # sends nothing
        except OSError:
            return None
        return str(probe.getsockname()[0])
