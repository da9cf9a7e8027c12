#!/usr/bin/python

# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: trust_store
short_description: The site's certificate authorities as files for containers
version_added: 0.1.0
author:
  - intranet.mcp contributors (@intranet-mcp)
description:
  - Writes what programs in containers trust into a directory that is mounted into them.
  - C(ca.pem) has the site's own authorities and the public ones of this host, C(site.pem) the
    site's alone, and C(ca.jks) is C(ca.pem) for Java.
  - Where the site has no authority of its own nothing is written, and containers trust what their
    images bring along.
  - Files that are there stay when the site's authorities go, since containers may still use them.
extends_documentation_fragment:
  - intranet.mcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  path:
    description: Directory of the trust store. It is readable for everybody.
    type: path
    required: true
  ca_bundle:
    description:
      - File on the host with the site's own certificate authorities.
      - Default is what the host trusts beyond the public ones.
    type: path
"""

EXAMPLES = r"""
- name: Let containers trust what this host trusts
  intranet.mcp.trust_store:
    path: /etc/intranet-mcp/trust

- name: Let containers trust the company's authority
  intranet.mcp.trust_store:
    path: /etc/intranet-mcp/trust
    ca_bundle: /etc/ssl/company-ca.pem
"""

RETURN = r"""
digest:
  description: Tells the site's authorities from others, empty where there are none.
  returned: success
  type: str
  sample: 6b86b273ff34fce1
changed_files:
  description: Files that were written.
  returned: success
  type: list
  elements: str
  sample: [ca.pem, site.pem, ca.jks]
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.intranet.mcp.plugins.module_utils.engine import authorities


class TrustStore:
    """One directory, from what it holds to what it must hold."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.path = module.params["path"]

    def desired(self) -> dict[str, bytes]:
        return authorities.trust_store(self.module.params["ca_bundle"] or "")

    def different(self, desired: dict[str, bytes]) -> list[str]:
        """Names of files that are not as they must be."""
        return [name for name, content in desired.items() if self.read(name) != content]

    def read(self, name: str) -> bytes | None:
        place = os.path.join(self.path, name)
        if not os.path.isfile(place):
            return None
        with open(place, "rb") as file:
            return file.read()

    def apply(self, name: str, content: bytes) -> None:
        """Write a file. Containers that have the directory see the new one at once."""
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        os.chmod(self.path, 0o755)  # noqa: S103  whatever the umask makes of it, as of the file
        fd, temporary = tempfile.mkstemp(dir=self.module.tmpdir)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        self.module.atomic_move(temporary, os.path.join(self.path, name))
        os.chmod(os.path.join(self.path, name), 0o644)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "ca_bundle": {"type": "path"},
        },
        supports_check_mode=True,
    )
    store = TrustStore(module)
    try:
        desired = store.desired()
        different = store.different(desired)
        for name in [] if module.check_mode else different:
            store.apply(name, desired[name])
    except authorities.AuthorityError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename or store.path}: {error.strerror or error}; expected files that "
            "root can read and write. Check path and permissions"
        )
    module.exit_json(
        changed=bool(different),
        digest=authorities.digest_of(desired),
        changed_files=different,
    )


if __name__ == "__main__":
    main()
