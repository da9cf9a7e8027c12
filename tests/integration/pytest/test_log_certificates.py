# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Certificates of the platform's log traffic, as the role logs makes and renews them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.common.x509 import not_after_of_pem

pytestmark = pytest.mark.integration

NAMES = ("ca", "collector", "shipper")
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Sign",
                "ansible.builtin.include_role": {
                    "name": "intranet.mcp.logs",
                    "tasks_from": "certificates",
                },
            }
        ],
    }
]


class Site:
    """A control node with what it signed."""

    def __init__(self, folder: Path):
        self.folder, self.home = folder, folder / "secrets" / "logs"
        (folder / "play.yml").write_text(yaml.safe_dump(PLAY))

    def run(self, **variables):
        """Sign what has to be signed; returns until when each is valid, and what was said."""
        shared = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "platform_secrets_dir": str(self.folder / "secrets"),
            **variables,
        }
        group = {"monitoring": {"hosts": {"one": {}}}}
        inventory = {"all": {"vars": shared, "children": group}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        done = support.run_playbook(self.folder / "hosts.yml", self.folder / "play.yml")
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return {name: not_after_of_pem(self.text(name)) for name in NAMES}, done.stdout

    def text(self, name):
        return (self.home / f"{name}.crt").read_text()

    def verify(self, authority, certificate):
        """Whether openssl finds a certificate to be signed by an authority."""
        files = [self.folder / "authority.crt", self.folder / "certificate.crt"]
        for file, text in zip(files, (authority, certificate), strict=True):
            file.write_text(text)
        done = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-CAfile", *files],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 0


def test_certificates_are_renewed_before_they_expire_and_no_line_is_refused_meanwhile(tmp_path):
    site = Site(tmp_path)
    old_ends, _said = site.run(logs_certificate_days=100, logs_certificate_renew_days=60)
    old = {name: site.text(name) for name in NAMES}
    kept, said = site.run(logs_certificate_days=100, logs_certificate_renew_days=60)
    assert kept == old_ends and "changed=0" in said
    new_ends, _said = site.run()
    assert all(new_ends[name] > old_ends[name] + 3000 * 86400 for name in NAMES)
    for authority in (old["ca"], site.text("ca")):
        for name in ("collector", "shipper"):
            assert site.verify(authority, old[name]) and site.verify(authority, site.text(name))
    _ends, said = site.run()
    assert "changed=0" in said
