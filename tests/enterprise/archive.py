# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""An image out of one program, as `docker save` writes it; no engine is needed for it."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(place: Path, reference: str, program: Path) -> None:
    """Write an image whose only file, and entry point, is a program."""
    with tarfile.open(place, "w") as image:
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as files:
            files.add(program, program.name, filter=_as_root)
        content = layer.getvalue()
        config = {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(content)}"]},
        }
        text = json.dumps(config).encode()
        name = f"{_digest(text)}.json"
        listed = [{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
        for path, data in (
            ("layer.tar", content),
            (name, text),
            ("manifest.json", json.dumps(listed).encode()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            image.addfile(entry, io.BytesIO(data))


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mode, entry.uid, entry.gid, entry.uname, entry.gname = 0o755, 0, 0, "", ""
    return entry


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
