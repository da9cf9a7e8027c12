# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A GPU host must not serve from the CPU without a word: the role reads what Ollama itself says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import image
from support import REPOSITORY

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: intranet.mcp.ollama, tasks_from: gpu}
"""
# What the publisher's image says on a GPU (Ollama's own words; the GPU is made up).
CUDA = (
    'msg="inference compute" id=GPU-1 library=CUDA compute=8.0 name=CUDA0 '
    'description="NVIDIA A100" total="80.0 GiB" available="79.1 GiB"'
)

pytestmark = pytest.mark.integration


@pytest.fixture
def judge(docker, tmp_path):
    """Return a function that starts Ollama's image and runs the role's check of what it found."""

    def run(*options: str) -> tuple[int, str]:
        prefix = f"itest-{docker.suffix}-"
        container = f"{prefix}ollama"
        docker.containers.append(container)
        docker.try_run("rm", "-fv", container)
        docker.run("run", "-d", f"--name={container}", *options)
        (tmp_path / "play.yml").write_text(PLAY)
        variables = {"platform_container_prefix": prefix}
        done = subprocess.run(
            [PLAYBOOK, "-i", "here,", "-c", "local", "-e", json.dumps(variables), "play.yml"],
            cwd=tmp_path,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(tmp_path),
                "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".cache/collections"),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout

    return run


def test_an_ollama_that_found_no_gpu_stops_the_run(judge):
    """The real one, on a machine without a GPU: what a GPU host gets from an image without CUDA."""
    status, said = judge(image("ollama"), "serve")
    assert status != 0
    assert "serves from the CPU" in said and "library=cpu" in said and "no CUDA runners" in said


def test_one_that_found_a_gpu_does_not(judge):
    status, said = judge("--entrypoint=echo", image("ollama"), CUDA)
    assert status == 0, said
