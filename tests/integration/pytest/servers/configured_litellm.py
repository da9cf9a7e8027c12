# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""LiteLLM with the configuration that the role renders for a host, without a database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml
from support import REPOSITORY

ROLES = REPOSITORY / "roles"
PORT = 11434  # of every Ollama
RENDER = """
- hosts: litellm
  gather_facts: false
  vars_files: [ROLES/litellm/defaults/main.yml, ROLES/litellm/vars/main.yml]
  roles: [intranet.mcp.platform]
  vars: {template: ROLES/litellm/templates/config.yaml.j2}
  tasks:
    - ansible.builtin.copy:
        content: "{{ lookup('ansible.builtin.template', template) }}"
        dest: "{{ inventory_dir }}/{{ inventory_hostname }}/config.yaml"
        mode: "0644"
"""


def render(folder: Path, addresses: dict[str, str], replicas: list[str], **variables) -> None:
    """Write a folder of configuration for each replica.

    addresses: of the hosts, each of which runs an Ollama. A replica calls the one on its own host
    HOST-ollama, as containers on one host call each other by name.
    """
    folder.chmod(0o755)
    hosts = {
        host: {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "platform_address": address,
            "platform_container_prefix": f"{host}-",
        }
        for host, address in addresses.items()
    }
    members = {"litellm": replicas, "ollama": list(hosts), "postgres": replicas[:1]}
    groups = {g: {"hosts": {host: {} for host in found}} for g, found in members.items()}
    given = {"platform_ollama_port": PORT, **variables}
    inventory = {"all": {"hosts": hosts, "children": groups}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    # The role's defaults are a play's variables here, which count for more than an inventory's.
    (folder / "given.yml").write_text(yaml.safe_dump(given))
    (folder / "render.yml").write_text(RENDER.replace("ROLES", str(ROLES)))
    for replica in replicas:
        (folder / replica).mkdir()
        for source in (ROLES / "litellm/files").glob("*.py"):
            (folder / replica / source.name).write_text(source.read_text())
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", folder / "hosts.yml"]
    command += ["-e", f"@{folder}/given.yml"]
    done = subprocess.run(
        [*command, folder / "render.yml"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def start(docker, image: str, name: str, folder: Path, master_key: str, **more: str) -> str:
    """Start a LiteLLM with a folder of configuration and return the container's name.

    more: further variables of its environment.
    """
    env = yaml.safe_load((ROLES / "litellm/vars/main.yml").read_text())["__litellm_env"]
    return docker.start(
        name,
        image,
        "--publish=127.0.0.1::4000",
        f"--volume={folder}:/config:ro",
        env={**env, "LITELLM_MASTER_KEY": master_key, **more},
        command=("litellm", "--config", "/config/config.yaml", "--port", "4000"),
    )
