# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Every panel's query, asked of a Prometheus that scrapes a whole platform with people at work.

`make status` and Grafana show these panels; Grafana is a stand-in (servers/grafana_stand_in.py).
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import panel
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.panels import BOARDS, PANELS
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.rules_hosts import BACKUP
from conftest import CACHE, image, wait_until
from servers import publishers
from test_model_sources import free_port
from test_monitoring import Site

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="roles hand files to the users of containers"),
]

ROLES = ["postgres", "redis", "ollama", "litellm", "teams", "tool_server", "gateway"]
ROLES += ["load_balancer", "exporters", "node_exporter", "prometheus", "grafana"]
SERVICES = ["postgres", "redis", "ollama", "litellm", "tool-example", "gateway", "load_balancer"]
SERVICES += ["postgres_exporter", "redis_exporter", "ollama_exporter", "blackbox_exporter"]
SERVICES += ["node_exporter", "alertmanager", "prometheus", "grafana"]
IMAGES = ["postgres", "redis", "ollama", "litellm", "tool-python", "gateway", "haproxy"]
IMAGES += ["postgres-exporter", "redis-exporter", "ollama-exporter", "blackbox-exporter"]
IMAGES += ["node-exporter", "alertmanager", "prometheus", "tool-base"]
PORTS = ("prometheus", "alertmanager", "gateway", "litellm", "ollama", "grafana", "balancer")
PORTS += ("balancer_redirect", "balancer_inside", "balancer_metrics")
MODEL = "smollm2:135m"
TOOL = "example__count"
MCP = "2026-07-28"
# The balancer's other engine; test_alert_rules.py looks at what it counts.
NOT_HERE = {"traefik_service_requests_total"}
PLAY = {
    "hosts": "here",
    "gather_facts": False,
    "roles": ["intranet.mcp.platform"],
    "tasks": [
        {"include_role": {"name": "intranet.mcp.{{ item }}"}, "loop": ROLES},
    ],
}
QUERIES = [
    pytest.param(name, number, id=f"{name}-{number}")
    for name, shown in PANELS.items()
    for number, query in enumerate(shown.queries)
    if not any(metric in query.expr for metric in NOT_HERE)
]


