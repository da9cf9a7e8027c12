# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What chat robots are handed, in the form that each documents, and what their answers become."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import importlib.util
import json
import threading
import time
import urllib.parse

import pytest
import support

PATH = support.REPOSITORY / "roles/image/files/alert-relay/alert_relay.py"
SPEC = importlib.util.spec_from_file_location("alert_relay", PATH)
relay = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(relay)

SECRET = "SEC000"
TEXTS = {"summary": "Redis 不可用", "description": "It is down.", "runbook": "start it"}
POSTED = {
    "status": "firing",
    "alerts": [
        {"status": "firing", "labels": {"alertname": "RedisDown"}, "annotations": TEXTS},
        {"status": "resolved", "labels": {"alertname": "DiskFull"}, "annotations": {}},
    ],
}
GOOD = {"wecom": {"errcode": 0}, "dingtalk": {"errcode": 0}, "feishu": {"code": 0}}
BAD = {
    "wecom": {"errcode": 93000, "errmsg": "invalid webhook url"},
    "dingtalk": {"errcode": 310000, "errmsg": "sign not match"},
    "feishu": {"code": 19021, "msg": "sign match fail"},
}


@pytest.fixture
def post(service):
    robots = {
        kind: {"kind": kind, "url": f"{service.url}/{kind}?key=hidden", "secret": SECRET}
        for kind in GOOD
    }
    made = relay.server(0, robots)
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()

    def send(path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", made.server_port, timeout=20)
        connection.request("POST", path, json.dumps(POSTED) if body is None else body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    yield send
    made.shutdown()
    made.server_close()


def received(service, kind):
    (exchange,) = service.seen("POST", f"/{kind}")
    assert exchange.headers["content-type"].startswith("application/json")
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(exchange.path).query))
    assert query.pop("key") == "hidden"
    return query, exchange.json()


def signed(key, message):
    made = hmac.new(key.encode(), message.encode(), hashlib.sha256).digest()
    return base64.b64encode(made).decode()


def check_text(text):
    assert "Redis 不可用" in text and "start it" in text and "DiskFull" in text
    assert "resolved" in text


def test_wecom_gets_markdown(service, post):
    service.replies["POST", "/wecom"] = (200, GOOD["wecom"])
    assert post("/wecom")[0] == 200
    query, body = received(service, "wecom")
    assert query == {}, "WeCom signs nothing"
    assert set(body) == {"msgtype", "markdown"} and body["msgtype"] == "markdown"
    assert set(body["markdown"]) == {"content"}
    check_text(body["markdown"]["content"])


def test_dingtalk_gets_markdown_and_a_signature_in_the_address(service, post):
    service.replies["POST", "/dingtalk"] = (200, GOOD["dingtalk"])
    assert post("/dingtalk")[0] == 200
    query, body = received(service, "dingtalk")
    assert abs(int(query["timestamp"]) / 1000 - time.time()) < 60
    assert query["sign"] == signed(SECRET, f"{query['timestamp']}\n{SECRET}")
    assert body["msgtype"] == "markdown" and set(body["markdown"]) == {"title", "text"}
    assert body["markdown"]["title"] == "firing: DiskFull, RedisDown"
    check_text(body["markdown"]["text"])


def test_feishu_gets_a_card_and_a_signature_in_the_body(service, post):
    service.replies["POST", "/feishu"] = (200, GOOD["feishu"])
    assert post("/feishu")[0] == 200
    query, body = received(service, "feishu")
    assert query == {}
    assert abs(int(body["timestamp"]) - time.time()) < 60
    assert body["sign"] == signed(f"{body['timestamp']}\n{SECRET}", "")
    assert body["msg_type"] == "interactive"
    assert body["card"]["header"]["title"]["tag"] == "plain_text"
    (element,) = body["card"]["elements"]
    assert element["tag"] == "markdown"
    check_text(element["content"])


@pytest.mark.parametrize("kind", GOOD)
def test_a_robot_without_a_secret_is_sent_no_signature(kind):
    make, _field = relay.KINDS[kind]
    url, body = make({"url": "https://robot.example.internal/x"}, POSTED, 1.0)
    assert url == "https://robot.example.internal/x"
    assert "sign" not in body and "timestamp" not in body


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("reply", [None, (500, {}), (200, b"no json"), (200, b"[]")])
def test_a_message_that_was_not_taken_is_an_error_without_the_address(service, post, kind, reply):
    service.replies["POST", f"/{kind}"] = reply or (200, BAD[kind])
    status, text = post(f"/{kind}")
    assert status == 502
    assert "hidden" not in text and SECRET not in text


def test_a_robot_that_is_away_is_an_error(post, service):
    service.close()
    service._server.server_close()
    assert post("/wecom")[0] == 502


@pytest.mark.parametrize("path", ["/", "/nobody", "/wecom/../feishu"])
def test_only_robots_of_its_configuration_are_known(service, post, path):
    assert post(path)[0] == 404
    assert not service.exchanges


@pytest.mark.parametrize("body", ["{", "[]", '{"alerts": [{}]}', '{"alerts": null}'])
def test_what_is_no_notification_is_refused(service, post, body):
    assert post("/wecom", body)[0] == 400
    assert not service.exchanges


def test_what_does_not_fit_is_counted_and_what_fires_comes_first():
    alert = POSTED["alerts"][0]
    alerts = [{**alert, "status": "resolved"}, *[{**alert, "status": "firing"}] * 400]
    text = relay.text_of({"alerts": alerts})
    assert len(text.encode()) <= 4096
    shown = text.count("(firing)")
    assert shown > 1 and "(resolved)" not in text
    assert text.endswith(f"\n\n… and {401 - shown} more")


def test_a_long_text_is_cut_between_characters():
    alert = {**POSTED["alerts"][0], "status": "firing", "annotations": {"summary": "长" * 3000}}
    text = relay.text_of({"alerts": [alert, alert]})
    assert len(text.encode()) <= 4096
    assert "长…" in text and text.endswith("and 1 more") and "�" not in text
