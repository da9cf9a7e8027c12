# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The monitoring's pages through the balancer: below a path each, over TLS, and with a login."""

from __future__ import annotations

import base64
import http.client
import os
import re
import subprocess
from concurrent import futures

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.balancer import pages
from conftest import image, wait_until
from servers.balancer import ANY, PORTS, Replica

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="the balancer's directory is closed to others"),
]

PASSWORD = "w" * 40
RIGHT = f"admin:{PASSWORD}"
WRONG = ["", "admin:", "admin:wrong", f"root:{PASSWORD}", f":{PASSWORD}", f"admin:{PASSWORD}w"]
KEY = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
KEY += ("-subj", "/CN=balancer", "-days", "2")


@pytest.fixture
def page(docker):
    made = Replica(docker.gateway(), "page")
    yield made
    made.close()


@pytest.fixture
def start(start_balancer, replicas, tmp_path):
    """Start a balancer with pages: service -> address."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    pem = secrets / "tls.pem"
    subprocess.run([*KEY, "-keyout", pem, "-out", secrets / "crt"], check=True, capture_output=True)
    pem.write_text((secrets / "crt").read_text() + pem.read_text())
    pem.chmod(0o444)

    def run(own_login=(), health="/ready", **served):
        listed = [
            {
                "service": service,
                "path": f"/{service}",
                "has_login": service in own_login,
                "health": health,
                "hidden": ["/metrics"],
                "address": address,
                "is_name": False,
            }
            for service, address in served.items()
        ]
        settings = {"served": listed, "login": pages.login(PASSWORD)}
        options = [f"--volume={secrets}:/secrets:ro"]
        return start_balancer(replicas, options=options, tls=True, pages=settings)

    return run


def ask(balancer, path, login="", **headers):
    """Return status, headers and body of a request to the port of the pages."""
    address = balancer.docker.address(balancer.container, PORTS["pages"])
    connection = http.client.HTTPSConnection(address, timeout=20, context=ANY)
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode(errors="replace")
    finally:
        connection.close()


def test_without_the_login_nothing_is_answered(start, page):
    balancer = start(prometheus=page.address)
    wait_until(lambda: ask(balancer, "/prometheus/x", RIGHT)[0] == 200, 20, "the page")
    page.requests = 0
    for path in ("/prometheus/", "/prometheus", "/prometheus/api/v1/query", "/", "/metrics"):
        for login in WRONG:
            assert ask(balancer, path, login)[0] == 401, (path, login)
    assert page.requests == 0


def test_the_page_is_asked_below_its_path_and_told_no_password(start, page):
    balancer = start(prometheus=page.address)
    wait_until(lambda: ask(balancer, "/prometheus/a/b?c=/d", RIGHT)[0] == 200, 20, "the page")
    path, headers = page.last
    assert path == "/a/b?c=/d"
    assert headers["Authorization"] is None
    assert headers["X-Forwarded-Proto"] == "https"
    for other in ("/prometheusx", "/", "/metrics", "/v1/models"):
        assert ask(balancer, other, RIGHT)[0] == 404, other


def test_the_port_of_people_has_no_page(start, page):
    balancer = start(prometheus=page.address)
    wait_until(lambda: ask(balancer, "/prometheus/", RIGHT)[0] == 200, 20, "the page")
    page.requests = 0
    balancer.get("/prometheus/")
    assert page.requests == 0


def test_a_page_with_a_login_of_its_own_is_asked_for_none_but_shows_no_numbers(start, page):
    balancer = start(own_login=["grafana"], prometheus=page.address, grafana=page.address)
    wait_until(lambda: ask(balancer, "/grafana/login")[0] == 200, 20, "the page")
    assert ask(balancer, "/grafana/", Cookie="a=b")[0] == 200
    assert page.last[1]["Cookie"] == "a=b"
    page.requests = 0
    for path in ("/grafana/metrics", "/grafana/metrics/x", "/grafana/../grafana/metrics"):
        assert ask(balancer, path)[0] in (400, 404), path
    for path in ("/grafana/../prometheus/", "/grafana/%2e%2e/prometheus/"):
        assert ask(balancer, path)[0] in (400, 401), path
    assert page.requests == 0


def test_guessing_comes_to_an_end(start, page):
    balancer = start(prometheus=page.address)
    with futures.ThreadPoolExecutor(20) as pool:
        guessed = [
            pool.submit(ask, balancer, "/prometheus/", f"admin:{guess}") for guess in range(300)
        ]
    assert {guess.result()[0] for guess in guessed} == {401, 429}


@pytest.fixture(scope="module")
def prometheus(docker, tmp_path_factory):
    """The address of a Prometheus that knows where people open it."""
    folder = tmp_path_factory.mktemp("prometheus")
    folder.chmod(0o755)
    url = "https://balancer.example.internal:9443/prometheus/"
    (folder / "prometheus.yml").write_text("{}\n")
    docker.start(
        "page-prometheus",
        image("prometheus"),
        f"--volume={folder}/prometheus.yml:/config/prometheus.yml:ro",
        command=[
            "prometheus",
            "--config.file=/config/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            f"--web.external-url={url}",
            "--web.route-prefix=/",
        ],
    )
    return "page-prometheus:9090"


def test_prometheus_links_to_itself_below_its_path(start, prometheus):
    balancer = start(health="/-/ready", prometheus=prometheus)
    asked = "/prometheus/-/healthy"
    wait_until(lambda: ask(balancer, asked, RIGHT)[0] == 200, 30, "Prometheus")
    status, headers, _body = ask(balancer, "/prometheus/", RIGHT)
    assert status == 302 and headers["Location"].startswith("/prometheus/")
    status, _headers, body = ask(balancer, "/prometheus/classic/alerts", RIGHT)
    links = re.findall(r'(?:href|src)="(/[^"]*)"', body)
    assert status == 200 and links
    assert all(link.startswith("/prometheus/") for link in links), links
