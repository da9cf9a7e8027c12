# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""All images are built here, out of package mirrors, before anything needs them."""

from __future__ import annotations


def test_images_are_built_and_exported(run, root):
    inventory = root / "inventories/local"
    run("ansible-playbook", "-i", inventory, root / "tests/tools/images.yml", timeout=3600)
