"""What whoever runs the daemon as a service may meet: the journal, full disks, limits of the shell."""

import contextlib
import re
import socket as sockets
import subprocess

import pytest

from daemon import BUILD, EMBEDDED, PATIENCE, REFERENCE, Daemon, tandem

MODEL = REFERENCE / "gemma4_8l.gguf"


def lines_of(daemon):
    """The log of a daemon that has answered once and ended."""
    with daemon:
        assert daemon.complete(prompt="hello", max_tokens=2)["choices"]
        daemon.process.terminate()
        assert daemon.process.wait(20) == 0
        return daemon.log.read_text().splitlines()


def stream_of(path):
    """What systemd puts into JOURNAL_STREAM where it reads this file."""
    path.touch()
    return f"{path.stat().st_dev}:{path.stat().st_ino}"


def test_the_journal_gets_levels_and_no_times(monkeypatch):
    daemon = Daemon(MODEL, "--log-level", "debug")
    monkeypatch.setenv("JOURNAL_STREAM", stream_of(daemon.log))
    lines = lines_of(daemon)
    assert all(re.match(r"<[467]>(?!\d{4}-)\S", line) for line in lines), lines
    assert "<6>ready" in lines
    assert any(line.startswith("<7>") and "/v1/completions" in line for line in lines)


def test_another_stream_than_the_journals_gets_times(monkeypatch, tmp_path):
    monkeypatch.setenv("JOURNAL_STREAM", stream_of(tmp_path / "other"))
    lines = lines_of(Daemon(MODEL))
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} (info|warning) ", line) for line in lines), lines


def test_the_journal_learns_why_a_daemon_did_not_start(monkeypatch, tmp_path):
    log = tmp_path / "log"
    monkeypatch.setenv("JOURNAL_STREAM", stream_of(log))
    with log.open("w") as stderr:
        ended = subprocess.run([BUILD / "tandemd", "--model", tmp_path / "none.gguf"], stderr=stderr, timeout=20, check=False)
    assert ended.returncode == 1
    assert log.read_text() == f"<3>tandemd: {tmp_path}/none.gguf: cannot open: No such file or directory\n"


def test_a_model_that_cannot_be_reached_is_told_like_one_that_is_not_there(tmp_path):
    model = tmp_path / "model.gguf"
    model.symlink_to(model)
    ended = subprocess.run([BUILD / "tandemd", "--model", model], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"tandemd: {model}: cannot open: Too many levels of symbolic links\n"


def test_tokens_are_counted_in_k_as_plans_count_them(tmp_path):
    with Daemon(MODEL, "--context", "1k") as daemon:
        assert daemon.client.get("/v1/models").json()["data"][0]["max_model_len"] == 1024
    for wrong, told in (("8q", "--context"), ("k", "--context"), ("", "--context"), ("-1", "workload.context cannot be -1")):
        command = [BUILD / "tandemd", "--model", MODEL, "--context", wrong]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert ended.returncode == 1 and told in ended.stderr


@pytest.mark.parametrize("address", ["path", "abstract"])
def test_a_service_manager_is_told_when_it_serves_and_when_it_ends(address, monkeypatch, tmp_path):
    name = str(tmp_path / "notify") if address == "path" else f"@tandem-test-{tmp_path}"
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1))
        manager.settimeout(20 * PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        with Daemon(MODEL) as daemon:
            told = [manager.recv(4096).decode()]
            while not told[-1].startswith("READY=1"):
                told.append(manager.recv(4096).decode())
            daemon.process.terminate()
            assert daemon.process.wait(20 * PATIENCE) == 0
        assert all(line.startswith("STATUS=loading: ") for line in told[:-1])
        assert told[-1] == f"READY=1\nSTATUS=serving {MODEL.stem}"
        assert manager.recv(4096).decode().startswith("STOPPING=1\n")


def test_it_serves_where_the_service_manager_is_gone(monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    with Daemon(MODEL) as daemon:
        assert daemon.complete(prompt="hello", max_tokens=2)["choices"]


@contextlib.contextmanager
def limited(limit, folder, log):
    """A tandemd under a limit of the shell's; the path of its socket."""
    socket = folder / "tandem.sock"
    command = f'ulimit {limit}; exec "$0" "$@"'
    flags = ["--no-calibrate", "--model", MODEL, "--socket", socket]
    with log.open("wb") as stderr:
        process = subprocess.Popen(["sh", "-c", command, BUILD / "tandemd", *flags], stderr=stderr)
    try:
        waited = tandem("wait", "--timeout", "20", "--socket", socket)
        assert waited.returncode == 0, waited.stderr
        yield socket
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("limit", ["-s 256", "-f 0", "-n 16", "-l 0", "-c 0"])
def test_it_serves_under_limits_of_the_shell(limit, tmp_path):
    if limit.startswith("-s") and PATIENCE > 1:
        pytest.skip("sanitizers take more of the first thread's stack")
    with limited(limit, tmp_path, tmp_path / "log") as socket:
        ran = tandem("run", "--max-tokens", "4", "--socket", socket, "hello")
        assert ran.returncode == 0, ran.stderr


def connect(socket):
    client = sockets.socket(sockets.AF_UNIX)
    client.settimeout(20 * PATIENCE)
    client.connect(str(socket))
    return client


def is_answered(client):
    client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    return client.recv(64).startswith(b"HTTP/1.1 200")


def test_it_takes_as_many_descriptors_as_clients_need(tmp_path):
    log = tmp_path / "log"
    with limited("-S -n 64", tmp_path, log) as socket:
        clients = [connect(socket) for _ in range(100)]
        assert all(is_answered(client) for client in clients)
        for client in clients:
            client.close()
    assert "descriptors" not in log.read_text()


def test_it_warns_where_clients_need_more_descriptors_than_there_may_be(tmp_path):
    log = tmp_path / "log"
    with limited("-n 64", tmp_path, log) as socket:
        assert is_answered(connect(socket))
    assert re.search(r" warning limits\.connections: 256 need \d+ descriptors, and this process may have 64: ", log.read_text())


def test_what_a_plan_warns_of_is_a_warning(tmp_path):
    with Daemon(EMBEDDED, "--context", "4k") as daemon:
        log = daemon.log.read_text()
    assert re.search(r" warning plan: the context of 4,096 is beyond the 2,048 tokens the model was trained for\n", log)


def test_it_serves_where_the_log_cannot_be_written(tmp_path):
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with limited("-c 0", tmp_path, full) as socket:
        assert tandem("run", "--max-tokens", "4", "--socket", socket, "hello").returncode == 0


@pytest.mark.parametrize("flags", [["--help"], ["--version"], ["--manual", "tandemd"], ["--completions", "bash"]])
def test_what_cannot_be_printed_is_told(flags):
    with open("/dev/full", "w") as full:
        ended = subprocess.run([BUILD / "tandemd", *flags], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert ended.returncode == 4
    assert "could not be written" in ended.stderr
