#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Keep an own nftables table that filters the platform's ports
author:
  - intranet.mcp contributors (@intranet-mcp)
version_added: 0.1.0
description:
  - Drops new connections to the managed ports, except those from the sources of a flow. Ports of
    host processes and ports that Docker publishes are filtered alike, for IPv4 and IPv6.
  - Everything else, other tables, other ports, C(ufw) and C(firewalld) included, is left alone.
  - New rules are taken back by the host itself unless they are confirmed over a new connection in
    time. This module's action plugin does that, and installs C(nft) where it is missing.
  - The rules survive a reboot where systemd runs. Elsewhere whoever starts Docker loads
    O(path); the C(docker) role's supervisor does.
attributes:
  check_mode:
    support: full
    description: Shows the difference without loading anything.
  diff_mode:
    support: full
    description: Shows the rules before and after.
  idempotent:
    support: full
    description: Compares the loaded table with what the kernel listed after the last change.
options:
  state:
    description: Whether the table must be there.
    type: str
    choices: [present, absent]
    default: present
  flows:
    description: Who may connect, as returned by P(intranet.mcp.flows#lookup).
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Name of the service, a comment in the rule.
        type: str
        required: true
      port:
        description: Port of the host; V(0) with O(flows[].proto=vrrp), which knows no ports.
        type: int
        required: true
      proto:
        description:
          - Transport protocol. V(vrrp), by which hosts decide who holds a shared address, is
            accepted from the sources alone as soon as a flow speaks it.
        type: str
        choices: [tcp, udp, vrrp]
        default: tcp
      sources:
        description: Addresses and networks, of either family, or V(any).
        type: list
        elements: str
        default: []
  managed_ports:
    description: TCP ports that are closed unless a flow opens them.
    type: list
    elements: int
    default: []
  ssh_ports:
    description: Ports that are never filtered. The one Ansible came in by is added.
    type: list
    elements: int
    default: [22]
  networks:
    description:
      - The containers' networks, as returned by P(intranet.mcp.flows#lookup) for V(networks). What
        their containers send goes where a network says, and nowhere else; neither to this host's
        ports nor to other networks. A container is told so at once (ICMP).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the network, a comment in its last rule.
        type: str
        required: true
      interface:
        description: The network's bridge.
        type: str
        required: true
      egress:
        description:
          - Destinations outside the platform, each with a port or without. V(internet) is every
            public address, V(any) every address that is not the platform's. An address or a network
            is meant as written. A name is looked up when the rules are made; without an answer the
            addresses of the last time stay.
          - Link-local addresses, where clouds serve metadata, are open only to an entry that names
            one.
        type: list
        elements: str
        default: []
      flows:
        description: Services of other hosts.
        type: list
        elements: dict
        default: []
        suboptions:
          service:
            description: Name of the service, a comment in the rule.
            type: str
            required: true
          port:
            description: Its port there.
            type: int
            required: true
          addresses:
            description: Addresses of these hosts.
            type: list
            elements: str
            required: true
      here:
        description: Ports of this host that the network's containers reach by its address.
        type: list
        elements: int
        default: []
      closed:
        description: What only O(networks[].flows) open, wherever O(networks[].egress) may lead.
        type: dict
        suboptions:
          addresses:
            description: Addresses of the platform's other hosts.
            type: list
            elements: str
            default: []
          ports:
            description: Every port of the platform.
            type: list
            elements: int
            default: []
  rollback_seconds:
    description: After how many seconds unconfirmed rules are taken back.
    type: int
    default: 30
  table:
    description: Name of the table, of family C(inet).
    type: str
    default: intranet_mcp
  path:
    description: Where the rules are kept for the next boot.
    type: path
    default: /etc/intranet-mcp/firewall.nft
  run_directory:
    description: Where the previous rules wait for the confirmation.
    type: path
    default: /run/intranet-mcp/firewall
  unit:
    description: The systemd unit that loads the rules at boot.
    type: path
    default: /etc/systemd/system/intranet-mcp-firewall.service
  package:
    description: The package with C(nft), for hosts that lack it.
    type: str
    default: nftables
  confirm:
    description: Used by the action plugin. Keep the rules that were loaded under this token.
    type: str
"""

EXAMPLES = r"""
- name: Let only the company network reach the gateway
  intranet.mcp.firewall:
    managed_ports: [8080, 4000]
    flows:
      - {service: gateway, port: 8080, sources: [10.0.0.0/8, "fd00::/8"]}

- name: Let containers of one network reach an internal Git server and nothing else
  intranet.mcp.firewall:
    networks:
      - {name: tools, interface: br-tools, egress: ["10.1.2.3:443"]}

- name: Take the table away
  intranet.mcp.firewall:
    state: absent
"""

RETURN = r"""
rules:
  description: The rules that hold, as handed to C(nft).
  returned: success
  type: str
  sample: "table inet intranet_mcp { ... }"
ssh_ports:
  description: Ports that are never filtered.
  returned: when O(state=present)
  type: list
  elements: int
  sample: [22]
pending:
  description: Token of rules that wait for their confirmation, empty where none do.
  returned: success
  type: str
  sample: ""
reason:
  description: V(nft_missing) where the program is not installed.
  returned: on that failure
  type: str
  sample: nft_missing
"""

import glob
import json
import os
import secrets

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.firewall import egress
from ansible_collections.intranet.mcp.plugins.module_utils.firewall.nftables import (
    UNIT,
    render,
    replacing,
    ssh_server_port,
)

# Where an engine finds the name servers that it passes containers' questions on to.
RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")

# Whoever renames the pending file decides: this timer, or the confirmation.
TIMER = """\
seconds=0
while [ -e "$1" ] && [ "$seconds" -lt "$4" ]; do sleep 1; seconds=$((seconds + 1)); done
mv "$1" "$1.rolled-back" 2>/dev/null && "$3" -f "$2"
"""


class Firewall:
    """The table on this host, from what is loaded to what must be."""

    def __init__(self, module: AnsibleModule):
        self.module = module
        params = module.params
        self.table, self.path, self.unit = params["table"], params["path"], params["unit"]
        self.state_path = os.path.splitext(self.path)[0] + ".json"
        self.run = params["run_directory"]
        self.nft = module.get_bin_path("nft", opt_dirs=["/usr/sbin", "/sbin"]) or ""

    def read(self) -> None:
        self.live = self.listing()
        self.kept = read(self.path)
        try:
            self.state = json.loads(read(self.state_path) or "{}")
        except ValueError:
            self.state = {}

    def listing(self) -> str:
        """The loaded table as the kernel has it, without counters; empty where there is none."""
        if not self.nft:
            return ""
        rc, out, err = self.module.run_command(
            [self.nft, "--stateless", "list", "table", "inet", self.table]
        )
        if rc and "No such file" not in err:
            raise Unusable(
                f"nft cannot list tables: {err.strip()}; expected root and a kernel with nf_tables"
            )
        return "" if rc else out

    def desired(self) -> str:
        params = self.module.params
        if params["state"] == "absent":
            self.ssh_ports, self.known = [], {}
            return ""
        came_in_by = ssh_server_port(ancestor_environments())
        # A local run keeps the port that a remote one found, or the rules would alternate.
        found = [came_in_by] if came_in_by else self.state.get("ssh_ports", [])
        self.ssh_ports = sorted({*params["ssh_ports"], *found})
        self.known = self.addresses_of_names()
        return render(
            params["flows"],
            params["managed_ports"],
            self.ssh_ports,
            params["networks"],
            self.table,
            egress.resolvers(*[read(path) for path in RESOLVERS]),
            self.known,
        )

    def addresses_of_names(self) -> dict[str, list[str]]:
        """The addresses of the names among the destinations; the last known where none is found."""
        known = {}
        for network in self.module.params["networks"]:
            for text in network["egress"]:
                name = egress.parse(text).name
                found = name and (egress.resolve(name) or self.state.get("known", {}).get(name))
                if name and not found:
                    raise Unusable(
                        f"egress {text!r}: {name} has no address; expected a name that this host "
                        "resolves: correct it, or give the address itself"
                    )
                if name:
                    known[name] = found
        return known

    def current(self) -> str:
        """What holds now, as we wrote it if nobody touched it since."""
        return self.kept if self.live == self.state.get("listing") else self.live

    def is_loaded(self, rules: str) -> bool:
        if not rules:
            return not self.live
        return bool(self.live) and self.state == self.new_state(rules, self.live)

    def is_kept(self, rules: str) -> bool:
        return self.kept == rules and read(self.unit) == self.unit_text(rules)

    def new_state(self, rules: str, listing: str) -> dict:
        return {
            "rules": rules,
            "listing": listing,
            "ssh_ports": self.ssh_ports,
            "known": self.known,
        }

    def unit_text(self, rules: str) -> str:
        if not rules or not os.path.isdir("/run/systemd/system"):
            return ""
        return UNIT.format(nft=self.nft, path=self.path, table=self.table)

    def load(self, rules: str) -> str:
        """Loads the rules under a timer that takes them back; returns the token to confirm."""
        os.makedirs(self.run, mode=0o700, exist_ok=True)
        self.take_back_unconfirmed()
        token = secrets.token_hex(8)
        pending, previous = self.pending(token), os.path.join(self.run, f"previous-{token}")
        script = os.path.join(self.run, f"new-{token}")
        write(script, rules)
        self.nft_file(script, check=True)
        write(previous, replacing(self.table, self.live))
        write(pending, "")
        self.start_timer(pending, previous)
        self.nft_file(script)
        return token

    def remove(self) -> None:
        """Takes the table away; that locks nobody out, so nothing waits for a confirmation."""
        if os.path.isdir(self.run):
            self.take_back_unconfirmed()
        script = os.path.join(os.path.dirname(self.path), "firewall.absent.nft")
        write(script, replacing(self.table, ""))
        self.nft_file(script)
        os.unlink(script)
        self.keep("")

    def confirm(self, token: str, rules: str) -> None:
        try:
            os.rename(self.pending(token), self.pending(token) + ".confirmed")
        except FileNotFoundError:
            raise Unusable(
                f"the new rules were taken back: no confirmation came within "
                f"{self.module.params['rollback_seconds']} s. Expected this host to answer a new "
                "connection in time: check whether the rules or the network are the reason, or "
                "raise rollback_seconds (firewall_rollback_seconds)"
            ) from None
        self.live = self.listing()
        self.keep(rules)
        for path in glob.glob(os.path.join(self.run, f"*-{token}*")):
            os.unlink(path)

    def keep(self, rules: str) -> None:
        """Writes what the next boot loads, or removes it."""
        text = self.unit_text(rules)
        if rules:
            os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
            write(self.path, rules)
            write(self.state_path, json.dumps(self.new_state(rules, self.live), indent=1))
        name = os.path.basename(self.unit)
        if text and read(self.unit) != text:
            write(self.unit, text, 0o644)
            self.systemctl("daemon-reload")
            self.systemctl("enable", name)
        if not rules:
            if os.path.exists(self.unit):
                self.systemctl("disable", name)
                os.unlink(self.unit)
                self.systemctl("daemon-reload")
            for path in (self.path, self.state_path):
                if os.path.exists(path):
                    os.unlink(path)

    def pending(self, token: str) -> str:
        return os.path.join(self.run, f"pending-{token}")

    def take_back_unconfirmed(self) -> None:
        """Rules of a run that broke off before its confirmation."""
        for pending in glob.glob(os.path.join(self.run, "pending-*")):
            if pending.endswith((".rolled-back", ".confirmed")):
                continue
            os.rename(pending, pending + ".rolled-back")
            self.nft_file(pending.replace("pending-", "previous-"))
        self.live = self.listing()
        for path in glob.glob(os.path.join(self.run, "*-*")):
            os.unlink(path)

    def start_timer(self, pending: str, previous: str) -> None:
        seconds = str(self.module.params["rollback_seconds"])
        command = ["/bin/sh", "-c", TIMER, "firewall-timer", pending, previous, self.nft, seconds]
        systemd_run = self.module.get_bin_path("systemd-run")
        if systemd_run and os.path.isdir("/run/systemd/system"):
            # Outside the session: logind may end what a session leaves behind.
            command = [systemd_run, "--quiet", "--collect", "--no-block", *command]
        else:
            detach = 'setsid "$@" </dev/null >/dev/null 2>&1 &'
            command = ["/bin/sh", "-c", detach, "detach", *command]
        rc, _out, err = self.module.run_command(command)
        if rc:
            raise Unusable(
                f"the timer that would take new rules back cannot be started: {err.strip()}; "
                "expected systemd-run or setsid. Nothing was changed"
            )

    def nft_file(self, path: str, check: bool = False) -> None:
        rc, _out, err = self.module.run_command(
            [self.nft, *(["--check"] if check else []), "-f", path]
        )
        if rc:
            raise Unusable(
                f"nft refuses the rules: {err.strip()}. Expected nft 0.9 or newer and a kernel "
                "(5.9 or newer) with nf_tables, nft_ct, nft_fib and nft_reject; nothing was changed"
            )

    def systemctl(self, *arguments: str) -> None:
        rc, _out, err = self.module.run_command(["systemctl", *arguments])
        if rc:
            raise Unusable(f"systemctl {' '.join(arguments)} failed: {err.strip()}")


def ancestor_environments() -> list[str]:
    """Environments of this process and its ancestors: become clears ours, not sshd's."""
    found = []
    pid = os.getpid()
    while pid > 1:
        found.append(read(f"/proc/{pid}/environ"))
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
    return found


def read(path: str) -> str:
    """The file's text, empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, text: str, mode: int = 0o600) -> None:
    """Replaces the file in one step."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    os.rename(path + ".new", path)


FLOW = {
    "service": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "proto": {"type": "str", "choices": ["tcp", "udp", "vrrp"], "default": "tcp"},
    "sources": {"type": "list", "elements": "str", "default": []},
}
REMOTE = {
    "service": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "addresses": {"type": "list", "elements": "str", "required": True},
}
CLOSED = {
    "addresses": {"type": "list", "elements": "str", "default": []},
    "ports": {"type": "list", "elements": "int", "default": []},
}
NETWORK = {
    "name": {"type": "str", "required": True},
    "interface": {"type": "str", "required": True},
    "egress": {"type": "list", "elements": "str", "default": []},
    "flows": {"type": "list", "elements": "dict", "default": [], "options": REMOTE},
    "here": {"type": "list", "elements": "int", "default": []},
    "closed": {"type": "dict", "apply_defaults": True, "options": CLOSED},
}
ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "flows": {"type": "list", "elements": "dict", "default": [], "options": FLOW},
    "managed_ports": {"type": "list", "elements": "int", "default": []},
    "ssh_ports": {"type": "list", "elements": "int", "default": [22]},
    "networks": {"type": "list", "elements": "dict", "default": [], "options": NETWORK},
    "rollback_seconds": {"type": "int", "default": 30},
    "table": {"type": "str", "default": "intranet_mcp"},
    "path": {"type": "path", "default": "/etc/intranet-mcp/firewall.nft"},
    "run_directory": {"type": "path", "default": "/run/intranet-mcp/firewall"},
    "unit": {"type": "path", "default": "/etc/systemd/system/intranet-mcp-firewall.service"},
    "package": {"type": "str", "default": "nftables"},
    "confirm": {"type": "str", "no_log": False},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    firewall = Firewall(module)
    result = {"changed": False, "pending": ""}
    try:
        firewall.read()
        rules = firewall.desired()
        result["rules"] = rules
        if rules:
            result["ssh_ports"] = firewall.ssh_ports
        if module.params["confirm"]:
            firewall.confirm(module.params["confirm"], rules)
            module.exit_json(**result)
        loaded, kept = firewall.is_loaded(rules), firewall.is_kept(rules)
        result["changed"] = not (loaded and kept)
        if result["changed"]:
            result["diff"] = {
                "before": firewall.current(),
                "after": rules,
                "before_header": f"table inet {firewall.table}",
                "after_header": f"table inet {firewall.table}",
            }
        if result["changed"] and not module.check_mode:
            if not firewall.nft and rules:
                module.fail_json(
                    msg=f"nft is not installed; install {module.params['package']}",
                    reason="nft_missing",
                )
            if loaded:
                firewall.keep(rules)
            elif rules:
                result["pending"] = firewall.load(rules)
            else:
                firewall.remove()
    except Unusable as error:
        module.fail_json(msg=f"firewall: {error}")
    except OSError as error:
        module.fail_json(msg=f"firewall: {error}; expected root and a writable {firewall.path}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
