# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Hosts of a cluster on one machine: containers as the roles define them, one address a host.

A host is a container that only holds an address; what runs on the host shares its network. Paths
and addresses are the roles' own, so what is tried is what a playbook would start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from support import REPOSITORY

SUBNET = "10.77.91"
HOSTS = {"data1": 11, "data2": 12, "data3": 13, "lb1": 10}
MEMBERS = ["data1", "data2", "data3"]
# Each role's services on its hosts, as files and as containers in JSON.
RENDER = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: intranet.mcp.etcd, tasks_from: certificates}
      when: groups['postgres'] | length > 1
- hosts: all
  gather_facts: false
  vars:
    image_sources: []
  tasks:
    - ansible.builtin.include_tasks: role.yml
      loop: [etcd, postgres, redis, load_balancer]
      loop_control: {loop_var: role}
      when: >-
        role in group_names or (role == 'etcd' and 'postgres' in group_names
        and groups['postgres'] | length > 1)
"""
ROLE = """
- ansible.builtin.include_role:
    name: "intranet.mcp.{{ role }}"
    public: true
  vars: {platform_verb: define}
- ansible.builtin.set_fact:
    specs: "{{ defined | intranet.mcp.service_specs(context) }}"
  vars:
    defined: "{{ lookup('ansible.builtin.vars', definitions[role]) }}"
- intranet.mcp.files:
    directories: "{{ places + specs | map(attribute='directories') | flatten }}"
    files: "{{ specs | map(attribute='files') | flatten }}"
    secrets: "{{ specs | map(attribute='secrets') | flatten }}"
- ansible.builtin.copy:
    content: "{{ specs | map(attribute='container') | to_json }}"
    dest: "{{ folder }}/{{ inventory_hostname }}/{{ role }}.json"
    mode: "0600"
