"""tandem calibrate, the daemon's own calibration, and what plans make of it."""

import json
import os
import subprocess

import pytest

from daemon import BUILD, EMBEDDED, Daemon, tandem

RATES = ("ram_read_gb_per_s", "cpu_int8_tops", "cpu_float_tops", "cpu_unit_us", "cpu_stage_us", "cpu_threads")


class Measured:
    """What a daemon left behind that measured a machine which it did not know."""

    def __init__(self, folder, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        with Daemon(EMBEDDED, calibrate=True) as daemon:
            self.log = daemon.log.read_text()
            self.machine = daemon.client.get("/v1/plan").json()["plan"]["machine"]["name"]
        (kept,) = (folder / "tandem").iterdir()
        self.name = kept.name
        self.text = kept.read_text()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return Measured(tmp_path_factory.mktemp("first"), monkeypatch)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tandem"


def planned_machine(*arguments):
    done = tandem("plan", "catalogue:gemma4-12b-qat-q4_0", "--json", *arguments)
    assert done.returncode in (0, 2), done.stderr
    return json.loads(done.stdout)["machine"]["name"]


def test_the_daemon_measures_a_new_machine_once(measured, cache):
    assert "machine: never measured" in measured.log
    assert measured.machine == "this machine"
    cache.mkdir()
    kept = cache / measured.name
    kept.write_text(measured.text)
    with Daemon(EMBEDDED, calibrate=True) as second:
        log = second.log.read_text()
        assert f"as measured in {kept}" in log
        assert "never measured" not in log
    assert planned_machine() == "this machine"
    assert planned_machine("--machine", "default") == "default"
    assert planned_machine("--machine", kept) == "this machine"


def test_nothing_is_measured_unless_it_may_be(cache):
    with Daemon(EMBEDDED) as daemon:
        assert "machine:" not in daemon.log.read_text()
        assert daemon.client.get("/v1/plan").json()["plan"]["machine"]["name"] == "default"
    assert not cache.exists()
    assert planned_machine() == "default"


@pytest.mark.parametrize("flags", [(), ("--listen", "127.0.0.1:99999"), ("--listen", "0.0.0.0:0")])
def test_a_daemon_that_cannot_listen_measures_nothing(flags, cache, tmp_path):
    with Daemon(EMBEDDED) as first:
        socket = tmp_path / "other.sock" if flags else first.socket
        command = [BUILD / "tandemd", "--model", EMBEDDED, "--socket", socket, *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert first.client.get("/health").status_code == 200
    assert done.returncode == (1 if flags else 4)
    assert ("listen " if flags else "another process listens there") in done.stderr
    assert "machine:" not in done.stderr and not cache.exists()


def test_calibrate_prints_and_keeps_a_profile(cache, tmp_path):
    file = tmp_path / "mine.json"
    done = tandem("calibrate", "--quick", "--json", "--output", file)
    assert done.returncode == 0, done.stderr
    profile = json.loads(done.stdout)
    assert profile == json.loads(file.read_text())
    assert not cache.exists()
    assert profile["schema"] == "tandem.machine/1"
    for name in RATES:
        assert profile["rates"][name]["value"] >= 0
        assert profile["rates"][name]["source"]
    q4_0 = profile["block_types"]["cpu"]["Q4_0"]
    assert len(q4_0["read_gb_per_s"]) == 4
    assert min(q4_0["read_gb_per_s"]) > 0 and q4_0["tops"] > 0
    measured = profile["measured"]
    assert measured["fingerprint"]["cpus"] == len(os.sched_getaffinity(0))
    assert measured["read_by_threads"][-1]["threads"] == profile["rates"]["cpu_threads"]["value"]
    threads = measured["read_by_threads"][-1]["threads"]
    assert f"memory read by {threads} thread" in done.stderr  # needed however late it is
    assert planned_machine("--machine", file) == "this machine"


def test_what_was_measured_is_not_lost_where_it_cannot_be_kept(tmp_path):
    (tmp_path / "file").touch()
    done = tandem("calibrate", "--quick", "--output", tmp_path / "file" / "mine.json")
    assert done.returncode == 1
    assert "memory, 1 thread" in done.stdout
    assert "kept in" not in done.stdout
    assert str(tmp_path / "file" / "mine.json") in done.stderr


def test_a_device_is_measured_through_its_interface():
    command = [BUILD / "tandemd", "--calibrate", "--quick", "--devices", "emulated"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    profile = json.loads(done.stdout)
    for name in ("pcie_gb_per_s", "crossing_us"):
        assert profile["rates"][name]["source"].startswith("measured"), name
    assert profile["measured"]["to_gpu_gb_per_s"] > 0 and profile["measured"]["from_gpu_gb_per_s"] > 0
    assert "copies to the GPU" in done.stderr


def test_a_damaged_profile_is_an_error_in_words(measured, cache):
    profile = json.loads(measured.text)
    profile["rates"]["ram_read_gb_per_s"]["value"] = 0
    cache.mkdir()
    kept = cache / measured.name
    kept.write_text(json.dumps(profile))
    done = tandem("plan", "catalogue:gemma4-12b-qat-q4_0")
    assert done.returncode == 1
    assert str(kept) in done.stderr and "ram_read_gb_per_s" in done.stderr and "tandem calibrate" in done.stderr
