# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import stat
import subprocess

import pytest

FILES = ["ca.pem", "site.pem", "ca.jks"]


@pytest.fixture
def bundle(tmp_path):
    """A file with an authority; made anew by each call."""

    def make():
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=own")
        files = ("-keyout", tmp_path / "ca.key", "-out", tmp_path / "given.pem", "-days", "1")
        subprocess.run(["openssl", "req", "-x509", *new, *files], check=True, capture_output=True)
        return str(tmp_path / "given.pem")

    make()
    return make


@pytest.fixture
def run(run_module, tmp_path):
    def run(check=False, **options):
        place = str(tmp_path / "etc" / "trust")
        return run_module(
            "trust_store",
            check=check,
            path=place,
            ca_bundle=str(tmp_path / "given.pem"),
            _ansible_remote_tmp=str(tmp_path),
            **options,
        )

    return run


def test_files_are_written_once_and_everybody_may_read_them(run, bundle, tmp_path):
    before = os.umask(0o077)
    try:
        first = run()
    finally:
        os.umask(before)
    assert (first["changed"], first["changed_files"]) == (True, FILES)
    place = tmp_path / "etc" / "trust"
    assert stat.S_IMODE(place.stat().st_mode) == 0o755
    assert {stat.S_IMODE((place / name).stat().st_mode) for name in FILES} == {0o644}
    second = run()
    assert (second["changed"], second["changed_files"]) == (False, [])
    assert second["digest"] == first["digest"]


def test_another_authority_is_another_digest(run, bundle):
    first = run()
    bundle()
    second = run()
    assert second["changed"] and second["digest"] != first["digest"]


def test_check_mode_tells_the_same_and_writes_nothing(run, bundle, tmp_path):
    foreseen = run(check=True)
    assert foreseen["changed"] and not (tmp_path / "etc").exists()
    assert run()["digest"] == foreseen["digest"]


def test_a_bundle_that_is_not_there_is_named(run, tmp_path):
    result = run()
    assert result["failed"]
    assert result["msg"].startswith(f"{tmp_path}/given.pem is not there, expected a file")
    assert "platform_ca_bundle" in result["msg"]
