# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every container has what it needs and nothing more."""

from __future__ import annotations

import json

OWNERS = {"postgres", "redis", "ollama", "litellm", "gateway", "tool_server"}
OWNERS |= {"exporters", "node_exporter", "logs", "prometheus"}
# It reads logs, which are files of root: their owner, without a capability.
AS_ROOT = ["log_shipper"]
# What may be reached from other machines, and what from the host itself.
PUBLISHED = {"litellm": ("0.0.0.0", "4000"), "gateway": ("0.0.0.0", "8080")}
LOOPBACK = {
    "ollama": ("127.0.0.1", "11434"),
    "alertmanager": ("127.0.0.1", "9093"),
    "prometheus": ("127.0.0.1", "9090"),
}


def without(containers, has):
    """Return the names of containers for which the condition does not hold."""
    return sorted(name for name, container in containers.items() if not has(container))


def test_every_role_runs_its_services(containers):
    assert {c["Config"]["Labels"]["intranet.mcp.owner"] for c in containers.values()} == OWNERS


def test_all_are_healthy(containers):
    assert not without(containers, lambda c: c["State"]["Health"]["Status"] == "healthy")


def test_none_runs_as_root(host, containers):
    as_root = without(containers, lambda c: c["Config"]["User"].split(":")[0] not in ("", "0"))
    assert as_root == AS_ROOT
    for container in (c for name, c in containers.items() if name not in AS_ROOT):
        identities = host.check_output(f"docker top {container['Id']} -eo pid,uid").split()[3::2]
        assert "0" not in identities, container["Name"]


def test_root_filesystems_are_read_only(containers):
    assert not without(containers, lambda c: c["HostConfig"]["ReadonlyRootfs"])


def test_no_privilege_can_be_gained(containers):
    assert not without(containers, lambda c: c["HostConfig"]["CapDrop"] == ["ALL"])
    assert not without(containers, lambda c: not c["HostConfig"]["CapAdd"])
    assert not without(containers, lambda c: not c["HostConfig"]["Privileged"])
    assert not without(
        containers, lambda c: "no-new-privileges" in str(c["HostConfig"]["SecurityOpt"])
    )


def test_the_kernel_agrees_about_privileges(host, containers):
    for container in containers.values():
        status = host.check_output(f"cat /proc/{container['State']['Pid']}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(fields["CapEff"], 16) == 0, container["Name"]
        assert int(fields["CapBnd"], 16) == 0, container["Name"]
        assert fields["NoNewPrivs"].strip() == "1", container["Name"]


def test_memory_and_processes_are_limited(containers):
    assert not without(containers, lambda c: c["HostConfig"]["Memory"] > 0)
    assert not without(containers, lambda c: (c["HostConfig"]["PidsLimit"] or 0) > 0)


def test_logs_are_rotated_and_restarts_are_automatic(containers):
    assert not without(containers, lambda c: "max-size" in c["HostConfig"]["LogConfig"]["Config"])
    assert not without(containers, lambda c: c["HostConfig"]["RestartPolicy"]["Name"] == "always")


def test_no_container_reaches_the_engine(containers):
    assert not without(containers, lambda c: "docker.sock" not in json.dumps(c["Mounts"]))


def test_published_ports_are_exactly_the_declared_ones(containers):
    published = {}
    for name, container in containers.items():
        for bindings in (container["HostConfig"]["PortBindings"] or {}).values():
            for binding in bindings:
                published[name] = (binding["HostIp"] or "0.0.0.0", binding["HostPort"])
    assert published == {**PUBLISHED, **LOOPBACK}
