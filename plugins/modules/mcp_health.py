#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: mcp_health
short_description: Measures and asserts an MCP server in a real session
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Opens a session as a client would, in one era of the protocol or in both, lists the tools, calls
    one, tries to get in without a key, and compares all of that with what is expected.
  - Fails when an expectation is not met, after everything was measured.
  - A check that could not run is V(unknown), not passed. It fails the module too, except in check
    mode.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
    details:
      - The tool is not called, since a call may change something; the checks of it are V(unknown).
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  url:
    description: The MCP endpoint, its path included.
    type: str
    required: true
  transport:
    description: How messages travel. V(sse) is the transport of 2024-11-05, legacy era only.
    type: str
    choices: [streamable_http, sse]
    default: streamable_http
  eras:
    description:
      - Eras of the protocol to open a session of. The server must speak each of them.
      - V(auto) takes the newest the server speaks, as clients do.
      - V(modern) is 2026-07-28 (C(server/discover), no session), V(legacy) all before
        (C(initialize)).
    type: list
    elements: str
    choices: [auto, modern, legacy]
    default: [auto]
  legacy_version:
    description: Protocol version to offer in the legacy era.
    type: str
    choices: ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05']
    default: '2025-11-25'
  key:
    description: Key to send as C(Authorization) C(Bearer).
    type: str
  key_file:
    description: File on the host that runs the module, holding the key and nothing else.
    type: path
  headers:
    description: Further headers to send.
    type: dict
  server_name:
    description: Name, or glob, that the server must give itself.
    type: str
  server_version:
    description: Version, or glob, that the server must give itself.
    type: str
  tools:
    description: The exact set of tools.
    type: list
    elements: str
  tools_include:
    description: Names or globs; for each of them there must be a tool.
    type: list
    elements: str
  tools_min:
    description: Number of tools there must be at least.
    type: int
  call:
    description: A tool to call.
    type: dict
    suboptions:
      tool:
        description: Its name.
        type: str
        required: true
      arguments:
        description: What to call it with.
        type: dict
        default: {}
      path:
        description:
          - Where to look in the structured result (or in the text, when it is JSON), keys and
            indices joined by dots, for example V(items.0.name). Without it, the text is meant.
        type: str
      equals:
        description: What must stand there.
        type: raw
      contains:
        description: Text that must occur there.
        type: str
      is_error:
        description: Whether the call must end in an error.
        type: bool
        default: false
  denies:
    description: Callers that must be turned away with status 401 or 403 before they open a session.
    type: list
    elements: str
    choices: [no_key, wrong_key]
    default: []
  max_latency_ms:
    description: Milliseconds that opening a session, listing tools and the call may each take.
    type: float
  validate_certs:
    description: Whether to verify the certificate when the address begins with V(https).
    type: bool
    default: true
  ca_path:
    description: File with the CA certificates to verify with, in place of the host's own.
    type: path
  timeout:
    description: Seconds to wait for an answer.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: The gateway shows the tools of every server, in both eras, and only to those with a key
  intranet.mcp.mcp_health:
    url: http://127.0.0.1:8080/mcp
    key_file: /etc/intranet-mcp/secrets/verify_key
    eras: [legacy, modern]
    tools_include: [filesystem_*, browser_navigate]
    denies: [no_key, wrong_key]

- name: The filesystem server lists the workspace
  intranet.mcp.mcp_health:
    url: http://127.0.0.1:8080/servers/filesystem/mcp
    key: "{{ key }}"
    tools_min: 10
    call:
      tool: list_directory
      arguments:
        path: /workspace
      contains: README
    max_latency_ms: 500
"""

RETURN = r"""
sessions:
  description: What was measured, one element an era.
  returned: always
  type: list
  elements: dict
  contains:
    era:
      description: Era of the session.
      type: str
    protocol_version:
      description: Version of the protocol that was agreed on.
      type: str
    server:
      description: Name and version the server gives itself.
      type: dict
    capabilities:
      description: What the server offers.
      type: dict
    tools:
      description: Names of its tools, sorted.
      type: list
      elements: str
    call:
      description: Result of the call; empty without one.
      type: dict
    latency_ms:
      description: Milliseconds that C(open), C(list) and C(call) took.
      type: dict
  sample:
    - era: modern
      protocol_version: "2026-07-28"
      server: {name: gateway, version: 0.1.0}
      capabilities: {tools: {listChanged: true}}
      tools: [filesystem_list_directory, filesystem_read_file]
      call: {is_error: false, text: "[FILE] README.md", structured: null}
      latency_ms: {open: 3.1, list: 2.2, call: 4.0}
denials:
  description: What happened to callers who must be turned away, by kind.
  returned: always
  type: dict
  sample:
    no_key: refused
    wrong_key: refused
checks:
  description: Every expectation with its verdict.
  returned: always
  type: list
  elements: dict
  sample:
    - name: tools_min
      era: modern
      status: passed
      found: 14
      expected: ">= 10"
error:
  description: What failed, in parts that a play can branch on.
  returned: failure
  type: dict
  sample:
    reason: expectation
    found: "tools_min: 3"
    expected: ">= 10"
    action: check whether upstream servers are away; read the server's log
