# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight's action reads on the control node for registries and bundles."""

from __future__ import annotations

import json

from ansible_collections.intranet.mcp.plugins.action import preflight


def test_authorities_of_registries_are_read_on_the_control_node(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("PEM")
    assert preflight.authorities({"harbor.example": str(path)}) == ({"harbor.example": "PEM"}, [])


def test_an_authority_that_is_not_there_is_named_with_its_registry(tmp_path):
    found, (problem,) = preflight.authorities({"harbor.example": str(tmp_path / "ca.pem")})
    assert found == {}
    assert f"{tmp_path}/ca.pem for harbor.example" in problem.found
    assert preflight.authorities("ca.pem") == ({}, []), "its type is reported elsewhere"


def test_a_bundle_on_the_control_node_is_a_source(tmp_path):
    there = {"name": "bundle", "path": "/nowhere"}
    assert preflight.from_here(there) == there
    build = {"name": "build", "urls": ["https://mirror.example"]}
    assert preflight.from_here(build) == build
    here = {"name": "bundle", "path": str(tmp_path)}
    assert preflight.from_here(here) == {**here, "path": None, "holds": None}, "not a bundle"
    entry = {"id": "sha256:a", "archive": "images/a.tar", "bytes": 1, "architecture": "arm64"}
    (tmp_path / "index.json").write_text(json.dumps({"images": {"intranet-mcp/x:1": entry}}))
    assert preflight.from_here(here)["holds"] == {"intranet-mcp/x:1": "arm64"}
    (tmp_path / "index.json").write_text("{")
    assert preflight.from_here(here)["holds"] is None


def test_the_password_of_a_login_is_in_no_message():
    specs, _prefixes = preflight.argument_specs()
    name, login = "docker_registry_logins", {"registry": "harbor.example", "password": "a-secret"}
    for value in ([login], [{**login, "username": "x", "passwort": "a-secret"}], [["a-secret"]]):
        problems = preflight.value_problems(name, value, specs[name])
        assert problems
        assert "a-secret" not in "".join(map(str, problems))
    (problem,) = preflight.value_problems(name, [login], specs[name])
    assert "missing required arguments: username" in problem.found
