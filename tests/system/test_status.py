"""GET /v1/status against what the plan, the ledger and the requests say."""

import base64
import hashlib
import json
import re

import pytest

from daemon import REFERENCE, Daemon, eventually

MODEL = REFERENCE / "gemma4_8l.gguf"
FOR_EVER = {"prompt": "hello", "max_tokens": 8000, "temperature": 0, "stream": True}  # it repeats itself


@pytest.fixture(scope="module")
def daemon():
    with Daemon(MODEL, "--context", "8192", "--sequences", "3") as running:
        yield running


def status(daemon):
    return daemon.client.get("/v1/status").json()


def test_memory_is_the_ledger(daemon):
    answer = daemon.client.get("/v1/plan").json()
    shown = {
        (device["device"], line["purpose"]): (line["planned_bytes"], line["allocated_bytes"], line["used_bytes"])
        for device in status(daemon)["devices"]
        for line in device["purposes"]
    }
    ledger = {
        (line["device"], line["purpose"]): (line["planned_bytes"], line["allocated_bytes"], line["used_bytes"])
        for line in answer["ledger"]
    }
    assert shown == ledger
    assert sum(device["planned_bytes"] for device in status(daemon)["devices"]) == answer["plan"]["totals"]["ram_bytes"]


def test_layers_are_the_plans(daemon):
    plan = daemon.client.get("/v1/plan").json()["plan"]
    layers = status(daemon)["layers"]
    assert [layer["index"] for layer in layers] == list(range(len(plan["layers"])))
    for shown, planned in zip(layers, plan["layers"]):
        assert shown["kind"] == planned["kind"]
        assert shown["kv_bytes"] == planned["kv_bytes"]
    assert status(daemon)["sequences"]["slots"] == 3


def test_rates_and_requests_are_those_of_now(daemon):
    assert eventually(lambda: status(daemon)["rates"]["generated_tok_per_s"] == 0)
    with daemon.client.stream("POST", "/v1/completions", json=FOR_EVER) as answer:
        lines = answer.iter_lines()
        next(lines)
        with daemon.new_client() as other:
            assert eventually(lambda: other.get("/v1/status").json()["rates"]["generated_tok_per_s"] > 0)
            now = other.get("/v1/status").json()
            assert now["rates"]["gb_per_s"] > 0
            assert now["sequences"]["running"] == 1
            assert now["requests"][0]["state"] == "decode"
    assert daemon.idle()
    assert eventually(lambda: status(daemon)["rates"] == {"generated_tok_per_s": 0, "prompt_tok_per_s": 0, "gb_per_s": 0})
    assert status(daemon)["requests"] == []


def test_the_stream_has_the_same_shape(daemon):
    with daemon.client.stream("GET", "/v1/status/stream") as stream:
        events = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        first, second = next(events), next(events)
    assert first.keys() == second.keys() == status(daemon).keys()
    assert second["uptime_s"] >= first["uptime_s"]


def test_the_pages_policy_names_its_own_style_and_script(daemon):
    answer = daemon.client.get("/")
    policy = answer.headers["content-security-policy"]
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
