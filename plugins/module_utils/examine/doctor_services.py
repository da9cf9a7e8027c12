# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules about what the services say of themselves, and about proxies in front of them. Pure.

Where a service's container is not running, its own rule reports that; these then have no facts.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.examine import database
from ansible_collections.intranet.mcp.plugins.module_utils.examine import redis as redis_server
from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor import (
    Rule,
    Unseen,
    need,
    of_service,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding

REFUSED = ("password authentication failed",)
FINISH = (
    "update _prisma_migrations set finished_at = now() "
    "where migration_name = '{}' and finished_at is null"
)


def connections(facts, wanted):
    found = of_service(facts, wanted, "postgres")
    if not found:
        return
    if found.error and not found.is_full:
        raise Unseen(f"the database does not answer: {found.error}")
    yield database.judge_use("database", found)


def password(facts, wanted):
    found = of_service(facts, wanted, "postgres")
    if found and found.password_accepted is False:
        yield Finding(
            "database",
            "the database does not accept the password in its own secret file",
            "the password that the inventory's secrets hold",
            "give the database user that password (alter role), or restore the older secret and "
            "run the playbook",
            fix="password",
            service="postgres",
        )


def login(facts, wanted):
    """LiteLLM's own way to its database, tried from inside its container."""
    tried = of_service(facts, wanted, "litellm", "migrations")
    error = tried.error if tried else ""
    if not error:
        return
    found = of_service(facts, wanted, "postgres")
    if found and (found.is_full or found.password_accepted is False):
        return  # the database is the one to blame
    if any(text in error for text in REFUSED):
        yield Finding(
            "database",
            "LiteLLM's database password is stale: the database refuses it",
            "the password that the inventory's secrets hold",
            "rewrite LiteLLM's secrets and start it again: the playbook's litellm role does",
            fix="replace",
            service="litellm",
        )
    elif "another migration has held the lock" not in error:
        yield Finding(
            "database",
            f"LiteLLM cannot use its database: {error[:200]}",
            "a connection",
            "start the database, or correct the name or the firewall between the two",
            service="litellm",
        )


def applied(facts, wanted):
    told = facts["postgres"] if "postgres" in wanted["services"] else None
    tried = facts["migrations"]
    half_done = told.half_done if told else tried.half_done if tried else []
    psql = "docker exec {container_prefix}postgres psql -U {database[user]} -d {database[name]}"
    for migration in half_done:
        yield Finding(
            "migration",
            f"migration {migration} is half done: it began and never ended, and LiteLLM will not "
            "start again with it",
            "finished, or undone",
            f"complete by hand what its SQL left undone, then: {psql.format(**wanted)} -c "
            f'"{FINISH.format(migration)}"',
            service="litellm",
        )
    pending = tried.pending if tried else []
    running = (facts["containers"].get("litellm") or {}).get("health") == "healthy"
    if running and not half_done and pending:
        yield Finding(
            "migration",
            f"{len(pending)} migrations are not applied, though LiteLLM runs (first: {pending[0]})",
            "all applied before it starts",
            f"docker restart {wanted['container_prefix']}litellm: it migrates when it starts",
            fix="restart",
            service="litellm",
        )


def reconnect(facts, wanted):
    """LiteLLM that was started without its database never looks for it again."""
    litellm = of_service(facts, wanted, "litellm")
    if not litellm or facts["migrations"] is None or facts["migrations"].error:
        return
    if litellm["database"] not in ("connected", ""):
        yield Finding(
            "litellm",
            f"LiteLLM says its database is {litellm['database']}, and the database is there",
            "connected",
            f"docker restart {wanted['container_prefix']}litellm: it does not reconnect by itself",
            fix="restart",
            service="litellm",
        )


def pools(facts, wanted):
    told = facts["postgres"] if "postgres" in wanted["services"] else None
    allowed = (told and told.max_connections) or wanted["database"].get("max_connections")
    if allowed:
        reserve = wanted["connections_reserve"]
        yield database.judge_pools("database", wanted["connections"], allowed, reserve)


def prefixes(facts, wanted):
    if "litellm" in wanted["services"] and facts["chat_over_generate"]:
        yield Finding(
            "litellm",
            f"{', '.join(facts['chat_over_generate'])} in LiteLLM's configuration: ollama/ drops "
            "tool calls while streaming",
            "ollama_chat/ for chat models",
            "run the playbook's litellm role, which rewrites the file",
            fix="replace",
            service="litellm",
        )


def aliases(facts, wanted):
    """LiteLLM takes an equal or empty alias and then finds the wrong object by it, or none.

    A key without any alias (none, rather than an empty one) is nothing to mend: LiteLLM makes such
    keys itself when somebody logs in.
    """
    for kind, names in (of_service(facts, wanted, "litellm", "aliases") or {}).items():
        for alias in sorted({name for name in names if name is not None}):
            count = names.count(alias)
            if alias.strip() and count == 1:
                continue
            called = f"with the alias {alias}" if alias.strip() else "with an empty alias"
            yield Finding(
                "alias",
                f"LiteLLM has {_count(count, kind)} {called}",
                f"a {kind} with an alias of its own, by which people and playbooks find it",
                f"rename or delete it in LiteLLM, or all but one (intranet.mcp.litellm_info lists "
                f"every {kind})",
                service="litellm",
            )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def models(facts, wanted):
    ollama = of_service(facts, wanted, "ollama")
    missing = [name for name in wanted["models"] if ollama and name not in ollama["models"]]
    if missing:
        yield Finding(
            "model",
            f"Ollama lacks {', '.join(missing)}",
            "every model that the inventory declares",
            "run the playbook's ollama role, which pulls them and resumes a pull that stalls",
            fix="models",
            service="ollama",
        )


def context(facts, wanted):
    ollama = of_service(facts, wanted, "ollama")
    if not ollama:
        return
    # Unset, it is 4k, which is shorter than an agent's first prompt.
    found, expected = ollama["context"] or 4096, wanted["context_length"]
    if found < expected:
        yield Finding(
            "context",
            f"Ollama's context is {found} tokens",
            f"{expected} (ollama_context_length): agents lose their tools when it is short",
            DEPLOY_OLLAMA,
            fix="replace",
            service="ollama",
        )
    for model, (own, longest) in sorted(ollama["own_context"].items()):
        if model not in wanted["contexts"] and own < min(expected, longest):
            yield Finding(
                "context",
                f"model {model} brings num_ctx {own}, which wins over Ollama's setting",
                f"{min(expected, longest)}",
                "set its context in ollama_models, whatever it is, or choose another model",
                service="ollama",
            )


DEPLOY_OLLAMA = "run the playbook's ollama role, which starts it with the right setting"


def redis(facts, wanted):
    if found := of_service(facts, wanted, "redis"):
        yield redis_server.judge("redis", found, f"{wanted['container_prefix']}redis")


def upstreams(facts, wanted):
    gateway = of_service(facts, wanted, "gateway")
    for name, server in sorted((gateway or {}).get("servers", {}).items()):
        if server["state"] == "up":
            continue
        service = f"tool-{name}"
        container = facts["containers"].get(service)
        is_running = container and container["state"] == "running"
        yield Finding(
            "upstream",
            f"the gateway cannot use server {name}: {server['last_error'] or server['state']}",
            "up",
            f"docker logs {wanted['container_prefix']}{service}, and restart it"
            if service in wanted["services"]
            else "check whether its address in mcp_servers answers from the gateway's host",
            fix="restart" if is_running else "",
            service=service if service in wanted["services"] else "gateway",
        )
    if gateway and gateway["last_reload_error"]:
        yield Finding(
            "gateway",
            f"the gateway refuses its new configuration: {gateway['last_reload_error']}",
            "a valid file; the last good one is in use",
            "correct mcp_servers or gateway_policy_rules, and run the playbook",
            service="gateway",
        )


def proxies(facts, wanted):
    for proxy in need(facts, "proxies", "the gateway is not on this host"):
        found, expected, do = _proxy(proxy)
        if found:
            yield Finding("proxy", f"{proxy['url']} {found}", expected, do)


def _proxy(proxy: dict) -> tuple[str, str, str]:
    """What is wrong with a proxy: first thing that is."""
    if proxy["direct_seconds"] is None:
        raise Unseen(f"{proxy['service']} itself sends no event: {proxy['direct_error']}")
    if not proxy["is_silent"] and (proxy["error"] or proxy["status"] != 200):
        said = proxy["error"] or f"answers {proxy['status']}"
        return said, "200 and an event stream", "correct the proxy's backend, or doctor_proxies"
    if proxy["encoding"]:
        return (
            f"compresses event streams ({proxy['encoding']})",
            "no compression of text/event-stream",
            "nginx: gzip off for this location",
        )
    if proxy["is_silent"]:
        return (
            f"buffers event streams: no event in {proxy['patience_seconds']} s, "
            f"{proxy['direct_seconds']:.1f} s without it",
            "each event passed on at once",
            "nginx: proxy_buffering off; proxy_cache off; others: stream the response",
        )
    if proxy["ended_seconds"] is not None:
        return (
            f"cuts event streams after {proxy['ended_seconds']:.0f} s",
            f"a stream that lasts {proxy['held_seconds']} s and more",
            "raise its time limit: nginx proxy_read_timeout 3600s; HAProxy timeout server and "
            "timeout tunnel 1h; load balancers: idle timeout",
        )
    return "", "", ""


RULES: list[tuple[str, Rule]] = [
    ("database connections", connections),
    ("database password", password),
    ("LiteLLM's database", login),
    ("migrations", applied),
    ("LiteLLM's connection", reconnect),
    ("connection pools", pools),
    ("LiteLLM's configuration", prefixes),
    ("aliases", aliases),
    ("models", models),
    ("context length", context),
    ("Redis", redis),
    ("gateway's upstreams", upstreams),
    ("proxies", proxies),
]
