"""tandem devices: what the machine has, against what the kernel says of it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from daemon import BUILD, EMBEDDED, Daemon, eventually, tandem

# Instruction sets of the kernels, as /proc/cpuinfo names what each needs; the first that is there is used.
NEEDS = {
    "avx512-vnni": {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx2", "fma"},
    "avx-vnni": {"avx_vnni", "avx2", "fma"},
    "avx2": {"avx2", "fma"},
    "sse41": {"sse4_1"},
}


def devices(*command):
    done = subprocess.run([*command, BUILD / "tandem", "devices", "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def flags():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    pytest.skip("no flags of an x86 processor")


def test_the_kernels_are_the_best_that_the_processor_has():
    cpu = devices()["cpu"]
    sets = [cpu["kernels"], *cpu["other_kernels"]]
    expected = [name for name, needs in NEEDS.items() if needs <= flags()]
    assert [name for name in sets if name in NEEDS] == expected
    if "amx-int8" in sets:  # the kernel may refuse a process its tiles
        assert sets[0] == "amx-int8" and "amx_int8" in flags()


def test_cores_are_those_that_the_process_may_use():
    cpu = devices()["cpu"]
    assert cpu["hardware_threads"] == len(os.sched_getaffinity(0))
    assert 1 <= cpu["cores"] <= cpu["hardware_threads"]
    assert cpu["threads"] == cpu["cores"] == cpu["pinned_threads"]
    some = min(os.sched_getaffinity(0))
    cpu = devices("taskset", "-c", str(some))["cpu"]
    assert (cpu["hardware_threads"], cpu["cores"], cpu["threads"], cpu["pinned_threads"]) == (1, 1, 1, 1)


def test_gpus_are_listed_or_it_is_said_why_there_are_none():
    listed = devices()
    assert bool(listed["gpus"]) == (listed["no_gpu_because"] is None)
    in_words = tandem("devices").stdout
    for gpu in listed["gpus"]:
        assert gpu["name"] in in_words
    if not listed["gpus"]:
        assert listed["no_gpu_because"] in in_words


def test_the_daemon_says_what_it_computes_with():
    cpu = devices()["cpu"]
    threads = cpu["threads"]
    line = f" info cpu: {threads} of {threads} threads pinned to {cpu['cores']} cores"
    with Daemon(EMBEDDED) as daemon:
        assert eventually(lambda: line in daemon.log.read_text())
        assert f" info CPU kernels: {cpu['kernels']}\n" in daemon.log.read_text()


def test_kernels_that_are_asked_for_are_named(monkeypatch):
    chosen = devices()["cpu"]
    monkeypatch.setenv("TANDEM_KERNELS", chosen["other_kernels"][-1])
    asked = devices()["cpu"]
    assert asked["kernels"] == chosen["other_kernels"][-1]
    assert sorted([asked["kernels"], *asked["other_kernels"]]) == sorted([chosen["kernels"], *chosen["other_kernels"]])


def test_the_profile_is_the_one_that_plans_count_with(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert devices()["profile"] is None
    assert "none measured yet" in tandem("devices").stdout
    assert tandem("calibrate", "--quick").returncode == 0
    (kept,) = (tmp_path / "tandem").iterdir()
    assert devices()["profile"] == str(kept)
    assert str(kept) in tandem("devices").stdout
