# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probes of services over the network: HTTP, certificates, the LLM API, MCP servers."""

from __future__ import annotations

import base64
import tempfile
import time
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.examine import certificates, portal
from ansible_collections.intranet.mcp.plugins.module_utils.examine import gpu as gpu_driver
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    PASSED,
    Finding,
    verdict,
)
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import chat
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import probe as mcp_probe
from ansible_collections.intranet.mcp.plugins.module_utils.ollama import client as ollama

Findings = list[Finding]


def http(name: str, params: dict[str, Any]) -> Findings:
    """One GET, as an operator would with curl."""
    client = _client(params)
    started = time.monotonic()
    reply = client.request("GET", "")
    took = round((time.monotonic() - started) * 1000, 1)
    led_to = _without_query(reply.headers.get("location", ""))  # the query has a sign-in's state
    is_good = (
        reply.status == params["status"]
        and params["contains"] in reply.text
        and params["location"] in ("", led_to)
    )
    found = f"HTTP {reply.status}" + ("" if is_good else f" {reply.text[:200]}")
    expected = f"HTTP {params['status']}"
    if params["contains"]:
        expected += f" with {params['contains']!r}"
    if params["location"]:
        found += f", which redirects to {led_to or 'nothing'}"
        expected += f", which redirects to {params['location']},"
    action = f"read the log of {params['service']}"
    return [
        Finding(
            name,
            found,
            f"{expected} from {params['url']}",
            action,
            status=verdict(is_good),
            milliseconds=took,
        )
    ]


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def sign_on(name: str, params: dict[str, Any]) -> Findings:
    """What the portal says of everything that a sign-in needs."""
    reply = _client(params).request("GET", "")
    told = reply.json()
    if not isinstance(told, dict) or "status" not in told:
        found = f"HTTP {reply.status} {reply.text[:200]}"
        expected = f"what fails, from {params['url']}"
        return [Finding(name, found, expected, f"read the log of {params['service']}")]
    if told["status"] == "ok":
        return [Finding(name, "everything that it needs answers", "a sign-in", status=PASSED)]
    return list(portal.judge(name, told))


def page(name: str, params: dict[str, Any]) -> Findings:
    """A page behind a login: it answers nobody else, and nobody with a wrong password."""
    client = _client(params)
    logins = {
        "without a login": {},
        "with a wrong password": _basic(params["user"], "wrong"),
        "with the login": _basic(params["user"], params["key"]),
    }
    expected = dict(zip(logins, (401, 401, 200)))  # noqa: B905  targets may run Python 3.9
    found = {how: client.request("GET", "", headers=sent).status for how, sent in logins.items()}
    return [
        Finding(
            name,
            _statuses(found),
            f"{_statuses(expected)} from {params['url']}",
            f"run site.yml, and read the log of {params['service']}",
            status=verdict(found == expected),
        )
    ]


def _basic(user: str, password: str) -> dict[str, str]:
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {word}"}


def _statuses(found: dict[str, int]) -> str:
    return ", ".join(f"HTTP {status} {how}" for how, status in found.items())


def _client(params: dict[str, Any]) -> HttpClient:
    about = (params["url"], params["service"], "its address")
    if not params["ca"]:
        return HttpClient(*about, timeout=params["timeout"])
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as stream:  # read when the client is made
        stream.write(params["ca"])
        stream.flush()
        return HttpClient(*about, timeout=params["timeout"], ca_path=stream.name)


def certificate(name: str, params: dict[str, Any]) -> Findings:
    """How long the certificate behind an https address is valid, and whether every CLI takes it."""
    found = certificates.read(params["url"], params["timeout"])
    refused = certificates.refused_by_clis(name, found, params["ca"])
    return [refused or certificates.judge(name, found, time.time(), params["days"])]


def gpu(name: str, params: dict[str, Any]) -> Findings:
    """Where Ollama holds its models. One is loaded where none is in memory."""
    about = (params["url"], "Ollama", "its address")
    client = ollama.OllamaClient(HttpClient(*about, timeout=params["timeout"]))
    if params["model"] and not client.running():
        client.load(
            params["model"],
            params["embeds_only"],
            params["timeout"],
            for_good=False,
            context=params["context"],
        )
    return [gpu_driver.judge_models(name, client.running())]


def llm(name: str, params: dict[str, Any]) -> Findings:
    """Everything `llm_health` checks."""
    return [
        Finding(
            " ".join(filter(None, (name, check["model"], _words(check["name"])))),
            *(check[key] for key in ("found", "expected", "action")),
            status=check["status"],
            milliseconds=check["milliseconds"],
            first_ms=check["first_ms"],
            part=("model", check["declared"]) if _is_about_answers(check) else None,
        )
        for check in chat.checks_of(params)
    ]


def _is_about_answers(check: dict[str, Any]) -> bool:
    """Whether it says that a model works or does not: that it is listed says nothing of it."""
    return bool(check["declared"]) and (check["name"], check["status"]) != ("models", PASSED)


def mcp(name: str, params: dict[str, Any]) -> Findings:
    """Everything `mcp_health` checks."""
    probe = mcp_probe.McpProbe(params)
    broken = []
    try:
        probe.run()
    except ServiceError as error:
        broken = [Finding(name, error.found, error.expected, error.action)]
    return mcp_rows(name, probe.sessions, probe.checks) + broken


def mcp_rows(name: str, sessions: list[dict], checks: list[dict]) -> Findings:
    """Return a row a session and a row a check; the call's latency goes to its own row. Pure."""
    rows, calls = [], {}
    for session in sessions:
        latency = dict(session["latency_ms"])
        calls[session["era"]] = latency.pop("call", None)
        server = " ".join(filter(None, (session["server"]["name"], session["server"]["version"])))
        found = f"{server}, {session['protocol_version']}, {len(session['tools'])} tools"
        took = round(sum(latency.values()), 1)
        title = f"{name} session ({session['era']})"
        rows.append(Finding(title, found, "a session", status=PASSED, milliseconds=took))
    for check in checks:
        era = "" if check["name"].startswith("denies_") else f" ({check['era']})"
        title = f"{name} {_words(check['name'])}{era}"
        took = calls.get(check["era"]) if check["name"] == "call" else None
        found, expected = _text(check["found"]), _text(check["expected"])
        if check["status"] == PASSED and isinstance(check["found"], list):
            found = f"{len(check['found'])} names, as expected"
        rows.append(
            Finding(
                title,
                found,
                expected,
                check.get("action", ""),
                status=check["status"],
                milliseconds=took,
            )
        )
    return rows


def _words(name: str) -> str:
    """Return a check's name for people; a tool keeps its own."""
    of_tool = "denies_call_"
    if name.startswith(of_tool):
        return f"denies call of {name.removeprefix(of_tool)}"
    return name.replace("_", " ")


def _text(value: Any) -> str:
    """Return a value on one line."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return " ".join(text.split())
