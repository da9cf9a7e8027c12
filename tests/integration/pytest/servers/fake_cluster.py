# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The example inventory of a cluster, whose API server is a fake."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import fake_kubernetes
import yaml
from cluster_site import Site

# Hosts are left out. Nothing runs in the fake, so nobody has keys there and nothing can be proven.
OBJECTS = ("--limit", "cluster", "--skip-tags", "teams,verify")


@contextlib.contextmanager
def site_of_fake_cluster(folder: Path) -> Iterator[Site]:
    """A site whose hosts are this machine under their addresses.

    `cluster` is the server; `said`, what render.yml said.
    """
    cluster = fake_kubernetes.FakeCluster()
    found = Site(folder, cluster.kubeconfig(folder / "kubeconfig"))
    found.cluster = cluster
    listed = yaml.safe_load((found.inventory / "hosts.yml").read_text())
    here = {"ansible_connection": "local", "ansible_become": False}
    for said in listed["all"]["hosts"].values():
        if "ansible_host" in said:
            said |= {"platform_address": said["ansible_host"], **here}
    found.write("hosts.yml", listed)
    found.said = found.run("render.yml")
    yield found
    cluster.close()
