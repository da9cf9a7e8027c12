#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""install_artifact.py DIRECTORY: what an engineer has who installed the collection, and no more.

Builds the collection from the repository's files and installs it under DIRECTORY/collections; the
configuration there is empty. ANSIBLE_CONFIG and ANSIBLE_COLLECTIONS_PATH name both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {".cache", ".venv", "__pycache__", "secrets", "reports", ".intranet-mcp"}


def repository_files() -> list[Path]:
    """Return the paths of the repository's files: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        names = filter(None, listed.stdout.split(b"\0"))
        paths = [Path(os.fsdecode(name)) for name in names]
    else:  # an unpacked archive, in which other jobs are at work
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        paths = [path for path in paths if not GENERATED.intersection(path.parts)]
    return [path for path in paths if (ROOT / path).is_file()]


def install(directory: Path) -> dict[str, str]:
    """Build and install; return the environment in which Ansible finds it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ansible.cfg").touch()
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"),
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
    }
    with tempfile.TemporaryDirectory(dir=directory) as work:
        source = Path(work, "source")
        for path in repository_files():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, source / path)
        galaxy(environment, "build", "--output-path", work, source)
        shutil.rmtree(directory / "collections", ignore_errors=True)
        target = directory / "collections"
        galaxy(environment, "install", "--offline", "--no-deps", "-p", target, *archives(work))
    return environment


def archives(work: str) -> list[Path]:
    """Return what was built."""
    return list(Path(work).glob("*.tar.gz"))


def galaxy(environment: dict[str, str], *arguments: str | Path) -> None:
    """Run ansible-galaxy collection, without any configuration."""
    program = Path(sys.executable).with_name("ansible-galaxy")
    variables = {**os.environ, **environment}
    command = [program, "collection", *arguments]
    subprocess.run(command, cwd=ROOT / "tests", env=variables, check=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]).resolve())
