# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verify asks as people use the platform: models, tools, keys, certificates. Pure.

`about` is what the role knows of the inventory, as `__verify_users` in its vars has it.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_hosts import (
    ADDRESS,
    for_people,
    probe,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.verify_models import (
    models_of,
    room_probe,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import own_credentials
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp.servers import offered

SERVER_SECONDS = 60


def probes(about: dict) -> list[dict]:
    """Return everything that is asked once, through the same addresses that people use."""
    return [
        *_balancer(about),
        *_llm(about),
        *room_probe(about["facts"], about["requests"], f"{about['urls']['mcp']}/mcp"),
        *_mcp(about),
        *_revoked(about),
        *team_probes(*_team_arguments(about)),
        *_certificates(about),
    ]


def _balancer(about: dict) -> list[dict]:
    """The one address where a balancer stands in front, and who holds it where several share it."""
    url, addresses = about["urls"]["balancer"], about["shared_addresses"]
    found = []
    if url:
        url = f"{url}{about['balancer_health']}"
        options = {"ca": about["ca"], "service": f"{about['prefix']}load_balancer"}
        up = probe("the one address is up", "http", "Services", url=url, **options)
        found.append(for_people(up, ADDRESS))
    if addresses and about["listings"]:
        name = "one balancer holds the shared address"
        options = {
            "addresses": addresses,
            "listings": about["listings"],
            "container": f"{about['prefix']}keepalived",
        }
        found.append(probe(name, "holders", "Services", **options))
    return found


def _llm(about: dict) -> list[dict]:
    common = {"url": about["urls"]["llm"], "api_key": "verify"}
    timeout = about["timeout"]
    return [
        probe(
            "llm", "llm", "Models", **common, models=models_of(about), denies=[], timeout=timeout
        ),
        probe("llm", "llm", "Intruders", **common, denies=["no_key", "wrong_key"]),
    ]


def _mcp(about: dict) -> list[dict]:
    servers, url = about["servers"], about["urls"]["mcp"]
    every = {**aggregated_tools(servers), "key": "verify", "timeout": SERVER_SECONDS}
    sse = {"transport": "sse", "eras": ["legacy"]}
    keyless = {"eras": [], "denies": ["no_key", "wrong_key"]}
    return [
        probe("mcp all", "mcp", "Tools", **every, url=f"{url}/mcp", eras=["legacy", "modern"]),
        probe("mcp all over SSE", "mcp", "Tools", **every, url=f"{url}/sse", **sse),
        probe("mcp", "mcp", "Intruders", url=url_for_keys(servers, url), **keyless),
        *server_probes(servers, url, SERVER_SECONDS),
    ]


def _revoked(about: dict) -> list[dict]:
    if not about["revocation"]:
        return [_without_meaning("revoked key", "verify_revocation is false")]
    within = about["revoked_within_seconds"]
    options = {
        "denies": ["revoked_key"],
        "revoked_key": "revoked",
        "revoked_within_seconds": within,
    }
    urls = about["urls"]
    url = url_for_keys(about["servers"], urls["mcp"])
    return [
        probe("llm", "llm", "Keys", url=urls["llm"], api_key="verify", **options),
        probe("mcp", "mcp", "Keys", url=url, eras=[], **options),
    ]


def fresh_probes(about: dict) -> list[dict]:
    """Return probes of a key that will be revoked.

    It must work before, or its revocation proves nothing, and both services must have seen it.
    """
    urls = about["urls"]
    models = [{"name": models_of(about)[0]["name"], "checks": ["models"]}]
    llm = {"url": urls["llm"], "api_key": "revoked", "denies": [], "models": models}
    url = url_for_keys(about["servers"], urls["mcp"])
    return [
        probe("llm fresh key", "llm", "Keys", **llm),
        probe("mcp fresh key", "mcp", "Keys", url=url, key="revoked"),
    ]


def attacks(about: dict) -> list[dict]:
    """Return what an intruder with a member's key would try."""
    urls, servers = about["urls"], shared_first(about["servers"])
    return [
        probe("litellm", "litellm_intruder", "Intruders", url=urls["llm"], api_key="intruder"),
        probe(
            "gateway",
            "gateway_intruder",
            "Intruders",
            url=urls["mcp"],
            key="verify",
            servers=servers,
            pages=about["gateway_pages"],
        ),
    ]


def members_of(names: list[str]) -> list[str]:
    """Return the aliases of keys out of the names of secrets; one that is missing is not made."""
    prefix = "key-"
    return list(dict.fromkeys(n.removeprefix(prefix) for n in names if n.startswith(prefix)))


def member_keys(about: dict) -> list[str]:
    """Return the aliases of the members whose keys the probes of teams use."""
    used = [
        probe["options"].get(option, "")
        for probe in team_probes(*_team_arguments(about))
        for option in ("key", "api_key")
    ]
    prefix = "member-"
    return list(dict.fromkeys(n.removeprefix(prefix) for n in used if n.startswith(prefix)))


def _team_arguments(about: dict) -> tuple[list, list, list, dict, dict]:
    chat = [model["name"] for model in models_of(about) if "embedding" not in model["checks"]]
    return about["teams"], members_of(about["secrets"]), chat, about["servers"], about["urls"]


def _certificates(about: dict) -> list[dict]:
    urls = list(dict.fromkeys(about["https_urls"]))
    limits = about["certificate_days"], about["ca"]
    return [certificate_probe(url, *limits) for url in urls] or [
        {
            **_without_meaning("certificates", "the inventory has no https address"),
            "group": "Services",
        }
    ]


def certificate_probe(url: str, days: int, ca: str) -> dict:
    """A probe of the certificate behind an address. ca: PEM of the authority, or empty."""
    options = {"url": url, "days": days, "ca": ca}
    name = f"certificate {url.removeprefix('https://').partition('/')[0]}"
    return {"name": name, "kind": "certificate", "group": "Services", "options": options}


def server_probes(servers: dict, url: str, timeout: int) -> list[dict]:
    """Probes of each MCP server alone, behind the gateway: its exact tools, and one real call."""
    probes = []
    for name, server in sorted(servers.items()):
        if own_credentials.KEY in server:
            probes.append(for_people(_listed_probe(name, server, url, timeout), name, "server"))
            continue
        expect = server.get("expect", {})
        options = {
            "url": f"{url}/servers/{name}/mcp",
            "key": "verify",
            "timeout": timeout,
            **({} if "tools" in expect else {"tools_min": 1}),
            **({"call": expect["call"]} if "call" in expect else {}),
            **({"tools": offered(server, expect["tools"])} if "tools" in expect else {}),
        }
        probes.append(for_people(probe(f"mcp {name}", "mcp", "Tools", **options), name, "server"))
    return probes


def _listed_probe(name: str, server: dict, url: str, timeout: int) -> dict:
    """A probe of a server that only people with a credential of their own can call: its list."""
    if not own_credentials.can_list(server):
        because = "people show their own credentials there, and the gateway has none for its list"
        return {**_without_meaning(f"mcp {name}", because), "group": "Tools"}
    expected = offered(server, server.get("expect", {}).get("tools", [])) or ["*"]
    options = {
        "url": f"{url}/mcp",
        "key": "verify",
        "timeout": timeout,
        "tools_include": [f"{name}__{tool}" for tool in expected],
    }
    return {"name": f"mcp {name}", "kind": "mcp", "group": "Tools", "options": options}


def url_for_keys(servers: dict, url: str) -> str:
    """Where keys are tried: at a server that all callers share, where there is one.

    A server that has a process for each caller would keep one for every key that was made here.
    """
    first = next(iter(shared_first(servers)), None)
    is_shared = first is not None and _is_shared(servers[first])
    return f"{url}/servers/{first}/mcp" if is_shared else f"{url}/mcp"


def shared_first(servers: dict) -> list[str]:
    """Names of the servers, those first that all callers share."""
    return sorted(servers, key=lambda name: (not _is_shared(servers[name]), name))


def _is_shared(server: dict) -> bool:
    return server.get("mode") != "per_session" and own_credentials.KEY not in server


def aggregated_tools(servers: dict) -> dict:
    """What the gateway must offer of all servers: the exact set where it is known of each."""
    personal = own_credentials.servers_with(servers)
    if not personal and all("tools" in server.get("expect", {}) for server in servers.values()):
        names = [
            f"{name}__{tool}"
            for name, server in servers.items()
            for tool in offered(server, server["expect"]["tools"])
        ]
        return {"tools": sorted(names)}
    listed = [name for name, server in servers.items() if own_credentials.can_list(server)]
    return {"tools_include": [f"{name}__*" for name in listed]}


def team_probes(
    teams: list[dict], aliases: list[str], models: list[str], servers: dict, urls: dict
) -> list[dict]:
    """Probes that a team is kept to its own: one of a model, one of an MCP server.

    aliases: members whose key is known here. urls: llm, mcp. The key of a probe is `member-ALIAS`.
    """
    llm = mcp = None
    for team in teams:
        members = [
            member["alias"]
            for member in team.get("members", [])
            if member.get("state", "present") == "present" and member["alias"] in aliases
        ]
        own = [m["alias"] for m in team.get("members", []) if "models" in m]
        plain = [alias for alias in members if alias not in own]
        forbidden = [name for name in models if name not in team.get("models", [])]
        if team.get("models") and plain and forbidden and not llm:
            llm = _model_probe(team["name"], plain[0], forbidden[0], urls["llm"])
        closed = [name for name in servers if name not in team.get("mcp", servers)]
        if closed and members and not mcp:
            mcp = _tool_probe(team["name"], members[0], closed[0], servers, urls["mcp"])
    because = "no team with a member's key has restrictions of that kind"
    return [
        llm or _without_meaning("llm key of another team", because),
        mcp or _without_meaning("mcp key of another team", because),
    ]


def _model_probe(team: str, alias: str, model: str, url: str) -> dict:
    options = {"url": url, "api_key": f"member-{alias}", "denied_models": [model], "denies": []}
    return {"name": f"llm team {team}", "kind": "llm", "group": "Keys", "options": options}


def _tool_probe(team: str, alias: str, server: str, servers: dict, url: str) -> dict:
    expect = servers[server].get("expect", {})
    tool = expect.get("call", {}).get("tool") or next(iter(expect.get("tools", [])), "any")
    options = {
        "url": f"{url}/mcp",
        "key": f"member-{alias}",
        "eras": ["legacy"],  # its session ends, and with it what a server started for it
        "tools_exclude": [f"{server}__*"],
        "denied_calls": [f"{server}__{tool}"],
    }
    return {"name": f"mcp team {team}", "kind": "mcp", "group": "Keys", "options": options}


def _without_meaning(name: str, because: str) -> dict:
    options = {"because": because}
    return {"name": name, "kind": "not_applicable", "group": "Keys", "options": options}
