# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The client of a running Traefik, against a container that answers as one does."""

from __future__ import annotations

import json

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer import traefik as _traefik
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.traefik import (
    Traefik,
    connections,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.traefik_config import (
    parse,
    render,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    NotReady,
    Refused,
    Unreachable,
)
from ansible_collections.intranet.mcp.plugins.module_utils.engine.docker import Said

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue\n"
SETTINGS = {
    "tls": False,
    "public_port": 80,
    "ports": {"public": 8443, "inside": 8000, "metrics": 8404},
    "timeout_seconds": 1,
    "connect_seconds": 1,
    "check_seconds": 1,
    "stop_seconds": 1,
}


def files(*names):
    servers = [{"name": name, "address": f"192.0.2.{n}:4000"} for n, name in enumerate(names, 1)]
    servers.append({"name": "beside", "address": "intranet-litellm:4000"})
    pool = {"service": "litellm", "ready": "/ready", "alive": "/alive", "servers": servers}
    return render([pool], SETTINGS)


class FakeContainer:
    """Answers to the programs that the client runs in it."""

    def __init__(self, directory):
        self.directory = directory
        self.files = files("app1", "app2")
        self.tables, self.ready, self.takes_it = HEAD, "HTTP/1.1 200 OK", True
        self.asked = []

    def run(self, container, command):
        assert container == "lb"
        if command[0] == "cat" and command[1].startswith("/config/"):
            found = self.files.get(command[1].removeprefix("/config/"))
            return Said(found is None, found or "", "", found or "no such file")
        if command[0] == "cat":
            return Said(0, self.tables, "", self.tables)
        if command[0] == "getent":
            return Said(0, "192.0.2.9 STREAM intranet-litellm\n", "", "")
        *_timeout, host, port, path = command
        self.asked.append((host, port, path))
        if path == "/alive" and host == "127.0.0.1":
            return Said(0, f"HTTP/1.1 200 OK\nX-Generation: {self._generation()}\n", "", "")
        return Said(0, self.ready and self.ready + "\n", "", "")

    def _generation(self):
        if not self.takes_it:
            return "0"
        middlewares = self.served()["http"]["middlewares"]
        return middlewares["generation"]["headers"]["customResponseHeaders"]["X-Generation"]

    def served(self):
        return parse((self.directory / "dynamic.yml").read_text())

    def log(self, _container, _lines):
        return ["INF nothing", "2026 ERR field not found, node: no-such-word"]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    monkeypatch.setattr(_traefik, "SERVE_SECONDS", 0.1)
    container = FakeContainer(tmp_path)
    (tmp_path / "dynamic.yml").write_text(container.files["dynamic.yml"])  # as traefik-start does
    return container


@pytest.fixture
def traefik(fake):
    return Traefik(str(fake.directory), "lb", fake)


def listed(fake):
    weighted = fake.served()["http"]["services"]["litellm_ready"]["weighted"]
    return [service["name"] for service in weighted["services"]]


def test_a_drained_replica_is_out_of_what_is_served_until_it_is_given_back(fake, traefik):
    traefik.set_state("litellm", "app1", "drain")
    assert listed(fake) == ["litellm.app2", "litellm.beside"]
    assert traefik.server("litellm", "app1").is_drained
    assert not traefik.server("litellm", "app2").is_drained
    traefik.set_state("litellm", "app1", "ready")
    assert listed(fake) == ["litellm.app1", "litellm.app2", "litellm.beside"]
    assert not traefik.server("litellm", "app1").is_drained


def test_a_reload_serves_what_was_rendered_and_keeps_the_drained_out(fake, traefik):
    traefik.set_state("litellm", "app2", "drain")
    traefik.set_state("litellm", "beside", "drain")
    fake.files = files("app1", "app3")
    assert "generation" in traefik.reload()
    assert listed(fake) == ["litellm.app1", "litellm.app3"]
    assert json.loads((fake.directory / "drained.json").read_text()) == {"litellm": ["beside"]}


def test_what_is_written_is_readable_by_another_user_and_complete_at_once(fake, traefik):
    traefik.reload()
    assert (fake.directory / "dynamic.yml").stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in fake.directory.iterdir()) == [
        "drained.json",
        "dynamic.yml",
    ]


def test_a_configuration_that_traefik_does_not_take_is_an_error_with_its_words(fake, traefik):
    fake.takes_it = False
    with pytest.raises(Refused, match="no-such-word"):
        traefik.reload()


def test_a_file_that_is_no_json_is_an_error_before_anything_is_written(fake, traefik):
    before = fake.served()
    fake.files["dynamic.yml"] += "more"
    with pytest.raises(Refused, match="is not what the role writes"):
        traefik.reload()
    assert fake.served() == before


def test_a_container_without_a_configuration_is_told(fake, traefik):
    del fake.files["dynamic.yml"]
    with pytest.raises(Unreachable, match="no configuration"):
        traefik.servers("litellm")


def test_an_unknown_service_has_no_servers(traefik):
    assert traefik.servers("postgres") == {}
    assert traefik.checked("litellm", "app9") is None


def test_requests_under_way_are_the_connections_to_the_replica(fake, traefik):
    fake.tables = (
        f"{HEAD}   0: 0100007F:1F90 010200C0:0FA0 01 0:0 0:0\n"  # 192.0.2.1:4000, established
        "   1: 0100007F:1F91 010200C0:0FA0 08 0:0 0:0\n"  # it has hung up, the answer is read
        "   2: 0100007F:1F92 010200C0:0FA0 06 0:0 0:0\n"  # over
        "   3: 0100007F:1F93 090200C0:0FA0 01 0:0 0:0\n"  # the container beside it
        "   4: 0100007F:1F94 010200C0:0FA1 01 0:0 0:0\n"  # another port
    )
    found = {name: server.sessions for name, server in traefik.servers("litellm").items()}
    assert found == {"app1": 2, "app2": 0, "beside": 1}


def test_addresses_are_read_as_the_kernel_prints_them():
    mapped = "0000000000000000FFFF0000010200C0"
    table = f"0: 0:0 {mapped}:0FA0 01\n1: 0:0 B80D0120000000000000000001000000:01BB 01\n"
    assert connections(table) == [("192.0.2.1", 4000), ("2001:db8::1", 443)]


def test_a_replica_is_asked_as_traefik_would(fake, traefik):
    traefik.wait_until_healthy("litellm", "app1", 0)
    assert fake.asked == [("192.0.2.1", "4000", "/ready")]


@pytest.mark.parametrize(
    ("said", "found"),
    [("HTTP/1.1 503 Service Unavailable", "503 Service Unavailable"), ("", "no answer")],
)
def test_a_replica_that_stays_unready_is_an_error_with_what_it_said(fake, traefik, said, found):
    fake.ready = said
    with pytest.raises(NotReady, match=f"litellm on app1 .* {found}"):
        traefik.wait_until_healthy("litellm", "app1", 0)
