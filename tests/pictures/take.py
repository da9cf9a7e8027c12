#!/usr/bin/env python3
# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take the pictures of the READMEs (`make pictures`).

The report is rendered from the checks of a real run on one host (checks.jsonl: a line for each
check of its verify.json, host and addresses renamed). The page is that of a gateway on loopback,
with servers behind a bridge, as the platform has them; they list as many tools as the real ones.
The status page shows a day that was made up (tests/measured_day.py).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import chromium  # noqa: E402
import support  # noqa: E402
from gateway_lab import Lab, free_port  # noqa: E402

support.make_collection_importable()

import measured_day  # noqa: E402
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import (  # noqa: E402
    verify_files,
    verify_report,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import (  # noqa: E402
    status,
    status_page,
)

PICTURES = ROOT / "docs" / "pictures"
RUN = {"platform": "light", "at": "2026-11-28T21:37:04+00:00", "seconds": 42.0}
SERVERS = {"browser": 23, "filesystem": 14, "github": 41, "tickets": 6}
ADDRESS = "http://llm1.example.internal:8080"
LIGHT = ("--blink-settings=preferredColorScheme=1", "--disable-lcd-text")
# The part of each page that is shown, in pixels: both pictures stand beside each other.
REPORT_SIZE, PAGE_SIZE = (880, 700), (1000, 800)
STATUS_SIZE = (1060, 940)


def report() -> str:
    """Return the page of verify's report."""
    lines = (HERE / "checks.jsonl").read_text().splitlines()
    checks = [json.loads(line) for line in lines]
    return verify_files.page(verify_report.report({"llm1": {"checks": checks}}, RUN))


def measured() -> str:
    """Return the page of `make status`."""
    day = measured_day.measured()
    day["alerts"] = []
    return status_page.page(status.report(day, "standard", measured_day.HOURS))


def bridge(port: int) -> dict:
    """Return the configuration of a gateway in front of stdio servers."""
    script = str(HERE / "tool_server.py")
    servers = {
        name: {"type": "stdio", "command": sys.executable, "args": [script, name, str(count)]}
        for name, count in SERVERS.items()
    }
    return {
        "listen": {"port": port},
        "auth": {"none": True},
        "upstreams": {name: {**server, "required": True} for name, server in servers.items()},
    }


def gateway(port: int, behind: int) -> dict:
    """Return the configuration of the gateway whose page is shown."""
    upstreams = {
        name: {"type": "http", "url": f"http://127.0.0.1:{behind}/servers/{name}/mcp"}
        for name in SERVERS
    }
    return {
        "listen": {"port": port, "public_url": ADDRESS},
        "auth": {"none": True},
        "upstreams": {name: {**server, "required": True} for name, server in upstreams.items()},
    }


def main() -> None:
    """Take the pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = folder / "verify.html"
        page.write_text(report())
        chromium.picture(page.as_uri(), PICTURES / "verify.png", *REPORT_SIZE, *LIGHT)
        page = folder / "status.html"
        page.write_text(measured())
        chromium.picture(page.as_uri(), PICTURES / "status.png", *STATUS_SIZE, *LIGHT)
        with Lab(folder) as lab:
            behind, port = free_port(), free_port()
            lab.gateway(bridge(behind), "bridge")
            lab.gateway(gateway(port, behind))
            url = f"http://127.0.0.1:{port}/"
            chromium.picture(url, PICTURES / "gateway.png", *PAGE_SIZE, *LIGHT)
    for picture in sorted(PICTURES.glob("*.png")):
        print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size} bytes")


if __name__ == "__main__":
    main()
