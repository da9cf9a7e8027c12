# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Measures an MCP server in real sessions and judges what it found; what `mcp_health` does."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import threading
import time
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.common import errors
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import checks, client
from ansible_collections.intranet.mcp.plugins.module_utils.mcp import tools as mcp_tools
from ansible_collections.intranet.mcp.plugins.module_utils.mcp.stdio import Command

KNOCK_AGAIN_SECONDS = 1.0

CALL: dict[str, Any] = {
    "tool": {"type": "str", "required": True},
    "arguments": {"type": "dict", "default": {}},
    "path": {"type": "str"},
    "equals": {"type": "raw"},
    "contains": {"type": "str"},
    "is_error": {"type": "bool", "default": False},
}
ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str"},
    "command": {"type": "list", "elements": "str"},
    "env": {"type": "dict", "no_log": True},
    "transport": {
        "type": "str",
        "choices": list(client.TRANSPORTS),
        "default": "streamable_http",
    },
    "eras": {
        "type": "list",
        "elements": "str",
        "choices": ["auto", "modern", "legacy"],
        "default": ["auto"],
    },
    "legacy_version": {
        "type": "str",
        "choices": list(client.LEGACY_VERSIONS),
        "default": client.LEGACY_VERSIONS[0],
    },
    "key": {"type": "str", "no_log": True},
    "key_file": {"type": "path", "no_log": False},
    "headers": {"type": "dict"},
    "server_name": {"type": "str"},
    "server_version": {"type": "str"},
    "tools": {"type": "list", "elements": "str"},
    "tools_include": {"type": "list", "elements": "str"},
    "tools_exclude": {"type": "list", "elements": "str"},
    "tools_min": {"type": "int"},
    "call": {"type": "dict", "options": CALL},
    "denied_calls": {"type": "list", "elements": "str", "default": []},
    "denies": {
        "type": "list",
        "elements": "str",
        "choices": ["no_key", "wrong_key", "revoked_key"],
        "default": [],
    },
    "revoked_key": {"type": "str", "no_log": True},
    "revoked_within_seconds": {"type": "float", "default": 0},
    "lock_file": {"type": "path"},
    "lock": {"type": "str", "choices": ["compare", "write"], "default": "compare"},
    "max_latency_ms": {"type": "float"},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
}
RULES: dict[str, Any] = {
    "mutually_exclusive": [("key", "key_file"), ("url", "command")],
    "required_one_of": [("url", "command")],
    "required_if": [("transport", "stdio", ["command"])],
}


