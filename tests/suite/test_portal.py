# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The portal is a program of its own; its tests run with its own pinned dependencies."""

from __future__ import annotations

import sys


def test_portal_package(run, root, portal_python, inner_report):
    package = root / "roles/portal/files/mcp_portal"
    pytest = [portal_python, "-m", "pytest", "-p", "no:cacheprovider", *inner_report("portal")]
    run(*pytest, cwd=package, timeout=1500, PYTHONPATH="src")


def test_login_of_its_bundles(run, root, inner_report):
    # Claude Code, which is far to fetch, is tried by `make test-clients`.
    options = ["--import-mode=importlib", "-k", "not claude_code", *inner_report("portal-login")]
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    run(*pytest, root / "tests/clients/test_login.py", timeout=400)