"""

import secrets
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils import _mcp, _mcp_checks
from ansible_collections.intranet.mcp.plugins.module_utils._errors import (
    ServiceError,
    Unauthorized,
    fail,
    read_key_file,
)
from ansible_collections.intranet.mcp.plugins.module_utils._http import HttpClient


class ExpectationError(ServiceError):
    """Something was measured that is not what was expected."""

    reason = "expectation"


class McpHealth:
    """Measures a server and judges what it found."""

    def __init__(self, module):
        self.module, self.params = module, module.params
        self.sessions, self.checks, self.denials = [], [], {}

    def run(self):
        """Measure everything, then judge."""
        try:
            for era in self.params["eras"]:
                self._measure(era)
            for caller in self.params["denies"]:
                self._knock(caller)
        except ServiceError as error:
            fail(self.module, error, **self.result())
        bad = [c for c in self.checks if c["status"] in self._bad_statuses()]
        if bad:
            fail(self.module, self._error(bad), **self.result())
        return self.result()

    def result(self):
        """Return everything that was measured."""
        return {
            "changed": False,
            "sessions": self.sessions,
            "denials": self.denials,
            "checks": self.checks,
        }

    def _bad_statuses(self):
        if self.module.check_mode:
            return (_mcp_checks.FAILED,)
        return (_mcp_checks.FAILED, _mcp_checks.UNKNOWN)

    def _measure(self, era):
        key = read_key_file(self.params["key_file"]) or self.params["key"]
        started = time.monotonic()
        with self._session(era, key) as session:
            measured = {
                "era": session.era,
                "protocol_version": session.version,
                "server": session.server,
                "capabilities": session.capabilities,
                "tools": [],
                "call": {},
                "latency_ms": {"open": _milliseconds(started)},
            }
            self.sessions.append(measured)
            tools = {tool["name"]: tool for tool in self._timed(measured, "list", session.tools)}
            measured["tools"] = sorted(tools)
            verdicts = self._judge(measured) + self._call(session, tools, measured)
        verdicts += _mcp_checks.check_latency(measured["latency_ms"], self.params["max_latency_ms"])
        self.checks += [{**verdict, "era": session.era} for verdict in verdicts]

    def _session(self, era, key):
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
        return _mcp.session(http, self.params["transport"], era, self.params["legacy_version"])

    def _timed(self, measured, step, function, *arguments):
        started = time.monotonic()
        outcome = function(*arguments)
        measured["latency_ms"][step] = _milliseconds(started)
        return outcome

    def _judge(self, measured):
        server = {"name": self.params["server_name"], "version": self.params["server_version"]}
        return _mcp_checks.check_server(measured["server"], server) + _mcp_checks.check_tools(
            measured["tools"],
            self.params["tools"],
            self.params["tools_include"],
            self.params["tools_min"],
        )

    def _call(self, session, tools, measured):
        call = self.params["call"]
        if call is None:
            return []
        if call["tool"] not in tools:
            action = "check the name, and whether the key may see the tool"
            return [_mcp_checks.check("call", False, sorted(tools), call["tool"], action)]
        if self.module.check_mode:
            action = "run without check mode"
            return [_mcp_checks.check("call", None, "not called", call["tool"], action)]
        try:
            result = self._timed(
                measured, "call", session.call, tools[call["tool"]], call["arguments"]
            )
        except _mcp.RpcError as error:
            result = {"isError": True, "content": [{"type": "text", "text": error.found}]}
        measured["call"] = _mcp_checks.summarize(result)
        return _mcp_checks.check_call(measured["call"], call)

    def _knock(self, caller):
        """Try to open a session as somebody who must not."""
        key = None if caller == "no_key" else "sk-wrong-" + secrets.token_hex(16)
        era = self.params["eras"][0]
        try:
            with self._session(era, key) as session:
                self.denials[caller] = f"let in ({session.version})"
        except Unauthorized:
            self.denials[caller] = "refused"
        except ServiceError as error:
            self.denials[caller] = f"no verdict: {error.found}"
        outcome = self.denials[caller]
        passed = None if outcome.startswith("no verdict") else outcome == "refused"
        action = "check that the server asks for keys, and what stands in front of it"
        verdict = _mcp_checks.check(f"denies_{caller}", passed, outcome, "refused", action)
        self.checks.append({**verdict, "era": era})

    def _error(self, bad):
        first = bad[0]
        more = f" (and {len(bad) - 1} more, see checks)" if len(bad) > 1 else ""
        return ExpectationError(
            f"{self.params['url']} does not pass {first['name']}: {first['found']}",
            str(first["expected"]),
            first["action"] + more,
        )


def _milliseconds(started):
    return round((time.monotonic() - started) * 1000, 1)


def call_options():
    """Return the argument spec of a call."""
    return {
        "tool": {"type": "str", "required": True},
        "arguments": {"type": "dict", "default": {}},
        "path": {"type": "str"},
        "equals": {"type": "raw"},
        "contains": {"type": "str"},
        "is_error": {"type": "bool", "default": False},
    }


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "transport": {
                "type": "str",
                "choices": list(_mcp.TRANSPORTS),
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
                "choices": list(_mcp.LEGACY_VERSIONS),
                "default": _mcp.LEGACY_VERSIONS[0],
            },
            "key": {"type": "str", "no_log": True},
            "key_file": {"type": "path", "no_log": False},
            "headers": {"type": "dict"},
            "server_name": {"type": "str"},
            "server_version": {"type": "str"},
            "tools": {"type": "list", "elements": "str"},
            "tools_include": {"type": "list", "elements": "str"},
            "tools_min": {"type": "int"},
            "call": {"type": "dict", "options": call_options()},
            "denies": {
                "type": "list",
                "elements": "str",
                "choices": ["no_key", "wrong_key"],
                "default": [],
            },
            "max_latency_ms": {"type": "float"},
            "validate_certs": {"type": "bool", "default": True},
            "ca_path": {"type": "path"},
            "timeout": {"type": "int", "default": 30},
        },
        mutually_exclusive=[("key", "key_file")],
        supports_check_mode=True,
    )
    module.exit_json(**McpHealth(module).run())


if __name__ == "__main__":
    main()
