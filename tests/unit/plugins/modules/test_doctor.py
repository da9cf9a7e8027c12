# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The module on a machine without an engine, which is the worst that can be.

What it says of a running platform is proven on a test host: molecule/light/doctor.
"""

from __future__ import annotations

import time

import pytest

SERVICE = {"port": 1, "inside_port": 1, "publish": [], "role": "redis", "needs": []}


@pytest.fixture
def examine(run_module, tmp_path):
    def run(**options):
        home = {name: str(tmp_path / name) for name in ("config_dir", "data_dir", "daemon_json")}
        defaults = {
            **home,
            "socket": str(tmp_path / "docker.sock"),
            "services": {"redis": SERVICE},
            "disk_reserve_mb": 0,
            "time": time.time(),
        }
        return run_module("doctor", **{**defaults, **options})

    return run


def checks(result):
    # Whoever runs the tests, and whatever is installed here.
    return [f["check"] for f in result["findings"] if f["check"] not in ("root", "engine")]


def test_a_machine_without_an_engine_is_examined_as_far_as_possible(examine):
    result = examine()
    assert not result["failed"] and not result["changed"]
    assert "engine" in [finding["check"] for finding in result["findings"]]
    assert {"check": "Redis", "why": "the engine does not answer"} in result["unseen"]
    assert result["facts"]["engine"] is None
    assert result["facts"]["containers"] == {}


def test_a_broken_daemon_json_is_found_with_its_newest_good_backup(examine, tmp_path):
    (tmp_path / "daemon.json").write_text("{")
    good, bad = tmp_path / "daemon.json.1~", tmp_path / "daemon.json.2~"
    good.write_text('{"live-restore": true}')
    bad.write_text("[")
    path = str(tmp_path / "daemon.json")
    result = examine(daemon_json=path)
    assert checks(result) == ["daemon.json"]
    assert result["backup"] == str(good)


def test_clock_disk_and_certificates_need_no_engine(examine, tmp_path):
    result = examine(
        time=time.time() - 3600,
        disk_reserve_mb=10**9,
        certificates=[str(tmp_path / "none.pem")],
    )
    assert set(checks(result)) == {"clock", "disk", "certificate"}


def test_an_https_server_that_is_away_is_a_finding(examine, closed_port):
    result = examine(certificates=[closed_port.replace("http", "https")])
    assert checks(result) == ["certificate"]


def test_names_are_resolved_on_the_host(examine):
    result = examine(names=["localhost", "no-such-host.invalid"])
    assert [f["found"] for f in result["findings"] if f["check"] == "dns"] == [
        "this host cannot resolve no-such-host.invalid"
    ]
