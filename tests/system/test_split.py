"""The daemon on two devices: the CPU and the emulated GPU, which share one model.

The same text as on the CPU alone, and both devices in everything that shows memory.
"""

import json
import subprocess
import time

import pytest
from daemon import BUILD, EMBEDDED, Daemon

SMALL = ("--context", "128", "--sequences", "2", "--micro-batch", "16", "--threads", "2")
PROMPTS = ("Python bindings for", "This package is", "Debian is a")
CLEAR = 0.3  # log-probability; devices round differently, by up to a third of it, and a closer choice may fall either way


def greedy(daemon, prompt, **more):
    return daemon.complete(prompt=prompt, max_tokens=12, temperature=0, **more)["choices"][0]


def texts(daemon):
    return [greedy(daemon, prompt)["text"] for prompt in PROMPTS]


def closest_choice(daemon, prompt):
    """By how much the likeliest token is above the next, where that is least."""
    steps = greedy(daemon, prompt, logprobs=2)["logprobs"]["top_logprobs"]
    return min(max(step.values()) - min(step.values()) for step in steps)


@pytest.fixture(scope="module")
def cpu_texts():
    with Daemon(EMBEDDED, "--devices", "cpu", *SMALL) as daemon:
        assert min(closest_choice(daemon, prompt) for prompt in PROMPTS) > CLEAR
        return texts(daemon)


@pytest.fixture(scope="module")
def split():
    with Daemon(EMBEDDED, "--devices", "emulated", "--vram", "3MiB", *SMALL) as daemon:
        yield daemon


def test_the_text_is_that_of_the_cpu(split, cpu_texts):
    assert texts(split) == cpu_texts


@pytest.mark.parametrize("vram", ["1MiB", "64MiB"])
def test_the_text_is_that_of_the_cpu_wherever_the_cut_lies(vram, cpu_texts):
    with Daemon(EMBEDDED, "--devices", "emulated", "--vram", vram, *SMALL) as daemon:
        assert texts(daemon) == cpu_texts


def test_the_daemon_places_for_what_it_is_asked_to(cpu_texts):
    aim = ("--optimise", "request", "--expect-context", "64")
    with Daemon(EMBEDDED, "--devices", "emulated", "--vram", "3MiB", *SMALL, *aim) as daemon:
        plan = daemon.client.get("/v1/plan").json()["plan"]
        assert (plan["workload"]["optimise"], plan["workload"]["expected_context"]) == ("request", 64)
        assert any("placed for requests: a token of an answer at 64 tokens" in reason for reason in plan["reasons"])
        assert texts(daemon) == cpu_texts


def test_both_devices_have_units_and_every_byte_is_where_the_plan_says(split):
    answer = split.client.get("/v1/plan").json()
    assert {stage["device"] for stage in answer["plan"]["stages"]} == {"cpu", "emulated0"}
    assert answer["plan"]["totals"]["vram_bytes"] <= 3 * 1024 * 1024
    assert {line["device"] for line in answer["ledger"]} == {"cpu", "emulated0"}
    for line in answer["ledger"]:
        assert line["allocated_bytes"] == line["planned_bytes"], line
        if line["purpose"] == "graphs":  # as many steps are recorded as fit
            assert 0.7 * line["planned_bytes"] < line["used_bytes"] <= line["planned_bytes"], line
        else:
            assert line["used_bytes"] == line["planned_bytes"], line
    assert not any(line["purpose"] == "driver" for line in answer["ledger"])


def test_both_devices_are_in_metrics_status_and_top(split):
    plan = split.client.get("/v1/plan").json()["plan"]
    metrics = split.client.get("/metrics").text
    for arena in plan["arenas"]:
        line = f'tandem_arena_bytes{{device="{arena["device"]}",purpose="{arena["purpose"]}"}} {arena["bytes"]}'
        assert line in metrics.splitlines()
    top = subprocess.run(
        [BUILD / "tandem", "top", "--once", "--json", "--socket", split.socket], capture_output=True, check=True
    )
    status = json.loads(top.stdout)
    assert [device["device"] for device in status["devices"]] == ["emulated0", "cpu"]
    drawn = subprocess.run(
        [BUILD / "tandem", "top", "--once", "--socket", split.socket], capture_output=True, check=True, text=True
    )
    assert "emulated0" in drawn.stdout


def test_the_emulated_device_is_never_chosen_by_itself():
    with Daemon(EMBEDDED, "--devices", "auto", *SMALL) as daemon:
        plan = daemon.client.get("/v1/plan").json()["plan"]
        assert {stage["device"] for stage in plan["stages"]} == {"cpu"}


