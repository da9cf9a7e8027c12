# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight's action reads on the control node for registries and bundles."""

from __future__ import annotations

import json
import ssl
import subprocess

import pytest
from ansible_collections.intranet.mcp.plugins.action import preflight


@pytest.fixture
def certificate(tmp_path):
    """The file of an authority that is made for this test."""
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=site")
    made = ("-keyout", tmp_path / "ca.key", "-out", tmp_path / "ca.pem", "-days", "1")
    subprocess.run(["openssl", "req", "-x509", *new, *made], check=True, capture_output=True)
    return tmp_path / "ca.pem"


def test_authorities_of_registries_are_read_on_the_control_node(certificate):
    found = preflight.authorities({"harbor.example": str(certificate)})
    assert found == ({"harbor.example": certificate.read_text()}, [])


def test_an_authority_that_the_engine_cannot_read_is_a_problem(certificate):
    der = certificate.with_name("ca.der")
    der.write_bytes(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
    empty, hello, umlaut = (certificate.with_name(name) for name in ("empty", "hello", "umlaut"))
    empty.write_text("")
    hello.write_text("hello")
    umlaut.write_text("hallöle")
    for path in (der, empty, hello, umlaut, 7):
        found, (problem,) = preflight.authorities({"harbor.example": path})
        assert found == {}
        assert f"{path} for harbor.example: " in problem.found
        assert problem.expected == "a PEM file on the control node"


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
    held = {"architecture": "arm64", "digest": ""}
    assert preflight.from_here(here)["holds"] == {"intranet-mcp/x:1": held}
    (tmp_path / "index.json").write_text("{")
    assert preflight.from_here(here)["holds"] is None
