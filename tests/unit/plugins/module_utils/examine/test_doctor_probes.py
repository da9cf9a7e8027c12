# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the doctor reads out of services' answers, and of streams that proxies spoil."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.examine import doctor_facts as facts
from ansible_collections.intranet.mcp.plugins.module_utils.examine import doctor_probes as probes


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({"parameters": "num_ctx  2048\nstop x", "model_info": {"a.context_length": 8}}, (2048, 8)),
        ({"parameters": "num_ctx 2048"}, (2048, 2048)),
        ({"parameters": "temperature 0", "model_info": {}}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_a_models_own_context_is_read(shown, expected):
    assert probes.own_context(shown) == expected


CONFIG = """
model_list:
  - model_name: "chat"
    litellm_params:
      model: "ollama/chat"
    model_info:
      mode: chat
  - model_name: "good"
    litellm_params:
      model: "ollama_chat/good"
  - model_name: "embed"
    litellm_params:
      model: ollama/embed
    model_info:
      mode: embedding
"""


WRITTEN_AS_JSON = """
  - model_name: "embed"
    litellm_params:
      model: "ollama/embed"
    model_info: {"mode": "embedding", "litellm_provider": "ollama"}
  - model_name: "chat"
    litellm_params:
      model: "ollama/chat"
    model_info: {"mode": "chat", "litellm_provider": "ollama"}
"""


def test_the_gateway_is_asked_with_the_key_of_the_monitoring(service, tmp_path):
    told = {"servers": {"example": {"state": "up"}}, "last_reload_error": ""}
    service.replies["GET", "/"] = lambda exchange: (
        (200, told) if exchange.headers.get("authorization") == "Bearer s3cret" else (200, {})
    )
    place = tmp_path / "services/gateway/secrets/monitoring_key"
    place.parent.mkdir(parents=True)
    place.write_text("s3cret\n")
    port = int(service.url.rpartition(":")[2])
    wanted = {"config_dir": str(tmp_path), "services": {"gateway": {"port": port}}}
    assert probes.gateway(wanted) == told


def test_embeddings_in_json_are_no_chat_models():
    assert facts.chat_over_generate(WRITTEN_AS_JSON) == ["chat"]


def test_chat_models_over_the_wrong_prefix_are_named():
    assert facts.chat_over_generate(CONFIG) == ["chat"]
    assert facts.chat_over_generate("") == []


def test_a_job_that_fails_as_expected_is_none_and_others_are_not():
    def broken():
        raise LookupError

    assert facts.together({"a": broken, "b": lambda: 1}) == {"a": None, "b": 1}


def test_a_job_that_fails_otherwise_is_our_mistake():
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        facts.together({"a": broken})


EVENT = b"event: endpoint\ndata: /messages\n\n"


def through(service, content, headers=None, status=200, patience=5.0, hold=0.3):
    service.replies[("GET", "/sse")] = (status, content, headers or {})
    return probes.stream(service.url, "sk-key", patience, hold)


@pytest.fixture
def gate():
    """Hold a stream open until the test ends."""
    event = threading.Event()
    yield event
    event.set()


def test_a_stream_that_lasts_is_well(service, gate):
    def events():
        yield EVENT
        gate.wait(30)

    found = through(service, events())
    assert found["first_seconds"] is not None
    assert found["ended_seconds"] is None
    assert not found["is_silent"] and not found["error"]
    (exchange,) = service.seen("GET", "/sse")
    assert exchange.headers["authorization"] == "Bearer sk-key"


def test_a_stream_without_an_event_is_silent(service, gate):
    def nothing():
        gate.wait(30)
        yield EVENT

    found = through(service, nothing(), patience=0.3)
    assert found["is_silent"]
    assert found["first_seconds"] is None


def test_a_stream_that_is_cut_says_when(service):
    found = through(service, iter([EVENT]), hold=30)
    assert found["first_seconds"] is not None
    assert 0 <= found["ended_seconds"] < 30


def test_compression_is_seen(service):
    assert through(service, b"x", {"Content-Encoding": "gzip"})["encoding"] == "gzip"


def test_an_error_of_the_proxy_is_its_status(service):
    found = through(service, b"Bad Gateway", status=502)
    assert (found["status"], found["first_seconds"]) == (502, None)


def test_a_proxy_that_is_away_says_so(closed_port):
    assert "cannot be reached" in probes.stream(closed_port, "k", 1, 1)["error"]


@pytest.fixture
def administered(service, tmp_path):
    """What the module is given where LiteLLM and its master key are on the host."""
    path = tmp_path / probes.MASTER_KEY
    path.parent.mkdir(parents=True)
    path.write_text("sk-master\n")
    port = int(service.url.rpartition(":")[2])
    return {"aliases": True, "config_dir": str(tmp_path), "services": {"litellm": {"port": port}}}


def test_aliases_are_asked_for_as_administrator(service, administered):
    keys = [{"key_alias": "alice"}, {"key_alias": ""}, {"token": "of a login"}]
    service.replies["GET", "/key/list"] = (200, {"keys": keys, "total_pages": 1})
    teams = [{"team_alias": "payments"}, {"team_alias": "payments"}]
    service.replies["GET", "/v2/team/list"] = (200, {"teams": teams, "total_pages": 1})
    found = probes.aliases(administered)
    assert found == {"key": ["alice", "", None], "team": ["payments", "payments"]}
    assert service.exchanges[0].headers["authorization"] == "Bearer sk-master"
    assert probes.aliases({**administered, "aliases": False}) == {"key": [], "team": []}


def test_a_litellm_that_cannot_be_asked_is_not_checked(administered, service, closed_port):
    port = int(closed_port.rpartition(":")[2])
    away = {**administered, "services": {"litellm": {"port": port}}}
    with pytest.raises(OSError, match="LiteLLM"):
        probes.aliases(away)
    service.replies["GET", "/key/list"] = (401, {"error": {"message": "no such key"}})
    service.replies["GET", "/health/readiness"] = (200, {"db": "connected"})
    with pytest.raises(OSError, match="master key"):
        probes.aliases(administered)
