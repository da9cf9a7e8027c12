# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a node of a cluster lacks, by what `ctr images ls` says of its containerd."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import CommandError
from ansible_collections.intranet.mcp.plugins.plugin_utils.images import nodes

REDIS, LITELLM = "intranet-mcp/redis:8.0", "intranet-mcp/litellm:1.0"
OLD, NEW = "ab" * 32, "cd" * 32
LISTING = """\
REF                               TYPE                                       DIGEST        SIZE      PLATFORMS   LABELS
docker.io/intranet-mcp/redis:8.0  application/vnd.oci.image.manifest.v1+json sha256:01     30.0 MiB  linux/amd64 {labels}
registry.k8s.io/pause:3.10        application/vnd.oci.image.manifest.v1+json sha256:02     314.0 KiB linux/amd64 -
"""  # noqa: E501


def archive_of(reference: str) -> bytes:
    image = {"Config": "config.json", "RepoTags": [reference]}
    files = {"config.json": {"config": {"Labels": None}}, "manifest.json": [image]}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, value in files.items():
            content = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def bundle(tmp_path):
    """A bundle of an image that is for hosts unlike this one."""
    content = archive_of(REDIS)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{NEW}.tar").write_bytes(content)
    entry = {"id": f"sha256:{NEW}", "archive": f"images/{NEW}.tar", "bytes": len(content)}
    entry |= {"sha256": hashlib.sha256(content).hexdigest(), "architecture": "s390x"}
    (tmp_path / "index.json").write_text(json.dumps({"images": {REDIS: entry}}))
    return str(tmp_path)


def listing(*labels: str) -> str:
    return LISTING.format(labels=",".join(labels) or "-")


@pytest.mark.parametrize(
    "said",
    [
        "",
        LISTING.splitlines()[0],
        listing(),
        listing("io.cri-containerd.image=managed"),
        listing("io.cri-containerd.image=managed", f"{nodes.LABEL}=sha256:{OLD}"),
    ],
)
def test_a_node_lacks_what_was_not_imported_from_this_archive(bundle, said):
    (found,) = nodes.missing([REDIS], bundle, said)
    assert found["name"] == f"docker.io/{REDIS}" and found["reference"] == REDIS
    assert found["archive"].endswith(f"{NEW}.tar")
    assert found["label"] == f"intranet.mcp/archive=sha256:{NEW}"


def test_a_node_lacks_nothing_that_was(bundle):
    said = listing("io.cri-containerd.image=managed", f"{nodes.LABEL}=sha256:{NEW}")
    assert nodes.missing([REDIS], bundle, said) == []


def test_what_the_bundle_has_not_or_not_as_its_index_says_is_refused(bundle, tmp_path):
    with pytest.raises(CommandError, match="does not hold it"):
        nodes.missing([LITELLM], bundle, listing())
    with pytest.raises(CommandError, match="image_bundle_path is not set"):
        nodes.missing([REDIS], "", listing())
    archive = tmp_path / "images" / f"{NEW}.tar"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(CommandError):
        nodes.missing([REDIS], bundle, listing())


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("redis:8", "docker.io/library/redis:8"),
        ("intranet-mcp/redis:8", "docker.io/intranet-mcp/redis:8"),
        ("localhost/redis:8", "localhost/redis:8"),
        ("registry.example.internal/redis:8", "registry.example.internal/redis:8"),
        ("registry:5000/redis:8", "registry:5000/redis:8"),
    ],
)
def test_containerd_names_the_registry_that_docker_leaves_out(reference, name):
    assert nodes._name(reference) == name
