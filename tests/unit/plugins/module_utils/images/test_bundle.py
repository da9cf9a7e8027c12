# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A bundle comes on a disk from elsewhere: nothing in it is believed before it was compared."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.images.archive import CommandError
from ansible_collections.intranet.mcp.plugins.module_utils.images.bundle import Bundle

REFERENCE = "intranet-mcp/redis:8.0"
HEX = "ab" * 32


def archive_of(*tags, index=None, prefix="", **changes):
    """Return an archive as docker save writes it, with one image under these tags."""
    image = {"Config": "config.json", "RepoTags": list(tags), **changes}
    files = {"config.json": {"config": {"Labels": None}}, f"{prefix}manifest.json": [image]}
    if index:
        files["index.json"] = index
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, value in files.items():
            content = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


CONTENT = archive_of(REFERENCE)
ENTRY = {
    "id": f"sha256:{HEX}",
    "archive": f"images/{HEX}.tar",
    "recipe": "0123456789abcdef",
    "bytes": len(CONTENT),
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
}


@pytest.fixture
def make(tmp_path):
    """Return a function that makes a bundle, with changes to its one entry."""
    (tmp_path / "images").mkdir()
    (tmp_path / ENTRY["archive"]).write_bytes(CONTENT)

    def made(**changes):
        entry = {k: v for k, v in {**ENTRY, **changes}.items() if v is not None}
        (tmp_path / "index.json").write_text(json.dumps({"images": {REFERENCE: entry}}))
        return tmp_path

    return made


def test_an_archive_as_the_index_has_it_is_read(make):
    path, entry = Bundle(str(make())).archive(REFERENCE)
    assert path.endswith(ENTRY["archive"])
    assert entry["id"] == ENTRY["id"]


@pytest.mark.parametrize(
    "archive",
    [
        "../outside.tar",
        "images/../../outside.tar",
        "/etc/passwd",
        "images//etc/passwd",
        f"images/./{HEX}.tar",
        f"images/{HEX}.tar\n",
        "images/x.tar",
        "",
        7,
        None,
    ],
)
def test_an_archive_elsewhere_is_refused_before_anything_is_read(make, archive):
    with pytest.raises(Unusable, match=r"expected images/.*export the bundle again"):
        Bundle(str(make(archive=archive)))


@pytest.mark.parametrize(
    "changes",
    [
        {"bytes": "10"},
        {"bytes": True},
        {"bytes": None},
        {"sha256": "x"},
        {"sha256": 7},
        {"id": None},
    ],
)
def test_an_entry_that_is_no_entry_is_refused(make, changes):
    with pytest.raises(Unusable, match="export the bundle again"):
        Bundle(str(make(**changes)))


@pytest.mark.parametrize("text", ["[]", '{"images": []}', '{"images": {"x": 7}}', "{", "7"])
def test_what_is_no_index_is_refused(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(Unusable, match="export the bundle again"):
        Bundle(str(tmp_path))


def test_an_archive_of_other_bytes_is_not_loaded(make):
    folder = make()
    (folder / ENTRY["archive"]).write_bytes(CONTENT[:-1] + b"!")  # as long
    with pytest.raises(CommandError, match=r"sha256.*copy the bundle again"):
        Bundle(str(folder)).archive(REFERENCE)


def test_a_link_is_not_followed(make, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / f"{HEX}.tar").write_bytes(CONTENT)
    folder = make()
    (folder / ENTRY["archive"]).unlink()
    (folder / ENTRY["archive"]).symlink_to(elsewhere / f"{HEX}.tar")
    with pytest.raises(CommandError, match="is a link"):
        Bundle(str(folder)).archive(REFERENCE)
    (folder / ENTRY["archive"]).unlink()
    (folder / "images").rmdir()
    (folder / "images").symlink_to(elsewhere)
    with pytest.raises(CommandError, match="is a link"):
        Bundle(str(folder)).archive(REFERENCE)


def test_a_bundle_of_an_older_version_has_no_digests_and_is_compared_by_size(make):
    folder = make(sha256=None)
    assert Bundle(str(folder)).archive(REFERENCE)
    (folder / ENTRY["archive"]).write_bytes(CONTENT + b"!")
    with pytest.raises(CommandError, match=f"{len(CONTENT) + 1} bytes"):
        Bundle(str(folder)).archive(REFERENCE)


def index_of(*names):
    """Return the index of an archive for engines with containerd's image store."""
    return {"manifests": [{"annotations": {"io.containerd.image.name": name}} for name in names]}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (archive_of(), "nothing"),
        (archive_of("intranet-mcp/postgres:17"), "postgres:17"),
        (archive_of(REFERENCE, "intranet-mcp/postgres:17"), "redis:8.0, .*postgres:17"),
        (archive_of(REFERENCE, index=index_of("docker.io/intranet-mcp/x:1")), "redis:8.0, .*/x:1"),
        (archive_of("intranet-mcp/postgres:17", prefix="./"), "postgres:17"),
        (archive_of(REFERENCE, Config="nothing.json"), "no archive of an image"),
        (archive_of(REFERENCE) + b"more", None),
        (archive_of(REFERENCE, index=index_of(f"docker.io/{REFERENCE}")), None),
        (b"hello", "no archive of an image"),
    ],
)
def test_an_archive_is_loaded_only_if_it_names_its_image_alone(make, content, found):
    digest = hashlib.sha256(content).hexdigest()
    folder = make(bytes=len(content), sha256=digest)
    (folder / ENTRY["archive"]).write_bytes(content)
    if found is None:
        assert Bundle(str(folder)).archive(REFERENCE)
        return
    with pytest.raises(CommandError, match=f"{found}.*export the bundle again"):
        Bundle(str(folder)).archive(REFERENCE)
