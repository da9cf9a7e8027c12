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
  - Fails, too, when a tool is one that the official SDKs refuse, with the whole list. Behind the
    gateway, which repairs such a tool or leaves it out, it is named in a warning, and so is a tool
    that a CLI of the bundle is known not to show.
  - Changes nothing, unless O(lock=write) asks for a lock file.
  - A check that could not run is V(unknown), not passed. It fails the module too, except in check
    mode.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
    details:
      - The tool is not called, since a call may change something; the checks of it are V(unknown).
      - A lock file is not written.
  diff_mode:
    support: partial
    details:
      - Shows which fingerprints of the lock file changed.
  idempotent:
    support: full
options:
  url:
    description: The MCP endpoint, its path included. Give this or O(command).
    type: str
  command:
    description: A server to start on the host that runs the module and to speak with on stdio.
    type: list
    elements: str
  env:
    description: Environment variables of O(command), besides those the module has.
    type: dict
  transport:
    description:
      - How messages travel. V(sse) is the transport of 2024-11-05, legacy era only.
      - With O(command) it is V(stdio), whatever this says.
    type: str
    choices: [streamable_http, sse, stdio]
    default: streamable_http
  eras:
    description:
      - Eras of the protocol to open a session of. The server must speak each of them.
      - V(auto) takes the newest the server speaks, as clients do. An empty list opens no session,
        for O(denies) alone.
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
  tools_exclude:
    description: Names or globs; there must be no such tool (for the key of another team, say).
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
          - Where to find it in the structured result (or in the text, when it is JSON), keys and
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
  denied_calls:
    description:
      - Tools, listed or not, whose call the server must refuse to this key. An error of the tool
        itself is no refusal, since then the call reached it.
    type: list
    elements: str
    default: []
  denies:
    description: Callers that must be turned away with status 401 or 403 before they open a session.
    type: list
    elements: str
    choices: [no_key, wrong_key, revoked_key]
    default: []
  revoked_key:
    description: A key that was valid and no longer is. Without it V(revoked_key) is unknown.
    type: str
  revoked_within_seconds:
    description:
      - How long the server may go on taking O(revoked_key), since it may remember keys for a while.
        It is asked again until then.
    type: float
    default: 0
  lock_file:
    description:
      - File on the host that runs the module with the fingerprint of each tool, that is a SHA-256
        of what a model reads of it (name, title, description, schemas, annotations).
    type: path
  lock:
    description:
      - V(compare) fails when a tool changed its description, is new or is gone since O(lock_file)
        was written. Without the file the check is V(unknown).
      - V(write) accepts what the tools say now and writes the file.
    type: str
    choices: [compare, write]
    default: compare
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

- name: No tool says something else of itself than what was reviewed
  intranet.mcp.mcp_health:
    url: http://127.0.0.1:8080/servers/filesystem/mcp
    key: "{{ key }}"
    lock_file: /etc/intranet-mcp/locks/filesystem.json

- name: A server is tried on stdio before it is deployed
  intranet.mcp.mcp_health:
    command: [acme-tickets-mcp, --read-only]
    env:
      TICKETS_TOKEN: "{{ token }}"
    tools: [list_tickets, read_ticket]
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
    fingerprints:
      description: SHA-256 of what a model reads of each tool, by name.
      type: dict
    faults:
      description:
        - What the gateway repaired or left out of the list, since the official SDKs would refuse
          all of it otherwise; with the server, the tool, the problem and what became of it.
      type: list
      elements: dict
    hidden:
      description:
        - Tools that a CLI of the bundle is known not to show its model, with that C(client) and why
          (C(because)).
      type: list
      elements: dict
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
      fingerprints: {filesystem_list_directory: 5ea0..., filesystem_read_file: 80c1...}
      faults: []
      hidden: []
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
  contains:
    name:
      description: What was expected, by the option that says so.
      type: str
    era:
      description: Era of the session; empty where no session is involved.
      type: str
    status:
      description: V(passed), V(failed), or V(unknown) where it could not be checked.
      type: str
    found:
      description: What was measured.
      type: raw
    expected:
      description: What should have been measured.
      type: raw
    action:
      description: What to do about a failure.
      type: str
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError, fail
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import FAILED, UNKNOWN
from ansible_collections.intranet.mcp.plugins.module_utils.mcp.probe import (
    ARGUMENTS,
    RULES,
    McpProbe,
)


class ExpectationError(ServiceError):
    """Something was measured that is not what was expected."""

    reason = "expectation"


class McpHealth:
    """Asks the probe, and ends the module with its verdict."""

    def __init__(self, module):
        self.module = module
        self.probe = McpProbe(module.params, module.check_mode)

    def run(self):
        """Measure everything, then judge."""
        try:
            self.probe.run()
        except ServiceError as error:
            fail(self.module, error, **self.result())
        self._warn()
        # In check mode nothing is called, which is no failure of the server.
        bad_statuses = (FAILED,) if self.module.check_mode else (FAILED, UNKNOWN)
        bad = [check for check in self.probe.checks if check["status"] in bad_statuses]
        if bad:
            fail(self.module, self._error(bad), **self.result())
        return self.result()

    def _warn(self):
        """Name what is no failure here, but keeps a tool from somebody."""
        for verdict in self.probe.checks:
            if verdict["name"] in ("lists_repaired", "tools_hidden"):
                self.module.warn(f"{verdict['name'].replace('_', ' ')}: {verdict['found']}")

    def result(self):
        """Return everything that was measured."""
        result = {
            "changed": self.probe.is_changed,
            "sessions": self.probe.sessions,
            "denials": self.probe.denials,
            "checks": self.probe.checks,
        }
        if self.module.params["lock_file"] and self.module.params["lock"] == "write":
            result["diff"] = self.probe.locks
        return result

    def _error(self, bad):
        first = bad[0]
        more = f" (and {len(bad) - 1} more, see checks)" if len(bad) > 1 else ""
        where = self.module.params["url"] or self.module.params["command"][0]
        return ExpectationError(
            f"{where} does not pass {first['name']}: {first['found']}",
            str(first["expected"]),
            first["action"] + more,
        )


def main():
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True, **RULES)
    module.exit_json(**McpHealth(module).run())


if __name__ == "__main__":
    main()
