# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A day of a platform that nobody has: numbers made up for the picture of the status page.

What it measures, and how the answers look, is what the module `prometheus_query` returns.
"""

from __future__ import annotations

import copy
import math

from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import status
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels import PANELS

AT = 1795993200.0  # 2026-11-29 23:00 UTC
HOURS = 24
MODELS = {"qwen3-coder:30b": 1.0, "qwen3:8b": 0.45, "bge-m3": 0.2}
SERVERS = {"browser": 2.4, "filesystem": 0.05, "github": 0.9, "tickets": 0.3}
HOSTS = {"llm1": 0.55, "app1": 0.25, "data1": 0.12}
TEAMS = {"payments": 1.0, "search": 0.7, "platform": 0.4, "-": 0.05}
KEYS = {"ada": 1.0, "grace": 0.8, "linus": 0.55, "margaret": 0.5, "ken": 0.3, "barbara": 0.2}
TOOLS = {
    ("browser", "browser_navigate"): (3.9, 412, 6),
    ("browser", "browser_click"): (1.7, 230, 0),
    ("github", "search_code"): (1.2, 655, 3),
    ("github", "get_file_contents"): (0.41, 1830, 0),
    ("tickets", "find"): (0.22, 310, 0),
    ("filesystem", "read_text_file"): (0.006, 2210, 4),
}
ALERT = {
    "state": "firing",
    "activeAt": "2026-11-29T22:41:15.2Z",
    "value": "0",
    "labels": {"alertname": "ToolServerDown", "severity": "critical", "server": "tickets"},
    "annotations": {
        "summary": "The gateway on app1 cannot use tool server tickets",
        "description": "Its calls are refused until it answers again.",
        "runbook": "docker logs intranet-tool-tickets, and restart it. `make doctor` inspects the "
        "platform and names the cause.",
    },
}
WATCHDOG = {**ALERT, "labels": {"alertname": "Watchdog", "severity": "none"}}


def busy(at: float, seed: float = 0.0) -> float:
    """How much people do at a time of the day, from 0 to 1."""
    hour = at % 86400 / 3600
    work = math.exp(-((hour - 10.2) ** 2) / 5) + 0.9 * math.exp(-((hour - 15) ** 2) / 6)
    wave = 0.12 * math.sin(at / 900 + 7 * seed) + 0.08 * math.sin(at / 410 + 3 * seed)
    return max(0.015 + work * (1 + wave), 0)


def over_time(labels: dict, value) -> dict:
    """A series of a day."""
    step = status.spans(HOURS)["step_seconds"]
    end = AT - AT % step
    times = [end - number * step for number in range(status.POINTS, -1, -1)]
    return {"labels": labels, "points": [[at, value(at)] for at in times]}


def now(labels: dict, value: float) -> dict:
    return {"labels": labels, "points": [[AT, value]]}


def each(label: str, values: dict, scale) -> list[dict]:
    """A series an item: `scale(share, at)`."""
    return [
        over_time({label: name}, lambda at, share=share: scale(share, at))
        for name, share in values.items()
    ]


def rows(label: str, values: dict, most: float) -> list[dict]:
    return [now({label: name}, most * share) for name, share in values.items()]


def entry(models: float, tools: float) -> list[dict]:
    return [now({"entry": "models"}, models), now({"entry": "tools"}, tools)]


def tools(number: int) -> list[dict]:
    return [now({"server": s, "tool": t}, told[number]) for (s, t), told in TOOLS.items()]


def server_up(server: str, at: float) -> float:
    is_away = server == "tickets" and (at > AT - 1500 or 30000 < AT - at < 32000)
    return 0.0 if is_away else 1.0


ANSWERS = {
    "tool_calls": [[now({}, 5647)]],
    "tokens": [[now({}, 18_400_000)]],
    "cost": [[now({}, 7.4)]],
    "keys": [[now({}, 14)]],
    "down": [[now({}, 0)]],
    "entries": [entry(9120, 8030), entry(0.4, 0.2), entry(3.1, 0.08), entry(19.4, 2.2)],
    "requests": [
        [over_time({}, lambda at: 0.9 * busy(at))],
        [over_time({}, lambda at: 0.7 * busy(at, 1))],
    ],
    "errors": [
        [over_time({}, lambda at: 2.5 if 40000 < AT - at < 43000 else 0.3 * busy(at))],
        [over_time({}, lambda at: 0.2)],
    ],
    "latency": [
        [over_time({}, lambda at: 2 + 3 * busy(at))],
        [over_time({}, lambda at: 9 + 17 * busy(at, 2))],
        [over_time({}, lambda at: 0.08)],
        [over_time({}, lambda at: 1.6 + busy(at, 4))],
    ],
    "models": [
        rows("requested_model", MODELS, 5300),
        rows("requested_model", MODELS, 11_000_000),
        rows("requested_model", {"qwen3-coder:30b": 1.0, "qwen3:8b": 0.4, "bge-m3": 0}, 820_000),
        rows("requested_model", {"qwen3-coder:30b": 1.0, "qwen3:8b": 0.3}, 2.3),
    ],
    "model_tokens": [
        each("requested_model", MODELS, lambda share, at: 900 * share * busy(at, share)),
        each("requested_model", MODELS, lambda share, at: 60 * share * busy(at, share)),
    ],
    "first_token": [
        each("requested_model", MODELS, lambda share, at: 0.2 + 2 * share * busy(at, share))
    ],
    "loaded": [
        [over_time({"model": name, "host": "llm1"},
                   lambda at, share=share: float(share > 0.3 or busy(at) > 0.3))
         for name, share in MODELS.items()]
    ],
    "memory": [
        each("host", {"llm1": 1.0}, lambda share, at: 24e9 + 6e9 * (busy(at) > 0.3)),
        each("host", {"llm1": 1.0}, lambda share, at: 22e9 + 6e9 * (busy(at) > 0.3)),
    ],
    "teams": [
        rows("team_alias", TEAMS, 9_100_000),
        rows("team_alias", TEAMS, 3.8),
        rows("team_alias", TEAMS, 4400),
    ],
    "people": [
        rows("api_key_alias", KEYS, 4_700_000),
        rows("api_key_alias", KEYS, 1.9),
        rows("api_key_alias", KEYS, 2100),
    ],
    "tool_servers": [
        [over_time({"server": name}, lambda at, name=name: server_up(name, at))
         for name in SERVERS]
    ],
    "tools": [tools(0), tools(1), tools(2)],
    "server_calls": [each("server", SERVERS, lambda share, at: 0.3 / (1 + share) * busy(at, 1))],
    "server_latency": [each("server", SERVERS, lambda share, at: share * (1 + busy(at, share)))],
    "hosts": [rows("host", HOSTS, 60), rows("host", HOSTS, 90), rows("host", HOSTS, 110)],
    "cpu": [each("host", HOSTS, lambda share, at: 6 + 75 * share * busy(at, share))],
    "host_memory": [each("host", HOSTS, lambda share, at: 25 + 50 * share + 8 * busy(at, share))],
    "disks": [each("host", HOSTS, lambda share, at: 20 + 80 * share + (at - AT) / 20000)],
    "services": [
        [over_time({"service": service, "host": host}, lambda at: 1.0)
         for service, host in (("gateway", "app1"), ("litellm", "app1"), ("ollama", "llm1"))],
        [over_time({"service": "postgres", "host": "data1"}, lambda at: 1.0)],
        [over_time({"service": "redis", "host": "data1"}, lambda at: 1.0)],
    ],
    "connections": [each("host", {"data1": 1.0}, lambda share, at: 18 + 14 * busy(at))],
    "alert_times": [
        [now({"alertname": "ToolServerDown", "service": "gateway", "host": "app1"}, 2900.0)]
    ],
}  # fmt: skip


def measured() -> dict:
    """A result of the module `prometheus_query`."""
    answers = {
        f"{panel}.{number}": answer
        for panel, found in ANSWERS.items()
        for number, answer in enumerate(found)
    }
    answers[status.OLDEST] = [now({}, AT - 30 * 86400)]
    wanted = {query["name"] for query in status.queries(HOURS)}
    assert set(answers) == wanted, set(answers) ^ wanted
    assert set(ANSWERS) <= set(PANELS)
    return copy.deepcopy({"at": AT, "answers": answers, "alerts": [ALERT, WATCHDOG]})