def test_a_kept_plan_for_both_devices_is_executed_as_it_is(cpu_texts, tmp_path):
    made = subprocess.run(
        [BUILD / "tandem", "plan", EMBEDDED, "--devices", "cpu,emulated", "--vram", "2MiB", "--context", "128"]
        + ["--sequences", "1", "--micro-batch", "16", "--json"],
        capture_output=True,
        check=True,
    )
    kept = tmp_path / "plan.json"
    kept.write_bytes(made.stdout)
    with Daemon(EMBEDDED, "--plan", str(kept), "--threads", "2") as daemon:
        assert texts(daemon)[:1] == cpu_texts[:1]
        assert daemon.client.get("/v1/plan").json()["plan"] == json.loads(made.stdout)


def test_a_plan_for_a_gpu_that_is_not_there_is_refused(tmp_path):
    made = subprocess.run(
        [BUILD / "tandem", "plan", EMBEDDED, "--devices", "cpu,cuda", "--vram", "12GiB", "--json"],
        capture_output=True,
        check=True,
    )
    kept = tmp_path / "plan.json"
    kept.write_bytes(made.stdout)
    ended = subprocess.run(
        [BUILD / "tandemd", "--model", EMBEDDED, "--plan", kept, "--socket", tmp_path / "s"],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 4
    assert "cuda0" in ended.stderr
    assert "--devices cpu" in ended.stderr


@pytest.mark.parametrize("devices", ["cuda", "cpu,cuda"])
def test_a_gpu_that_is_asked_for_and_not_there_is_an_error_in_words(devices, tmp_path):
    ended = subprocess.run(
        [BUILD / "tandemd", "--model", EMBEDDED, "--devices", devices, "--no-calibrate", "--socket", tmp_path / "s"],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert f"devices: {devices}: there is no cuda0: " in ended.stderr
    assert "--devices cpu" in ended.stderr


def less_vram(tmp_path, **more):
    """A configuration that allows 4 MiB of VRAM, of which the emulated GPU has 3."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"devices": "emulated", "emulated_vram": "3MiB", "budget": {"vram": "4MiB"}, **more}))
    return file


def test_less_vram_than_planned_is_refused_before_anything_is_loaded(tmp_path):
    ended = subprocess.run(
        [BUILD / "tandemd", "--no-calibrate", "--config", less_vram(tmp_path)]
        + ["--model", EMBEDDED, "--socket", tmp_path / "s", *SMALL],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "3,145,728 are free" in ended.stderr
    assert "less_vram" in ended.stderr
    assert "loading" not in ended.stderr


def test_less_vram_than_planned_is_planned_again_if_that_is_wanted(cpu_texts, tmp_path):
    config = less_vram(tmp_path, less_vram="replan")
    with Daemon(EMBEDDED, "--config", str(config), *SMALL) as daemon:
        assert texts(daemon) == cpu_texts
        plan = daemon.client.get("/v1/plan").json()["plan"]
        assert {stage["device"] for stage in plan["stages"]} == {"cpu", "emulated0"}
        assert plan["totals"]["vram_bytes"] <= 3 * 1024 * 1024
        assert "3,145,728 are free" in plan["reasons"][0]
        assert "planned again" in daemon.log.read_text()


def test_a_kept_plan_is_made_again_where_there_is_less_vram(cpu_texts, tmp_path):
    made = subprocess.run(
        [BUILD / "tandem", "plan", EMBEDDED, "--devices", "cpu,emulated", "--vram", "4MiB", "--context", "128"]
        + ["--sequences", "2", "--micro-batch", "16", "--json"],
        capture_output=True,
        check=True,
    )
    kept = tmp_path / "plan.json"
    kept.write_bytes(made.stdout)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"emulated_vram": "3MiB", "less_vram": "replan"}))
    with Daemon(EMBEDDED, "--config", str(config), "--plan", str(kept), "--threads", "2") as daemon:
        assert texts(daemon) == cpu_texts
        plan = daemon.client.get("/v1/plan").json()["plan"]
        # From how many rows on weights are streamed is the planner's to say, as nobody asked for a number.
        decided = {"stream_rows": plan["workload"]["stream_rows"]}
        assert plan["workload"] == json.loads(made.stdout)["workload"] | decided
        assert 0 < plan["totals"]["vram_bytes"] <= 3 * 1024 * 1024


def test_idle_means_idle_on_both(split):
    split.complete(prompt="warm", max_tokens=2)
    assert split.idle()
    time.sleep(0.5)
    assert split.idles()
