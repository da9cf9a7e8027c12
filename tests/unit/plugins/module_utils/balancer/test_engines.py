# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which engine is spoken to is what runs, whatever the inventory says meanwhile."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.engines import running
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.haproxy import HAProxy
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.traefik import Traefik
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unexpected
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import EngineError


class FakeEngine:
    def __init__(self, program, is_running=True):
        self.found = {"State": {"Running": is_running}, "Config": {"Cmd": program and [program]}}

    def json(self, resource):
        assert resource == "/containers/lb/json"
        if self.found["Config"]["Cmd"] == ["absent"]:
            raise EngineError("no such container", "one", "start it")
        return self.found


@pytest.fixture
def params(tmp_path):
    for name in ("admin.sock", "dynamic.yml"):  # as left behind by one, and made by the other
        (tmp_path / name).touch()
    return {"directory": str(tmp_path), "container": "lb"}


@pytest.mark.parametrize(("program", "kind"), [("haproxy", HAProxy), ("traefik-start", Traefik)])
def test_the_program_of_the_container_tells(params, program, kind):
    assert isinstance(running(params, FakeEngine(program)), kind)


def test_one_that_does_not_run_is_none(params, tmp_path):
    assert running(params, FakeEngine("absent")) is None
    assert running(params, FakeEngine("haproxy", is_running=False)) is None
    (tmp_path / "admin.sock").unlink()
    assert running(params, FakeEngine("haproxy")) is None, "it is about to start"


@pytest.mark.parametrize("program", ["nginx", None])
def test_a_program_of_somebody_else_is_named(params, program):
    with pytest.raises(Unexpected, match="expected haproxy or traefik-start"):
        running(params, FakeEngine(program))
