#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: image_directory
short_description: A directory of an image, unpacked on the host
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Unpacks a directory of an image on the host, so that containers of other images can mount it.
  - Each image has a directory of its own, named after the image's id. It is there as a whole or not
    at all, however a run ends.
  - Directories of other images stay, since containers may still use them, until O(exclusive).
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
    details:
      - An image that is not there yet has no id, so what the directory will be called is not known.
  diff_mode:
    support: none
  idempotent:
    support: full
notes:
  - Needs the C(docker) command line and C(sync) of coreutils on the host.
options:
  image:
    description: The image, by a name it has on the host.
    type: str
    required: true
  source:
    description: The directory in the image.
    type: path
    required: true
  path:
    description: Where directories go, each below it.
    type: path
    required: true
  exclusive:
    description: Whether directories of other images are removed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Unpack the bridge
  intranet.mcp.image_directory:
    image: intranet-mcp/tool-bridge:0.1.0
    source: /bridge
    path: /var/lib/intranet-mcp/bridge
  register: bridge
"""

RETURN = r"""
directory:
  description: The directory on the host.
  returned: success
  type: str
  sample: /var/lib/intranet-mcp/bridge/f51e0fc642ba
removed:
  description: Directories of other images that were removed.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/intranet-mcp/bridge/3b549be60a11]
"""

import os
import shutil
import subprocess

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import ServiceError

SECONDS = 300
ID_LETTERS = 12
# Begins the names of directories that are not complete.
PARTIAL = ".partial-"


class DirectoryError(ServiceError):
    """What keeps the directory from being there."""

    reason = "directory"


class ImageDirectory:
    """One directory of an image, from what is on the host to what must be there."""

    def __init__(self, params: dict) -> None:
        self.image, self.source, self.path = params["image"], params["source"], params["path"]

    def image_id(self) -> str:
        """Return the image's id; empty where there is no such image, or no engine."""
        status, output, _errors = run("docker", "image", "inspect", "--format={{.Id}}", self.image)
        return output.strip().rpartition(":")[2][:ID_LETTERS] if status == 0 else ""

    def others(self, wanted: str) -> list[str]:
        names = sorted(os.listdir(self.path)) if os.path.isdir(self.path) else []
        return [os.path.join(self.path, n) for n in names if os.path.join(self.path, n) != wanted]

    def unpack(self, directory: str) -> None:
        """Copy to a name beside the right one, which it gets when it is complete."""
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        partial = os.path.join(self.path, PARTIAL + os.path.basename(directory))
        remove(partial)
        # The command is never run; an image that has none of its own needs one to be accepted.
        container = self._must("docker create", self.image, "none").strip()
        try:
            self._must("docker cp", f"{container}:{self.source}", partial)
        finally:
            run("docker", "rm", "--force", "--volumes", container)
        self._check(partial)
        # Or a power cut could leave the name of what is complete, and empty files below it.
        self._must("sync --file-system", partial)
        remove(directory)
        os.rename(partial, directory)

    def _check(self, partial: str) -> None:
        """A link of the image would be followed on the host, by whoever mounts it."""
        if is_directory(partial):
            return
        kind = "link" if os.path.islink(partial) else "file"
        remove(partial)
        raise DirectoryError(
            f"{self.source} of {self.image} is a {kind}",
            "a directory",
            "get the image again from its source",
        )

    def _must(self, command: str, *words: str) -> str:
        status, output, errors = run(*command.split(), *words)
        if status:
            raise DirectoryError(
                f"{command} says: {errors.strip()[-300:]}",
                f"{self.source} of {self.image} at {self.path}",
                "check the engine and the free space there",
            )
        return output


def is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def remove(path: str) -> None:
    """Remove what has this name, but never what a link leads to."""
    if is_directory(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def run(*argv: str) -> tuple[int, str, str]:
    """Run a command: status, output, errors."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return 127, "", f"there is no command {argv[0]}"
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer within {SECONDS} s"
    return done.returncode, done.stdout, done.stderr


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "source": {"type": "path", "required": True},
            "path": {"type": "path", "required": True},
            "exclusive": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wanted = ImageDirectory(module.params)
    image_id = wanted.image_id()
    if not image_id and not module.check_mode:
        module.fail_json(
            msg=f"{wanted.image} is not on this host; expected the image: run the playbook with "
            "the tag images, which gets it"
        )
    directory = os.path.join(wanted.path, image_id or "unknown")
    is_missing = not is_directory(directory)
    removed = wanted.others(directory) if module.params["exclusive"] else []
    if not module.check_mode:
        try:
            if is_missing:
                wanted.unpack(directory)
            for other in removed:
                remove(other)
        except DirectoryError as error:
            module.fail_json(msg=str(error))
        except OSError as error:
            module.fail_json(
                msg=f"{error.filename or wanted.path}: {error.strerror or error}; expected a "
                "directory that root can write: check the path and the free space there"
            )
    module.exit_json(changed=is_missing or bool(removed), directory=directory, removed=removed)


if __name__ == "__main__":
    main()
