# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pages as Chromium shows them: their document, and pictures of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

MISSING = "needs Chromium (Debian: chromium)"
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
# Nothing but files and this machine can be loaded.
_OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def program() -> str | None:
    """Return where Chromium is, or None."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def show(url: str, *options: str) -> str:
    """Open a page with these options; return what Chromium prints."""
    found = program()
    if found is None:
        raise FileNotFoundError(f"chromium and google-chrome are not on PATH; {MISSING}")
    command = [found, *_OPTIONS, _OFFLINE, *options, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def picture(url: str, target: Path, width: int, height: int, *options: str) -> None:
    """Write a PNG of the top of a page."""
    target.parent.mkdir(parents=True, exist_ok=True)
    show(url, *options, f"--window-size={width},{height}", f"--screenshot={target}")
