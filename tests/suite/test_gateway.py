# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The gateway is a program of its own; its tests run with its own pinned dependencies."""

from __future__ import annotations


def test_gateway_package(run, root, gateway_python, inner_report):
    package = root / "roles/gateway/files/mcp_gateway"
    pytest = [gateway_python, "-m", "pytest", "-p", "no:cacheprovider", *inner_report("gateway")]
    run(*pytest, cwd=package, timeout=900, PYTHONPATH="src")