class McpProbe:
    """One server; `run` measures everything, even where an expectation is not met."""

    def __init__(self, params: dict[str, Any], is_dry: bool = False) -> None:
        self.params = params
        self.is_dry = is_dry  # calls nothing and writes nothing
        self.sessions: list[dict[str, Any]] = []
        self.checks: list[dict[str, Any]] = []
        self.denials: dict[str, str] = {}
        self.locks: dict[str, dict[str, str]] = {"before": {}, "after": {}}

    def run(self) -> None:
        """Measure, and judge; what made measuring impossible is raised."""
        for era in self.params["eras"]:
            self._measure(era)
        for caller in self.params["denies"]:
            self._knock(caller)

    @property
    def is_changed(self) -> bool:
        """True when the lock file was, or in a dry run would be, written."""
        return self.locks["before"] != self.locks["after"]

    def _measure(self, era: str) -> None:
        key = errors.read_key_file(self.params["key_file"]) or self.params["key"]
        started = time.monotonic()
        with self._session(era, key) as session:
            measured = {
                "era": session.era,
                "protocol_version": session.version,
                "server": session.server,
                "capabilities": session.capabilities,
                "tools": [],
                "fingerprints": {},
                "faults": [],
                "hidden": [],
                "call": {},
                "latency_ms": {"open": _milliseconds(started)},
            }
            self.sessions.append(measured)
            everything = self._timed(measured, "list", session.tools)
            listed = mcp_tools.usable(everything)
            measured["faults"] = session.faults
            measured["hidden"] = mcp_tools.hidden(listed)
            tools = {tool["name"]: tool for tool in listed}
            measured["tools"] = sorted(tools)
            measured["fingerprints"] = checks.fingerprints(listed)
            verdicts = mcp_tools.check_lists(everything, session.faults)
            verdicts += self._judge(measured) + self._call(session, tools, measured)
            verdicts += [self._try_forbidden(session, name) for name in self.params["denied_calls"]]
        verdicts += checks.check_latency(measured["latency_ms"], self.params["max_latency_ms"])
        self.checks += [{**verdict, "era": session.era} for verdict in verdicts]

    def _session(self, era: str, key: str | None) -> Any:
        transport, version = self.params["transport"], self.params["legacy_version"]
        if self.params["command"]:
            env = {name: str(value) for name, value in (self.params["env"] or {}).items()}
            command = Command(self.params["command"], env, self.params["timeout"])
            return client.session(command, "stdio", era, version)
        headers = {str(name): str(value) for name, value in (self.params["headers"] or {}).items()}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        http = HttpClient(
            self.params["url"],
            "the MCP server",
            "url",
            headers=headers,
            timeout=self.params["timeout"],
            validate_certs=self.params["validate_certs"],
            ca_path=self.params["ca_path"],
        )
        return client.session(http, transport, era, version)

    def _timed(self, measured: dict[str, Any], step: str, function: Any, *arguments: Any) -> Any:
        started = time.monotonic()
        outcome = function(*arguments)
        measured["latency_ms"][step] = _milliseconds(started)
        return outcome

    def _judge(self, measured: dict[str, Any]) -> list[dict[str, Any]]:
        server = {"name": self.params["server_name"], "version": self.params["server_version"]}
        return (
            checks.check_server(measured["server"], server)
            + checks.check_tools(
                measured["tools"],
                self.params["tools"],
                self.params["tools_include"],
                self.params["tools_min"],
                self.params["tools_exclude"],
            )
            + self._lock(measured["fingerprints"])
        )

    def _lock(self, found: dict[str, str]) -> list[dict[str, Any]]:
        path = self.params["lock_file"]
        if not path:
            return []
        locked = read_lock(path)
        if self.params["lock"] == "write":
            self.locks = {"before": locked or {}, "after": found}
            if self.is_changed and not self.is_dry:
                write_lock(path, found)
            return []
        if locked is None:
            action = "read the descriptions, then write it: set lock to write"
            return [checks.check("lock", None, f"no lock file {path}", "one", action)]
        return checks.check_lock(found, locked, path)

    def _call(
        self, session: Any, tools: dict[str, Any], measured: dict[str, Any]
    ) -> list[dict[str, Any]]:
        call = self.params["call"]
        if call is None:
            return []
        if call["tool"] not in tools:
            action = "check the name, and whether the key may see the tool"
            return [checks.check("call", False, sorted(tools), call["tool"], action)]
        if self.is_dry:
            action = "run without check mode"
            return [checks.check("call", None, "not called", call["tool"], action)]
        try:
            result = self._timed(
                measured, "call", session.call, tools[call["tool"]], call["arguments"]
            )
        except client.RpcError as error:
            result = {"isError": True, "content": [{"type": "text", "text": error.found}]}
        measured["call"] = checks.summarize(result)
        return checks.check_call(measured["call"], call)

    def _try_forbidden(self, session: Any, name: str) -> dict[str, Any]:
        """Call a tool that this key must not use; being unlisted is not being closed."""
        title, action = f"denies_call_{name}", "check the gateway's policy for the key's team"
        if self.is_dry:
            return checks.check(title, None, "not called", "refused", "run without check mode")
        try:
            result = checks.summarize(session.call({"name": name}, {}))
        except (client.RpcError, errors.Unauthorized, errors.Refused) as error:
            return checks.check(title, True, f"refused ({error.found})", "refused", action)
        # A tool's own complaint (about its arguments, say) means that the call reached it.
        return checks.check(title, False, f"let in: {result['text'][:200]}", "refused", action)

    def _knock(self, caller: str) -> None:
        """Try to open a session as somebody who must not."""
        if caller == "revoked_key" and not self.params["revoked_key"]:
            outcome = "no verdict: no revoked key was given"
        else:
            outcome = self._knock_until_refused(caller)
        self.denials[caller] = outcome
        is_refused = None if outcome.startswith("no verdict") else outcome.startswith("refused")
        action = "check that the server asks for keys, and what stands in front of it"
        verdict = checks.check(f"denies_{caller}", is_refused, outcome, "refused", action)
        self.checks.append({**verdict, "era": self._knocking_era})

    @property
    def _knocking_era(self) -> str:
        return next(iter(self.params["eras"]), "auto")

    def _knock_until_refused(self, caller: str) -> str:
        key = {
            "no_key": None,
            "wrong_key": "sk-wrong-" + secrets.token_hex(16),
            "revoked_key": self.params["revoked_key"],
        }[caller]
        within = self.params["revoked_within_seconds"] if caller == "revoked_key" else 0
        started, pause = time.monotonic(), threading.Event()
        while True:
            outcome = self._outcome(key)
            waited = time.monotonic() - started
            if outcome == "refused" or waited > within:
                return f"{outcome} after {waited:.1f} s" if within else outcome
            pause.wait(KNOCK_AGAIN_SECONDS)

    def _outcome(self, key: str | None) -> str:
        try:
            with self._session(self._knocking_era, key) as session:
                return f"let in ({session.version})"
        except errors.Unauthorized:
            return "refused"
        except errors.ServiceError as error:
            return f"no verdict: {error.found}"


def read_lock(path: str) -> dict[str, str] | None:
    """Return the fingerprints of a lock file; None when there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            locked = json.load(stream)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise errors.Unexpected(
            f"the lock file {path} cannot be read ({error})",
            "what lock=write wrote",
            "restore it, or rewrite it",
        ) from error
    tools = locked.get("tools") if isinstance(locked, dict) else None
    if not isinstance(tools, dict):
        raise errors.Unexpected(
            f"the lock file {path} has no mapping `tools`",
            "what lock=write wrote",
            "restore it, or rewrite it",
        )
    return tools


def write_lock(path: str, found: dict[str, str]) -> None:
    """Replace the lock file in one step."""
    folder = os.path.dirname(path) or "."
    text = json.dumps({"tools": found}, indent=2, sort_keys=True) + "\n"
    try:
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(stream.name, 0o644)
        os.replace(stream.name, path)
    except OSError as error:
        raise errors.Refused(
            f"the lock file {path} cannot be written ({error.strerror})",
            "a directory that exists and may be written",
            "make it, or correct lock_file",
        ) from error


def _milliseconds(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
