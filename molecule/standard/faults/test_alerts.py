# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What operators are told when things break: within a minute of the time that the rule waits."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.parse

import pytest
import yaml
from actions import stopped
from hosts import APP1, APP2, DATA, INVENTORY, molecule_network, on, wait_until

# Alert and host -> what is stopped. Each rule waits for one minute.
BROKEN = {
    ("TargetDown", APP1): (APP1, "intranet-gateway"),
    ("OllamaDown", APP2): (APP2, "intranet-ollama"),
    ("RedisDown", DATA): (DATA, "intranet-redis"),
}
WAITS_SECONDS, BOUND_SECONDS = 60, 60
# A group is told of a change once a minute.
RESOLVES_SECONDS = 180


def prometheus(query):
    """Ask Prometheus, on its host's loopback address."""
    url = f"http://127.0.0.1:9090/api/v1/query?query={urllib.parse.quote(query)}"
    read = f"import urllib.request as r; print(r.urlopen({url!r}, timeout=10).read().decode())"
    return json.loads(on(DATA, "python3 -", stdin=read))["data"]["result"]


@pytest.fixture
def receiver():
    """Return what the operators' receiver was told: (alert, host) -> its last status."""
    told = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for alert in body["alerts"]:
                labels = alert["labels"]
                told[labels["alertname"], labels.get("host", "")] = alert["status"]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    said = yaml.safe_load((INVENTORY / "group_vars/all/main.yml").read_text())
    port = urllib.parse.urlsplit(said["prometheus_receivers"][0]["webhook"]).port
    server = http.server.ThreadingHTTPServer((molecule_network()["gateway"], port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


def test_every_target_of_every_host_is_up():
    wait_until(lambda: not prometheus("up == 0"), 90, "every target to be up")
    hosts = {row["metric"]["host"] for row in prometheus("up")}
    assert len(hosts) == 4
    assert len(prometheus('up{job="gateway"}')) == 2


def test_three_faults_are_told_and_their_ends_too(receiver):
    def told(status):
        return all(receiver.get(alert) == status for alert in BROKEN)

    with stopped(*BROKEN.values()) as (_began, gone):
        wait_until(lambda: told("firing"), WAITS_SECONDS + BOUND_SECONDS, f"alerts: {receiver}")
        print(f"three alerts {time.monotonic() - gone:.0f} s after the last container was gone")
    wait_until(lambda: told("resolved"), RESOLVES_SECONDS, f"that they resolve: {receiver}")
