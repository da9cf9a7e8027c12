# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Sign-on with a Keycloak; its tests run with the portal's own pinned dependencies."""

from __future__ import annotations


def test_sign_on_with_keycloak(run, root, portal_python, inner_report):
    options = ["--import-mode=importlib", *inner_report("keycloak")]
    pytest = [portal_python, "-m", "pytest", "-p", "no:cacheprovider", *options]
    source = root / "roles/portal/files/mcp_portal/src"
    run(*pytest, root / "tests/keycloak", timeout=3600, PYTHONPATH=source)
