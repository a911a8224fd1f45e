"""The daemon as a service: it allocates what it planned, guards its socket, and ends cleanly."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from daemon import BUILD, PATIENCE, REFERENCE, Daemon, eventually, tandem

MODEL = REFERENCE / "gemma4_8l.gguf"


def tandemd(*flags, timeout_s=20):
    """Runs tandemd with flags that make it end by itself."""
    return subprocess.run(
        [BUILD / "tandemd", "--no-calibrate", *map(str, flags)], capture_output=True, text=True, timeout=timeout_s, check=False
    )


def ledger(daemon):
    return daemon.client.get("/v1/plan").json()


def test_allocates_what_it_planned():
    with Daemon(MODEL, "--context", "512", "--sequences", "3") as daemon:
        answer = ledger(daemon)
        plan = answer["plan"]
        assert plan["schema"] == "tandem.plan/1"
        planned = {(a["device"], a["purpose"]): a["bytes"] for a in plan["arenas"]}
        actual = {(a["device"], a["purpose"]): a["allocated_bytes"] for a in answer["ledger"]}
        assert planned == actual
        assert sum(planned.values()) == plan["totals"]["ram_bytes"] + plan["totals"]["vram_bytes"]


def test_executes_a_plan_file_as_it_is(tmp_path):
    made = tandem("plan", MODEL, "--devices", "cpu", "--context", "300", "--sequences", "2", "--json")
    assert made.returncode == 0, made.stderr
    plan_file = tmp_path / "plan.json"
    plan_file.write_text(made.stdout)
    with Daemon(MODEL, "--plan", str(plan_file)) as daemon:
        assert ledger(daemon)["plan"] == json.loads(made.stdout)


def test_the_plan_command_shows_what_the_daemon_executes():
    with Daemon(MODEL, "--context", "512", "--sequences", "3") as daemon:
        shown = tandem("plan", "--socket", daemon.socket, "--json")
        assert shown.returncode == 0, shown.stderr
        assert json.loads(shown.stdout) == ledger(daemon)
        table = tandem("plan", "--socket", daemon.socket)
        assert table.returncode == 0, table.stderr
        assert "3 sequences of 512 tokens" in table.stdout
        assert f"{ledger(daemon)['plan']['totals']['ram_bytes']:,}" in table.stdout


def test_what_no_gpu_can_run_stays_on_the_cpu(tmp_path):
    """Heads of 24 elements, which the CUDA backend refuses once all is loaded, and RAM for few units."""
    shape, model, plan_file = tmp_path / "odd.json", tmp_path / "odd.gguf", tmp_path / "plan.json"
    shape.write_text(json.dumps({
        "family": "gemma4", "layers": 4, "width": 64, "ffn_width": 128, "heads": 4, "kv_heads_sliding": 2,
        "kv_heads_global": 2, "head_dim_sliding": 24, "head_dim_global": 64, "window": 64, "global_period": 2,
        "context_length": 1024, "vocab": 600
    }))
    subprocess.run([BUILD / "tandem-make-model", "--shape", shape, "--type", "F16", model], check=True, timeout=60)
    flags = ("--context", "300", "--sequences", "1", "--micro-batch", "64")
    made = tandem("plan", model, "--devices", "emulated", "--ram", "700KB", "--machine", "default", "--json", *flags)
    assert made.returncode == 0, made.stderr
    plan = json.loads(made.stdout)
    attention = [layer["attention_device"] for layer in plan["layers"]]
    assert attention[0] == attention[2] == "cpu" and "emulated0" in attention
    rule = "blk.0.attn_q.weight has heads of 24 elements, not a multiple of 16"
    assert "no GPU can run 2 of 4 attention halves: " + rule in plan["reasons"]
    plan_file.write_text(made.stdout)
    request = {"prompt": list(range(3, 40)), "max_tokens": 8, "temperature": 0}
    with Daemon(model, "--plan", str(plan_file)) as daemon, Daemon(model, "--devices", "cpu", *flags) as on_cpu:
        assert ledger(daemon)["plan"] == plan
        texts = [each.complete(**request)["choices"][0]["text"] for each in (daemon, on_cpu)]
        assert texts[0] and texts[0] == texts[1]


@pytest.mark.parametrize("flag", ["--vram", "--ram", "--context", "--sequences", "--kv-type"])
def test_a_plan_excludes_what_it_fixes(tmp_path, flag):
    value = "f16" if flag == "--kv-type" else "4"
    ended = tandemd("--model", MODEL, "--plan", tmp_path / "plan.json", flag, value)
    assert ended.returncode == 1
    assert "plan" in ended.stderr


def test_refuses_a_plan_of_another_model(tmp_path):
    made = tandem("plan", REFERENCE / "gemma3_4l.gguf", "--devices", "cpu", "--json")
    plan_file = tmp_path / "plan.json"
    plan_file.write_text(made.stdout)
    ended = tandemd("--model", MODEL, "--plan", plan_file, "--socket", tmp_path / "s")
    assert ended.returncode != 0
    assert "plan" in ended.stderr


def test_kv_at_32k_is_kv_at_4k_plus_the_global_layers():
    def plan(context):
        return json.loads(tandem("plan", MODEL, "--devices", "cpu", "--context", context, "--json").stdout)

    short, long = plan(4096), plan(32768)
    for before, after in zip(short["layers"], long["layers"]):
        if before["kind"] == "sliding":
            assert after["kv_bytes"] == before["kv_bytes"]
        else:
            assert after["kv_bytes"] == 8 * before["kv_bytes"]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_socket_is_private_and_goes_with_the_daemon(end):
    with Daemon(MODEL) as daemon:
        assert stat.S_IMODE(os.stat(daemon.socket).st_mode) == 0o600
        daemon.process.send_signal(end)
        assert daemon.process.wait(20) == 0
        assert not daemon.socket.exists()


def test_a_closed_terminal_ends_no_daemon_that_was_told_to_ignore_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Daemon(MODEL) as daemon:
            daemon.process.send_signal(signal.SIGHUP)
            assert daemon.complete(prompt="hello", max_tokens=3)["choices"]
            assert daemon.process.poll() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stopped_daemon_is_told_from_a_busy_one():
    with Daemon(MODEL) as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        silent = tandem("ps", "--socket", daemon.socket)
        stopped = tandem("stop", "--timeout", "0", "--socket", daemon.socket)
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.process.wait(60 * PATIENCE) == 0  # what was asked of it while it was stopped
    assert silent.returncode == 4
    assert f"the daemon (pid {daemon.process.pid}) has not answered for 10000 ms; it may be stopped" in silent.stderr
    assert stopped.returncode == 5
    assert f"process {daemon.process.pid} is stopped" in stopped.stderr


def test_a_stale_socket_is_replaced_and_a_live_one_refused():
    with Daemon(MODEL) as first:
        second = tandemd("--model", MODEL, "--socket", first.socket)
        assert second.returncode != 0
        assert str(first.socket) in second.stderr
        assert first.client.get("/health").status_code == 200
        first.process.kill()
        first.process.wait()
        assert first.socket.exists()
        with Daemon(MODEL) as other:
            pass  # an ordinary start, to know that the next one is about the stale file
        again = subprocess.Popen([BUILD / "tandemd", "--no-calibrate", "--model", MODEL, "--socket", first.socket])
        try:
            waited = tandem("wait", "--timeout", "20", "--socket", first.socket)
            assert waited.returncode == 0, waited.stderr
        finally:
            again.terminate()
            assert again.wait(20) == 0
        assert other.process.returncode == 0


def test_another_kind_of_file_is_never_replaced(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    ended = tandemd("--model", MODEL, "--socket", path)
    assert ended.returncode != 0
    assert path.read_text() == "data"


def test_a_path_too_long_is_refused_with_its_length(tmp_path):
    path = "/tmp/" + "x" * 103
    ended = tandemd("--model", MODEL, "--socket", path)
    assert ended.returncode != 0
    assert "108" in ended.stderr and "107" in ended.stderr


def test_an_unknown_key_is_an_error_that_names_the_nearest(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"workload": {"contxt": 100}} // a comment')
    ended = tandemd("--config", config)
    assert ended.returncode == 1
    assert "workload.contxt" in ended.stderr and "workload.context" in ended.stderr


def test_flags_override_the_file(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model": str(MODEL), "workload": {"context": 100, "sequences": 2}}))
    with Daemon(None, "--config", str(config), "--context", "200") as daemon:
        workload = ledger(daemon)["plan"]["workload"]
        assert workload["max_seq_len"] == 200
        assert workload["sequences"] == 2


def test_a_missing_or_broken_model_is_one_clear_line(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(MODEL.read_bytes()[:5000])
    folder = tmp_path / "folder.gguf"
    folder.mkdir()
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    for model, code in ((tmp_path / "absent.gguf", 1), (folder, 1), (pipe, 1), (broken, 3)):
        assert tandem("plan", model).returncode == code
        ended = tandemd("--model", model, "--socket", tmp_path / "s")
        assert ended.returncode == code
        assert model.name in ended.stderr


def test_a_signal_ends_a_start_that_takes_long(tmp_path):
    plan = tmp_path / "plan.json"
    os.mkfifo(plan)
    writer = os.open(plan, os.O_RDWR)  # which never writes
    command = [BUILD / "tandemd", "--model", MODEL, "--plan", plan, "--socket", tmp_path / "s", "--no-calibrate"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            status = Path(f"/proc/{process.pid}/status")

            def takes_signals_itself():
                blocked = int(re.search(r"SigBlk:\s*(\w+)", status.read_text()).group(1), 16)
                return blocked >> (signal.SIGTERM - 1) & 1

            assert eventually(takes_signals_itself)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60 * PATIENCE) == 0
            assert "stopped before it listened" in process.stderr.read()
        finally:
            process.kill()


def test_a_plan_that_cannot_be_read_is_told(tmp_path):
    ended = tandemd("--model", MODEL, "--plan", tmp_path, "--socket", tmp_path / "s")
    assert ended.returncode == 1
    assert "Is a directory" in ended.stderr


def test_a_budget_too_small_says_by_how_much(tmp_path):
    ended = tandemd("--model", MODEL, "--ram", "1MiB", "--socket", tmp_path / "s")
    assert ended.returncode == 2
    assert "bytes" in ended.stderr


def test_sigterm_lets_running_requests_finish():
    with Daemon(MODEL, "--context", "2048") as daemon:
        answers = []

        def ask():
            with daemon.new_client() as client:
                body = {"model": "x", "prompt": [9, 8, 7], "max_tokens": 300, "temperature": 1.0, "seed": 5}
                answers.append(client.post("/v1/completions", json=body))

        asking = threading.Thread(target=ask)
        asking.start()
        while not daemon.client.get("/v1/requests").json()["data"] and asking.is_alive():
            time.sleep(0.001)
        daemon.process.send_signal(signal.SIGTERM)
        asking.join()
        assert answers[0].status_code == 200
        assert answers[0].json()["choices"][0]["finish_reason"] in ("stop", "length")
        assert daemon.process.wait(20) == 0


def test_the_end_by_a_file_that_was_cut_short_is_explained(tmp_path):
    model = tmp_path / "model.gguf"
    shutil.copy(MODEL, model)
    with Daemon(model, "--cpu-weights", "mapped") as daemon:
        os.truncate(model, 4096)
        with pytest.raises(httpx.TransportError):
            daemon.complete(prompt="hello", max_tokens=3)
        assert daemon.process.wait(20) == -signal.SIGBUS
        assert "was cut short" in daemon.log.read_text()


def test_delete_cancels_a_request():
    with Daemon(MODEL, "--context", "8192") as daemon:
        # Greedily, this model repeats itself for ever.
        body = {"model": "x", "prompt": "hello", "max_tokens": 8000, "temperature": 0, "stream": True}
        with daemon.new_client().stream("POST", "/v1/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            ids = [request["id"] for request in daemon.client.get("/v1/requests").json()["data"]]
            assert len(ids) == 1
            assert daemon.client.delete(f"/v1/requests/{ids[0]}").status_code == 200
            rest = [line for line in lines if line.startswith("data: {")]
        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "request_cancelled"
        assert daemon.idle()
        assert daemon.client.delete(f"/v1/requests/{ids[0]}").status_code == 404


def test_any_host_header_is_accepted_and_garbage_is_not():
    with Daemon(MODEL) as daemon:
        assert daemon.client.get("/health", headers={"Host": "evil.example"}).status_code == 200
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(str(daemon.socket))
        raw.sendall(b"\x00\x01 nonsense\r\n\r\n")
        assert b"400" in raw.recv(4096).split(b"\r\n")[0]
        raw.close()
        assert daemon.client.get("/health").status_code == 200


def test_idle_means_idle():
    with Daemon(MODEL) as daemon:
        before = daemon.processor_s()
        daemon.complete(prompt="warm", max_tokens=4)
        assert daemon.processor_s() > before
        time.sleep(0.5)
        assert daemon.idles()


@contextlib.contextmanager
def busy_processors():
    """Something else to do for every processor."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_cancel_takes_one_micro_batch_with_all_cores_busy(tmp_path):
    """A prompt of 24 micro-batches, each of them long beside what an answer over the socket takes."""
    shape, model = tmp_path / "wide.json", tmp_path / "wide.gguf"
    shape.write_text(json.dumps({
        "family": "gemma4", "layers": 6, "width": 1024, "ffn_width": 4096, "heads": 8, "kv_heads_sliding": 4,
        "kv_heads_global": 1, "head_dim_sliding": 64, "head_dim_global": 64, "window": 256, "global_period": 3,
        "context_length": 8192, "vocab": 600
    }))
    subprocess.run([BUILD / "tandem-make-model", "--shape", shape, "--type", "Q4_0", model], check=True, timeout=60)
    rows, chunks = 256, 24
    steps = 'tandem_steps_total{phase="prompt"}'
    flags = ("--context", "8192", "--micro-batch", str(rows), "--sequences", "1")
    with Daemon(model, *flags) as daemon, daemon.new_client() as asking, busy_processors():
        body = {"model": "x", "prompt": [5 + i % 500 for i in range(rows * chunks)], "max_tokens": 4, "stream": True}
        with asking.stream("POST", "/v1/completions", json=body) as answer:
            lines = answer.iter_lines()  # kept: its end would close the stream
            assert eventually(lambda: daemon.metric(steps) >= 1, 60 * PATIENCE)
            (request,) = daemon.client.get("/v1/requests").json()["data"]
            before = daemon.metric(steps)
            assert daemon.client.delete(f"/v1/requests/{request['id']}").json()["cancelled"]
            told = [line for line in lines if line.startswith("data: {")]
        assert json.loads(told[-1].removeprefix("data: "))["error"]["code"] == "request_cancelled"
        assert daemon.idle()
        # The one under way when it was cancelled, and one that may have ended between the look and that.
        assert daemon.metric(steps) - before <= 2