def post(url: str, body: dict, key: str, **more: str) -> tuple[int, str]:
    """Send JSON with a key; return status and text of the answer."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    headers |= {"Accept": "application/json, text/event-stream"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Platform(Site):
    """A platform with models, tools, people, a load balancer, and Grafana's stand-in."""

    groups = ("postgres", "redis", "ollama", "litellm", "tool_servers", "gateway")
    groups += ("load_balancer", "monitoring", "grafana")

    def __init__(self, docker, folder: Path) -> None:
        super().__init__(docker, folder, "http://127.0.0.1:9")
        docker.containers += [f"{self.prefix}{name}" for name in SERVICES]
        (folder / "play.yml").write_text(yaml.safe_dump([PLAY]))
        # The tag alone is the test's own: nobody else's image on this engine is replaced.
        self.stand_in = f"intranet-mcp/grafana:itest-{docker.suffix}"
        publishers.build_grafana(image("tool-base"), self.stand_in)
        self.ports = {name: free_port("127.0.0.1") for name in PORTS}
        self.prometheus = f"http://127.0.0.1:{self.ports['prometheus']}"
        budget = {"amount": 50, "period": "30d"}
        ada = {"alias": "ada", "budget": {"amount": 5}}
        self.variables |= {
            **{f"platform_{name}_port": port for name, port in self.ports.items()},
            "platform_cache_dir": str(CACHE / "artifacts"),
            "platform_balancer_tls": False,
            "platform_users_networks": ["127.0.0.0/8"],
            "mcp_servers": {name: {"enabled": False} for name in ("filesystem", "browser")},
            "ollama_models": [{"name": MODEL, "file": "smollm2-135m", "context": 2048}],
            "ollama_sources": ["file"],
            "teams": [{"name": "payments", "budget": budget, "members": [ada]}],
            "image_extra": {"grafana": {"version": self.stand_in.rpartition(":")[2]}},
            "prometheus_receivers": [],
        }

    def key(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()

    def work(self) -> None:
        """What people do: ask a model, also as a stream, and one that is not there, call a tool
        rightly and wrongly.
        """
        key = self.key("key-ada")
        models = f"http://127.0.0.1:{self.ports['balancer']}/v1/chat/completions"
        question = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
        asked = {**question, "model": MODEL, "stream": True}
        status, text = post(models, asked, key)
        assert status == 200 and "data:" in text, text
        assert post(models, {**question, "model": MODEL}, key)[0] == 200
        assert post(models, {**question, "model": "nobody"}, key)[0] >= 400
        tools = f"http://127.0.0.1:{self.ports['gateway']}/mcp"
        about = {"io.modelcontextprotocol/protocolVersion": MCP}
        about |= {"io.modelcontextprotocol/clientCapabilities": {}}
        told = {"mcp_protocol_version": MCP, "mcp_method": "tools/call", "mcp_name": TOOL}
        for argument, is_wrong in (("one two", False), (12, True)):
            call = {"name": TOOL, "arguments": {"text": argument}, "_meta": about}
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            text = post(tools, message, key, **told)[1].replace(" ", "")
            assert '"id":1' in text and ('"isError":true' in text) == is_wrong, text

    def value(self, name: str, number: int) -> list[dict]:
        """Ask Prometheus one query of a panel."""
        return self.query(panel.filled(PANELS[name].queries[number].expr, "1m", "10m"))

    def grafana(self, path: str, password: str) -> dict:
        """Ask Grafana's stand-in as its administrator."""
        login = base64.b64encode(f"admin:{password}".encode()).decode()
        url = f"http://127.0.0.1:{self.ports['grafana']}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
        with urllib.request.urlopen(request, timeout=15) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def platform(docker, tmp_path_factory):
    for name in IMAGES:
        image(name)
    folder = tmp_path_factory.mktemp("panels")
    (folder / "secrets").mkdir(mode=0o700)
    made = Platform(docker, folder)
    try:
        done = made.deploy()
        assert done.returncode == 0, done.stdout[-6000:]
        reported = folder / "data/node_exporter/textfile/backup.prom"
        reported.write_text(f"{BACKUP} {int(time.time())}\n")
        reported.chmod(0o644)
        docker.run("stop", made.container("alertmanager"))  # one alert has to fire
        firing = 'ALERTS{alertname="TargetDown",alertstate="firing"}'
        ends_at = time.monotonic() + 240
        # Rates need calls between two scrapes, again and again.
        while made.work() or not made.query(firing):
            assert time.monotonic() < ends_at, "the alert did not fire"
            time.sleep(3)  # less than the time between two scrapes
        yield made
    finally:
        docker.try_run("rm", "-fv", *[made.container(name) for name in SERVICES])
        docker.try_run("image", "rm", made.stand_in)
        shutil.rmtree(folder / "data", ignore_errors=True)


@pytest.mark.parametrize(("name", "number"), QUERIES)
def test_every_query_has_data(platform, name, number):
    query = PANELS[name].queries[number]
    # What counts alerts or errors has data a few scrapes after they happened.
    found = platform.value(name, number) or wait_until(
        lambda: platform.work() or platform.value(name, number), 60, query.expr
    )
    if PANELS[name].kind != panel.VALUE:
        named = {*PANELS[name].rows, *re.findall(r"{{(\w+)}}", query.legend)}
        assert all(named <= set(series["metric"]) for series in found), found[:3]


def metrics(expression: str) -> set[str]:
    """Names of metrics in a query: what is neither a function nor a label nor a word of PromQL."""
    text = re.sub(r'"[^"]*"|by \([^)]*\)|{[^}]*}|\[[^\]]*\]', " ", expression)
    functions = set(re.findall(r"(\w+)\s*\(", text))
    words = {"by", "or", "unless", "offset", "bool", "on", "and", "Inf"}
    return set(re.findall(r"\b[a-zA-Z_]\w+\b", text)) - functions - words - {"ALERTS"}


def test_a_name_that_no_service_has_is_noticed(platform):
    names = f"{platform.prometheus}/api/v1/label/__name__/values"
    with urllib.request.urlopen(names, timeout=10) as answer:
        there = set(json.load(answer)["data"])
    with urllib.request.urlopen(f"{platform.prometheus}/api/v1/metadata", timeout=10) as answer:
        told = set(json.load(answer)["data"])
    there |= told | {f"{name}_total" for name in told}
    asked = {
        metric
        for shown in PANELS.values()
        for query in shown.queries
        for metric in metrics(panel.filled(query.expr, "1m", "10m"))
    }
    assert len(asked) > 30
    assert asked - there == NOT_HERE
    assert metrics("sum(rate(mcp_gateway_made_up_total[5m])) or vector(0)") - there


def test_status_shows_what_people_did(platform):
    program = Path(sys.executable).parent / "ansible-playbook"
    reports = platform.folder / "reports"
    done = subprocess.run(
        [
            *(program, "-i", platform.folder / "hosts.yml"),
            *("-e", f"@{platform.folder}/vars.yml", "-e", f"platform_reports_dir={reports}"),
            "playbooks/status.yml",
        ],
        cwd=support.REPOSITORY,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    said = done.stdout
    # Whether one fires by now is a matter of seconds; test_alerts.py has them fire and resolve.
    assert re.search(r"(No alert is|\d+ alerts?) firing", said) and "WARNING" not in done.stderr
    for line in (rf"{MODEL}\s+[1-9]", r"payments\s+[1-9]", r"ada\s+[1-9]", r"example\s+up\s+100 %"):
        assert re.search(rf"(?m)^{line}", said), said
    assert re.search(r"(?m)^example · count\s+[\d.]+ ms\s+[1-9]", said), said
    page = (reports / "status.html").read_text()
    assert "<svg" in page and "payments" in page
    (CACHE / "pictures").mkdir(exist_ok=True, parents=True)
    (CACHE / "pictures" / "status.html").write_text(page)  # to be looked at


def test_grafana_reads_what_is_provisioned_and_reaches_prometheus(platform):
    found = json.loads(platform.docker.run("inspect", platform.container("grafana")))[0]
    assert found["State"]["Health"]["Status"] == "healthy"
    assert found["Config"]["User"] == "472:0" and found["HostConfig"]["ReadonlyRootfs"]
    password = platform.key("grafana_admin_password")
    assert password not in json.dumps(found)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        platform.grafana("/api/search", "admin")
    made = platform.grafana("/api/search", password)
    assert {dashboard["title"] for dashboard in made} == {board.title for board in BOARDS}
    query = urllib.parse.urlencode({"query": "up"})
    through = platform.grafana(f"/api/datasources/proxy/api/v1/query?{query}", password)
    assert len(through["data"]["result"]) > 5


def test_grafana_asks_nobody_outside(platform):
    settings = platform.grafana("/settings", platform.key("grafana_admin_password"))
    off = ("ANALYTICS_REPORTING_ENABLED", "ANALYTICS_CHECK_FOR_UPDATES", "NEWS_NEWS_FEED_ENABLED")
    off += ("ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "PLUGINS_PLUGIN_ADMIN_ENABLED")
    assert {settings[f"GF_{name}"] for name in off} == {"false"}
    assert settings["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    assert settings["GF_SECURITY_SECRET_KEY"] == platform.key("grafana_secret_key")
    assert not settings["GF_SECURITY_SECRET_KEY"].startswith("SW2Y")  # Grafana's own, known to all


def test_a_second_run_changes_nothing(platform):
    platform.docker.run("start", platform.container("alertmanager"))
    done = platform.deploy()
    assert done.returncode == 0, done.stdout[-6000:]
    assert "changed=0" in done.stdout, done.stdout[-3000:]
