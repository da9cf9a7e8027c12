#!/usr/bin/python
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_json
short_description: Merge settings into Docker's daemon.json
author:
  - intranet.mcp contributors (@intranet-mcp)
version_added: 0.1.0
description:
  - Adds settings to C(daemon.json) and keeps every key that somebody else put there.
  - C(dockerd) itself reads the new settings before the file is written, and the old file is kept
    as a backup.
  - The daemon is neither reloaded nor restarted.
attributes:
  check_mode:
    support: full
    description: Can predict the result without changing the file.
  diff_mode:
    support: full
    description: Shows the file before and after.
  idempotent:
    support: full
    description: Compares meaning, not text, so a file in another layout is left alone.
options:
  path:
    description: The file.
    type: path
    default: /etc/docker/daemon.json
  settings:
    description:
      - Settings that must hold. They win over other values, objects are merged key by key and
        lists gain the items they lack.
    type: dict
    default: {}
  defaults:
    description:
      - Settings for keys that the file does not have. What is there is never touched.
      - C(log-opts) is left out where the file names a log driver that does not rotate files.
    type: dict
    default: {}
  absent:
    description: Settings to take out again, where they still have these values.
    type: dict
    default: {}
  dockerd:
    description: The daemon's program, which validates the new file. Not found means no validation.
    type: path
    default: dockerd
"""

EXAMPLES = r"""
- name: Rotate container logs, whatever else the file says
  intranet.mcp.daemon_json:
    defaults:
      log-driver: json-file
      log-opts: {max-size: 10m, max-file: "3"}

- name: Trust the company's registry mirror
  intranet.mcp.daemon_json:
    settings:
      registry-mirrors: ["https://mirror.example.internal"]
"""

RETURN = r"""
settings:
  description: All settings of the file, ours and others.
  returned: success
  type: dict
  sample: {log-driver: json-file, live-restore: true}
changed_keys:
  description: Top-level keys that were added, changed or removed.
  returned: success
  type: list
  elements: str
  sample: [log-driver]
backup_file:
  description: Where the previous file was kept.
  returned: when an existing file was changed
  type: str
  sample: /etc/docker/daemon.json.2188.2026-11-23@22:30:01~
validated:
  description: Whether C(dockerd) read the new settings and accepted them.
  returned: success
  type: bool
  sample: true
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.engine.daemon_json import (
    DaemonJsonError,
    changed_keys,
    dump,
    merge,
    parse,
)


class DaemonJson:
    """One daemon.json, from what it says to what it must say."""

    def __init__(self, module: AnsibleModule):
        self.module = module
        self.path = module.params["path"]

    def read(self) -> dict:
        self.text = ""
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                self.text = file.read()
        return parse(self.text, self.path)

    def desired(self, current: dict) -> dict:
        params = self.module.params
        return merge(current, params["settings"], params["defaults"], params["absent"])

    def validate(self, desired: dict) -> bool:
        """Whether dockerd read the settings without complaint; False where it cannot be asked."""
        dockerd = self.module.get_bin_path(self.module.params["dockerd"])
        if not dockerd:
            return False
        rc, err = self.ask(dockerd, desired, "--validate")
        if rc and "unknown flag" in err:
            rc, err = self.ask_old(dockerd, desired)
        if rc:
            raise DaemonJsonError(
                f"dockerd refuses the new {self.path}: {err}",
                "settings it starts with",
                "correct the settings; the file was not changed",
            )
        return rc is not None

    def ask(self, dockerd: str, settings: dict, *flags: str) -> tuple[int, str]:
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            file.write(dump(settings))
            file.flush()
            command = ["timeout", "20", dockerd, f"--config-file={file.name}", *flags]
            rc, out, err = self.module.run_command(command)
        return rc, (err or out).strip()

    def ask_old(self, dockerd: str, desired: dict) -> tuple[int | None, str]:
        """Asks an engine before 23.0, which has no --validate.

        It reads its settings first and then gives up on a pid file that names a living process,
        so one that names ours lets it do the first and nothing else. None: no clear answer.
        """
        settings = {key: value for key, value in desired.items() if key not in ("pidfile", "hosts")}
        with tempfile.TemporaryDirectory() as directory:
            pidfile = os.path.join(directory, "pid")
            with open(pidfile, "w", encoding="utf-8") as file:
                file.write(str(os.getpid()))
            _rc, err = self.ask(
                dockerd, settings, f"--pidfile={pidfile}", f"--host=unix://{directory}/socket"
            )
        if "unable to configure" in err:
            return 1, err
        return (0 if "pid file found" in err else None), err

    def apply(self, text: str) -> str:
        """Writes the file and returns the name of the backup."""
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        existed = os.path.exists(self.path)
        backup = self.module.backup_local(self.path) if existed else ""
        fd, temporary = tempfile.mkstemp(dir=self.module.tmpdir)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        if not existed:
            os.chmod(temporary, 0o644)
        self.module.atomic_move(temporary, os.path.realpath(self.path))
        return backup


def update(file: DaemonJson, check_mode: bool) -> dict:
    """Bring the file in line; in check mode only say what would change."""
    current = file.read()
    desired = file.desired(current)
    result = {
        "changed": desired != current,
        "settings": desired,
        "changed_keys": changed_keys(current, desired),
        "validated": False,
    }
    if not result["changed"]:
        return result
    text = dump(desired)
    result["validated"] = file.validate(desired)
    result["diff"] = {
        "before_header": file.path,
        "after_header": file.path,
        "before": file.text,
        "after": text,
    }
    backup = "" if check_mode else file.apply(text)
    return {**result, **({"backup_file": backup} if backup else {})}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "settings": {"type": "dict", "default": {}},
            "defaults": {"type": "dict", "default": {}},
            "absent": {"type": "dict", "default": {}},
            "dockerd": {"type": "path", "default": "dockerd"},
        },
        supports_check_mode=True,
    )
    file = DaemonJson(module)
    try:
        result = update(file, module.check_mode)
    except DaemonJsonError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"{file.path}: {error.strerror or error}; expected a file root can read and write. "
            "Check the path and its permissions"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
