"""What the kernel counts of the daemon's memory, against the plan: nothing large lives outside the arenas.

Sanitizers keep memory of their own, so their builds do not run this.
"""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemon import EMBEDDED, Daemon

MIB = 1024 * 1024
LOAD = ("--context", "256", "--sequences", "3", "--micro-batch", "64", "--threads", "2")


def resident_bytes(daemon, path=None):
    """Pages of the process in memory: all, or those of one mapped file."""
    total = 0
    of_file = path is None
    for line in Path(f"/proc/{daemon.process.pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            of_file = path is None or line.endswith(str(path))
        elif line.startswith("Rss:") and of_file:
            total += int(line.split()[1]) * 1024
    return total


def ledger(daemon):
    return daemon.client.get("/v1/plan").json()["ledger"]


def allocated(lines):
    """Bytes of the arenas in this machine's RAM, where an emulated device has its memory too."""
    return sum(line["allocated_bytes"] for line in lines)


def serve(daemon):
    for seed in range(3):
        daemon.complete(prompt=[2] + [100 + seed] * 60, max_tokens=4, temperature=1.0, seed=seed, logprobs=3)
    assert daemon.idle()


@pytest.mark.parametrize("weights", ["repacked", "mapped"])
@pytest.mark.parametrize("devices", [("--devices", "cpu"), ("--devices", "emulated", "--vram", "4MiB")])
def test_resident_memory_is_the_weights_once_the_rest_of_the_ledger_and_little_else(devices, weights):
    with Daemon(EMBEDDED, *devices, *LOAD, "--cpu-weights", weights) as daemon:
        serve(daemon)
        beside = resident_bytes(daemon) - allocated(ledger(daemon))
        assert 0 < beside < 64 * MIB


def converse(daemon, **fields):
    """A chat of which only memory matters."""
    body = {"model": "x", "messages": [{"role": "user", "content": "Go on."}], "max_tokens": 24, **fields}
    answer = daemon.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text


def test_grammars_calls_and_scores_add_little():
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    kinds = [
        {"response_format": {"type": "json_object"}},
        {"tools": [tool], "tool_choice": "required"},
        {"logprobs": True, "top_logprobs": 20},
        {"temperature": 1.5, "presence_penalty": 0.5},
    ]
    with Daemon(EMBEDDED, "--devices", "cpu", *LOAD) as daemon:
        serve(daemon)
        marks = [next(line for line in ledger(daemon) if line["purpose"] == "logits")]
        with ThreadPoolExecutor(4) as clients:
            list(clients.map(lambda kind: converse(daemon, **kind), 3 * kinds))
        assert daemon.idle()
        marks.append(next(line for line in ledger(daemon) if line["purpose"] == "logits"))
        assert 0 < resident_bytes(daemon) - allocated(ledger(daemon)) < 64 * MIB
    assert marks[0]["high_water_bytes"] < marks[1]["high_water_bytes"] <= marks[1]["planned_bytes"]
    assert marks[1]["planned_bytes"] == marks[1]["allocated_bytes"] == marks[1]["used_bytes"]


def test_large_requests_leave_nothing_behind():
    with Daemon(EMBEDDED, "--devices", "cpu", *LOAD) as daemon:
        serve(daemon)
        before = daemon.rss_bytes()
        for text in (" " * 7_000_000, "\N{GRINNING FACE}" * 1_500_000, " ".join(map(str, range(900_000)))):
            body = json.dumps({"model": "x", "prompt": text}, ensure_ascii=False)
            refused = daemon.client.post("/v1/completions", content=body.encode())
            assert refused.status_code == 400
        serve(daemon)
        assert daemon.rss_bytes() < before + 16 * MIB


@pytest.mark.parametrize("weights", ["repacked", "mapped"])
def test_the_log_and_the_plan_say_how_the_cpus_weights_lie(weights):
    with Daemon(EMBEDDED, "--devices", "cpu", *LOAD, "--cpu-weights", weights) as daemon:
        plan = daemon.client.get("/v1/plan").json()["plan"]
        repacked = re.search(r"loaded [\d,]+ bytes in [\d.]+ s, ([\d,]+) of them repacked", daemon.log.read_text())
        in_file = resident_bytes(daemon, EMBEDDED)
    assert plan["workload"]["cpu_weights"] == weights
    repacked_bytes = int(repacked[1].replace(",", ""))
    tensor_bytes = plan["model"]["tensor_bytes"]
    if weights == "mapped":
        assert repacked_bytes == 0
        assert in_file >= tensor_bytes
        assert any("used as they are in the file" in line for line in plan["reasons"])
    else:
        assert 0.95 * tensor_bytes < repacked_bytes < tensor_bytes
        assert in_file < 0.3 * tensor_bytes
        assert any("are repacked when they are loaded" in line for line in plan["reasons"])


def test_the_devices_own_count_of_its_memory_agrees_with_the_ledger():
    with Daemon(EMBEDDED, "--devices", "emulated", "--vram", "4MiB", *LOAD) as daemon:
        measured = daemon.client.get("/v1/plan").json()["measured_vram"]
        lines = [line for line in ledger(daemon) if line["device"] != "cpu"]
        graphs = sum(line["used_bytes"] for line in lines if line["purpose"] == "graphs")
        arenas = [line["allocated_bytes"] for line in lines if line["purpose"] not in ("graphs", "driver", "reserve")]
        assert measured["allocated_bytes"] == sum(arenas) + graphs
        assert measured["allocations"] == len(arenas)
        shrank = measured["free_memory_shrank_by_bytes"]
        assert measured["allocated_bytes"] <= shrank <= measured["allocated_bytes"] + 2 * MIB * len(arenas)
        assert measured["agree"]
    with Daemon(EMBEDDED, "--devices", "cpu", *LOAD) as daemon:
        assert daemon.client.get("/v1/plan").json()["measured_vram"] is None


def test_weights_on_the_device_leave_the_process():
    with Daemon(EMBEDDED, "--devices", "emulated", "--vram", "64MiB", *LOAD) as daemon:
        plan = daemon.client.get("/v1/plan").json()["plan"]
        assert {stage["device"] for stage in plan["stages"]} == {"emulated0"}
        assert resident_bytes(daemon, EMBEDDED) < 0.1 * plan["model"]["tensor_bytes"]


def test_high_water_marks_grow_with_use_and_stay_below_the_plan():
    with Daemon(EMBEDDED, "--devices", "emulated", "--vram", "4MiB", *LOAD) as daemon:
        before = ledger(daemon)
        serve(daemon)
        after = ledger(daemon)
        for first, last in zip(before, after):
            assert first["high_water_bytes"] <= last["high_water_bytes"] <= last["planned_bytes"], last
        marks = {(line["device"], line["purpose"]): line["high_water_bytes"] for line in after}
        assert all(marks[device, "kv"] > 0 for device in ("cpu", "emulated0"))
        log = daemon.log
        daemon.process.terminate()
        daemon.process.wait(30)
        for (device, purpose), mark in marks.items():
            assert f"{device} {purpose}: {mark:,} of " in log.read_text()
