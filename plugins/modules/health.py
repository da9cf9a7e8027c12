#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: health
short_description: Many probes at once, one row a check
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Carries out probes of a host and of what it reaches, up to eight at a time, in one task.
  - Every check becomes a row with a verdict. A check that could not run is V(unknown), and never
    V(passed).
  - Changes nothing.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
    details:
      - Runs the same way, since it changes nothing. Tools of MCP servers are called.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  probes:
    description: What to check.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the names of its rows begin with.
        type: str
        required: true
      kind:
        description:
          - V(http) takes C(url), C(status), C(contains), C(location) (where a redirect leads,
            without its query), C(service) (for messages), C(ca) (the authority to trust, PEM as
            text) and C(timeout).
          - V(sign_on) takes C(url) of the portal's checks, C(service), C(ca) and C(timeout), and
            names each part without which people cannot sign in.
          - V(page) takes C(url), C(user), C(key) (the name of the password), C(service), C(ca) and
            C(timeout), and asks without a login, with a wrong and with the right password.
          - V(certificate) takes C(url), C(days) that must be left, C(ca) (the authority that people
            trust, PEM as text, for whether every CLI accepts what it signed) and C(timeout).
          - V(gpu) takes C(url) of an Ollama, C(timeout), and C(model) to load where none is in
            memory (C(embeds_only) if it has no chat), with C(context), the tokens that requests ask
            for. Every model in memory must be on the GPU at least in part.
          - V(llm) takes the options of M(intranet.mcp.llm_health), V(mcp) those of
            M(intranet.mcp.mcp_health).
          - V(room) lists the tools of C(url) with C(key) and computes what each CLI of C(openings)
            (CLI to bytes of its opening request) leaves of the context of each of C(models)
            (C(name), C(context)). Under half is V(warning), nothing left V(failed).
          - V(first_word) measures how fast each of C(models) reads at C(llm_url) with C(api_key),
            by prompts of at most 512 words, and computes when the first word of each CLI of
            C(openings) comes, with the tools that C(url) lists for C(key). Later than C(seconds) is
            V(warning). It takes C(timeout), and asks one model after the other.
          - V(disk) takes C(paths) and C(free_mb).
          - V(clock) takes C(control_time), seconds since 1970 on the control node, and
            C(tolerance_seconds).
          - V(ports) connects to this host from a network namespace of its own, as V(users) or as
            V(other_networks) (C(seen_by)), and compares what is open with C(flows); it takes
            C(managed), ports to try besides those that containers publish, C(prefix) of these
            containers' names, and C(address). It needs root.
          - V(matrix) connects to C(ports) of each of C(neighbours) (C(host), C(addresses),
            C(ports), C(open)); exactly those of C(open) must answer.
          - V(isolation) connects from inside the network of each container to all others, to this
            host's ports (C(managed), SSH) by each of its addresses, to those of C(neighbours), and
            to the address at which clouds serve metadata; C(contacts), as
            P(intranet.mcp.flows#lookup) returns them, say what must answer and what may. It takes
            C(prefix), and needs root.
          - V(containers) compares the containers whose names begin with C(prefix) with C(defined)
            (C(name), C(hash), C(image)) and the files of C(files) (path to SHA-256) with the disk.
          - V(holders) checks whether exactly one host of C(listings), a mapping from a host to what
            C(ip -json address) says there, holds all of C(addresses); C(container) is keepalived's,
            for messages.
          - V(postgres) takes C(container), C(user), C(database), C(pool_sum) and C(reserve).
          - V(redis) takes C(container), and C(port) inside it.
          - V(postgres_cluster) takes C(url) of this host's Patroni, C(name) of its member,
            C(members), C(container) (for messages), and C(lag_mb) that a replica may be behind;
            V(etcd) takes C(container) and the number of C(members); V(redis_cluster) takes
            C(container), C(port), C(sentinel) (its container), C(sentinel_port) and the number of
            C(members).
          - V(migrations) takes C(container), and C(argv) of C(litellm-migrate --check), by default
            with the database that the platform gives LiteLLM.
          - V(command) runs C(argv) in C(container) and expects C(contains) in its output.
          - V(external) connects to a V(postgres) or V(redis) (C(service)) elsewhere, at C(host) and
            C(port), with TLS where C(ca) (PEM as text) says who signed its certificate, which has
            to be valid for C(days) more. Redis has to take C(key) (the name of its password). Where
            this host is none of its clients (C(is_client)), no way to it is V(warning). It takes
            C(timeout).
          - V(site) asks the LiteLLM of another site (C(site), C(url)) with C(key) whether it has
            C(models). Whatever is wrong with it is V(warning). It takes C(timeout).
          - V(cluster) asks the Kubernetes cluster of C(kubeconfig) and C(context) whether
            C(namespace) has each of C(objects), as applying it would leave it, the keys of each of
            C(secrets) (C(name), C(keys), and C(service) where the site makes it itself) and no
            NetworkPolicy of others, and whether rollouts are complete and pods ready. A pod whose
            container ended C(restarts) times, and lately, has failed.
          - V(monitoring) asks C(prometheus) and C(alertmanager) (their URLs) whether each of
            C(jobs) answers, every rule is evaluated and alerts arrive, again for at most
            C(wait_seconds) while they do not. Alerts that are out are V(warning). It takes
            C(prefix).
          - V(logs) waits for at most C(wait_seconds) until the log collector of this host, below
            C(data_dir), has C(line) of each of C(hosts), and checks whether what goes to C(siem)
            waits. It takes C(prefix).
          - V(litellm_intruder) takes C(url) and C(api_key), a member's key, and tries what only
            administrators may; V(gateway_intruder) takes C(url), C(key), C(servers) and C(pages)
            (what it answers without a key), and tries what no policy may let through;
            V(intruder_ports) takes C(address), C(managed) and C(flows) of another
            host, and connects to what no flow opens.
          - V(not_applicable) only says C(because) of what a check has no meaning here.
        type: str
        required: true
        choices:
          - http
          - sign_on
          - page
          - certificate
          - gpu
          - llm
          - mcp
          - room
          - first_word
          - disk
          - clock
          - ports
          - matrix
          - isolation
          - holders
          - containers
          - postgres
          - redis
          - postgres_cluster
          - etcd
          - redis_cluster
          - migrations
          - command
          - external
          - site
          - cluster
          - monitoring
          - logs
          - litellm_intruder
          - gateway_intruder
          - intruder_ports
          - not_applicable
      group:
        description: Heading under which a report shows its rows.
        type: str
        default: Checks
      part:
        description: What people know that its rows are about. Rows of V(llm) are about their model.
        type: dict
        suboptions:
          kind:
            description: What that is.
            type: str
            choices: [service, model, server]
            required: true
          name:
            description: Its name.
            type: str
            required: true
      options:
        description: Options of its kind. Options that hold a key name one of O(keys).
        type: dict
        default: {}
  keys:
    description: Values of the keys that probes name.
    type: dict
    default: {}
  required:
    description: Fail when a check failed or could not run. With V(false), only report.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: The ports are open, to those with a key
  intranet.mcp.health:
    keys:
      mine: "{{ lookup('intranet.mcp.secret', 'key-alice') }}"
    probes:
      - name: gateway is alive
        kind: http
        options: {url: "http://127.0.0.1:8080/health"}
      - name: llm
        kind: llm
        options: {url: "http://127.0.0.1:4000", api_key: mine, models: [{name: "qwen3:8b"}]}
      - name: mcp
        kind: mcp
        options: {url: "http://127.0.0.1:8080/mcp", key: mine, denies: [no_key, wrong_key]}
      - name: disk
        kind: disk
        options: {paths: [/var/lib/intranet-mcp], free_mb: 2048}
"""

RETURN = r"""
checks:
  description: One row a check, in the order of the probes.
  returned: always
  type: list
  elements: dict
  contains:
    group:
      description: Heading of the probe.
      type: str
    name:
      description: What was checked.
      type: str
    status:
      description: V(passed), V(failed), V(unknown) or V(not_applicable).
      type: str
    found:
      description: What was seen.
      type: str
    expected:
      description: What should have been.
      type: str
    action:
      description: What to do; empty for what passed.
      type: str
    milliseconds:
      description: How long it took, where that says something.
      type: float
    first_ms:
      description: Milliseconds to the first streamed piece, where an answer was streamed.
      type: float
    part:
      description: C(kind) and C(name) of the service, model or tool server that it is about.
      type: dict
  sample:
    - group: Services
      name: gateway is alive
      status: passed
      found: HTTP 200
      expected: HTTP 200 from http://127.0.0.1:8080/health
      action: ""
      milliseconds: 3.4
      first_ms: null
      part: null
error:
  description: What is wrong with the options, in parts that a play can branch on.
  returned: when options are wrong
  type: dict
  sample:
    reason: refused
    found: "probe 'disk' (disk): missing required arguments: free_mb"
    expected: "options of that kind: paths, free_mb"
    action: correct its options
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError, fail
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probes as _probes
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import FAILED, UNKNOWN

PART = {
    "kind": {"type": "str", "required": True, "choices": ["service", "model", "server"]},
    "name": {"type": "str", "required": True},
}


class QuietModule(AnsibleModule):
    """Keeps its long arguments out of the system log."""

    def _log_invocation(self):
        pass


def main():
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "probes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "kind": {"type": "str", "required": True, "choices": list(_probes.KINDS)},
                    "group": {"type": "str", "default": "Checks"},
                    "part": {"type": "dict", "options": PART},
                    "options": {"type": "dict", "default": {}},
                },
            },
            "keys": {"type": "dict", "default": {}, "no_log": True},
            "required": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        probes = [_probes.check(probe, module.params["keys"]) for probe in module.params["probes"]]
    except ServiceError as error:
        fail(module, error, checks=[])
    checks = _probes.run_all(probes)
    bad = [check for check in checks if check["status"] in (FAILED, UNKNOWN)]
    if bad and module.params["required"]:
        first = f"{bad[0]['name']}: found {bad[0]['found']}, expected {bad[0]['expected']}"
        module.fail_json(
            msg=f"{len(bad)} of {len(checks)} checks did not pass; {first}: {bad[0]['action']}",
            checks=checks,
        )
    module.exit_json(changed=False, checks=checks)


if __name__ == "__main__":
    main()