"""


class Site:
    """Inventory, files and containers; `groups` may change as an inventory does."""

    def __init__(self, folder: Path, docker, image) -> None:
        self.folder, self.docker, self.image = folder, docker, image
        self.inventory = folder / "inventory"
        self.network = f"{docker.network}-cluster"
        self.containers: list[str] = []
        docker.run("network", "create", "--subnet", f"{SUBNET}.0/24", self.network)
        self.inventory.mkdir()
        (folder / "render.yml").write_text(RENDER)
        (folder / "role.yml").write_text(ROLE)
        for kind in ("templates", "files"):  # found beside the playbook, as if in a role
            (folder / kind).mkdir()
            for role in ("postgres", "redis"):
                for path in REPOSITORY.glob(f"roles/{role}/{kind}/*"):
                    (folder / kind / path.name).symlink_to(path)
        for host, number in HOSTS.items():
            self._hold(host, number)

    def _hold(self, host: str, number: int) -> None:
        own = [f"--add-host=intranet-{name}:127.0.0.1" for name in ("etcd", "postgres", "redis")]
        own.append("--add-host=intranet-redis_sentinel:127.0.0.1")
        place = (f"--network={self.network}", f"--ip={self.address(host)}", *own)
        name = self.name(host, "host")
        self.containers.append(name)
        keep = ("sleep", "infinity")
        self.docker.run("run", "-d", f"--name={name}", *place, self.image("redis"), *keep)

    def address(self, host: str) -> str:
        return f"{SUBNET}.{HOSTS[host]}"

    def name(self, host: str, service: str) -> str:
        return f"itest-{host}-{service}-{self.docker.suffix}"

    def declare(self, **groups: list[str]) -> None:
        """Say who is where, and let the roles write what follows from it."""
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "folder": str(self.folder),
            "platform_balancer_tls": False,
            "platform_users_networks": [],
            "definitions": {
                "etcd": "etcd_services",
                "postgres": "postgres_services",
                "redis": "__redis_definitions",
                "load_balancer": "load_balancer_services",
            },
            "etcd_services": ["{{ etcd_service }}"],
            "postgres_services": ["{{ __postgres_definition }}"],
            "load_balancer_services": ["{{ load_balancer_service }}"],
            "platform_config_dir": "{{ folder }}/{{ inventory_hostname }}/etc",
            "platform_data_dir": "{{ folder }}/{{ inventory_hostname }}/var",
            "platform_secrets_dir": str(self.folder / "secrets"),
            "context": {
                "owner": "{{ role }}",
                "prefix": "{{ platform_container_prefix }}",
                "config_dir": "{{ platform_config_dir }}/services",
                "data_dir": "{{ platform_data_dir }}",
                "images": "{{ image_references }}",
                "services": "{{ query('intranet.mcp.ports') | first }}",
            },
            "places": [
                {"path": "{{ folder }}/{{ inventory_hostname }}", "mode": "0755"},
                {"path": "{{ platform_config_dir }}", "mode": "0700"},
                {"path": "{{ platform_config_dir }}/services", "mode": "0700"},
                {"path": "{{ platform_data_dir }}", "mode": "0711"},
            ],
        }
        hosts = {host: {"platform_address": self.address(host)} for host in HOSTS}
        named = {"load_balancer": ["lb1"], "litellm": ["lb1"], "gateway": ["lb1"], **groups}
        children = {name: {"hosts": {m: {} for m in members}} for name, members in named.items()}
        text = {"all": {"vars": variables, "hosts": hosts, "children": children}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(text))
        self.groups = named
        done = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                "-i",
                self.inventory,
                self.folder / "render.yml",
            ],
            cwd=REPOSITORY,
            env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "False"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]

    def start(self, host: str, role: str) -> None:
        """Run the role's containers of a host, as they are defined, in place of older ones."""
        for spec in json.loads((self.folder / host / f"{role}.json").read_text()):
            service = spec["name"].removeprefix("intranet-")
            name = self.name(host, service)
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
            self.containers.append(name)
            options = [
                "--init",
                "--read-only",
                "--cap-drop=ALL",
                "--security-opt=no-new-privileges",
                f"--user={spec['user']}",
                f"--memory={spec['memory']}",
                f"--shm-size={spec['shm_size']}",
                f"--pids-limit={spec['pids_limit']}",
                *[f"--volume={volume}" for volume in spec["volumes"]],
                *[f"--tmpfs={place}" for place in spec["tmpfs"]],
                *[f"--env={key}={value}" for key, value in spec["env"].items()],
            ]
            assert not spec["entrypoint"]
            network = f"--network=container:{self.name(host, 'host')}"
            command = (*options, spec["image"], *spec["command"])
            self.docker.run("run", "-d", f"--name={name}", network, *command)

    def check(self, host: str, service: str, role: str) -> bool:
        """Run the container's own health check."""
        specs = json.loads((self.folder / host / f"{role}.json").read_text())
        (spec,) = [spec for spec in specs if spec["name"] == f"intranet-{service}"]
        command = spec["healthcheck"]["test"][1:]
        return self.inside(host, service, *command).returncode == 0

    def inside(self, host: str, service: str, *command: str, stdin: str | None = None):
        return subprocess.run(
            ["docker", "exec", "-i", self.name(host, service), *command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def stop(self, host: str, service: str) -> None:
        self.docker.run("stop", self.name(host, service))

    def kill(self, host: str, service: str) -> None:
        self.docker.run("kill", "--signal=KILL", self.name(host, service))

    def restart(self, host: str, service: str) -> None:
        self.docker.run("start", self.name(host, service))

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()

    def logs(self, host: str, service: str) -> str:
        found = subprocess.run(
            ["docker", "logs", "--tail=40", self.name(host, service)],
            capture_output=True,
            text=True,
            check=False,
        )
        return found.stdout + found.stderr

    def close(self) -> None:
        for container in reversed(self.containers):
            subprocess.run(["docker", "rm", "-fv", container], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", self.network], capture_output=True, check=False)
