"""bench/gpu --run from beginning to end, on the emulated device with tiny models: on the day there is a GPU it must
not be the script that fails.
"""

import json
import os
import shutil
import subprocess
import tarfile

import pytest
from daemon import BUILD, ROOT

PROGRAMS = ("tandem", "tandemd", "tandem-make-model", "bench_gpu_kernels", "bench_gpu_steps")


@pytest.fixture
def bundle(tmp_path):
    """A bundle as --bundle lays it out, of the programs of this build, with one short test binary."""
    folder = tmp_path / "bundle"
    for part in ("bin", "tests", "data/tests/reference/data"):
        (folder / part).mkdir(parents=True)
    shutil.copy(ROOT / "bench/gpu", folder / "gpu")
    for program in PROGRAMS:
        (folder / "bin" / program).symlink_to(BUILD / program)
    (folder / "tests/gpu_test_cuda_graph_bits").symlink_to(BUILD / "tests/test_cuda_graph_bits")
    for model in ("gemma3_4l.gguf", "gemma4_4l.gguf"):
        shutil.copy(ROOT / "tests/reference/data" / model, folder / "data/tests/reference/data" / model)
    (folder / "data/config/embedded").mkdir(parents=True)
    shutil.copy(ROOT / "config/embedded/tandem-tiny-q4_0.gguf", folder / "data/config/embedded")
    (folder / "manifest.txt").write_text('commit: "none"\n')
    return folder


def run(bundle, *arguments):
    command = [bundle / "gpu", "--run", "--device", "emulated", "--tiny", "--results", bundle / "results"]
    environment = {**os.environ, "TMPDIR": str(bundle)}
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=bundle, env=environment)
    return done, json.loads((bundle / "results/results.json").read_text())


def steps_of(results):
    return {step["step"]: step for step in results["steps"]}


def test_every_step_runs_and_the_reports_say_so(bundle):
    done, results = run(bundle)
    assert done.returncode == 0, done.stderr
    assert results["finished"] is True and results["passed"] is True
    assert results["tiny"] is True and results["bundle"] == 'commit: "none"'
    steps = steps_of(results)
    left_out = {name for name, step in steps.items() if step["status"] == "left out"}
    assert left_out == {"few-multiprocessors", "sanitizer"}
    assert all(step["status"] == "passed" for name, step in steps.items() if name not in left_out)
    assert {"test-cuda_graph_bits-Fixtures-GraphBits", "model-gemma3-27b-qat-q4_0"} <= steps.keys()
    assert steps["test-cuda_graph_bits-Fixtures-GraphBits"]["why"] == "2 tests."
    assert steps["device"]["figures"]["driver_bytes"] > 0
    kernels = steps["kernels"]["figures"]
    assert {kernel["type"] for kernel in kernels["kernels"]} >= {"Q4_0", "Q6_K", "MXFP4", "F16"}
    assert all(len(kernel["gb_per_s"]) == 8 and min(kernel["gb_per_s"]) > 0 for kernel in kernels["kernels"])
    assert all(kernel["prompt_tops"] > 0 for kernel in kernels["kernels"])
    alone = steps["steps-12b-all"]["figures"]
    assert alone["bytes"]["ledger_balances"]
    # All of an arena is taken when it is made, but for what is set aside for recorded steps: of that, what they took.
    graphs = next(line for line in alone["bytes"]["ledger"] if line["purpose"] == "graphs" and line["device"] != "cpu")
    taken_bytes = alone["bytes"]["planned_allocations_bytes"] - graphs["planned_bytes"] + graphs["used_bytes"]
    assert alone["bytes"]["free_memory_shrank_by_bytes"] == taken_bytes == alone["bytes"]["allocated_bytes"]
    assert alone["bytes"]["driver_agrees"] and alone["bytes"]["allocations"] > 4
    assert alone["graphs"]["recorded"] == alone["graphs"]["wanted"] > 0
    recording = alone["graphs"]["largest_stage"]
    assert recording["recorded_ms"] > 0 and recording["kernel_by_kernel_ms"] > 0 and recording["bytes"] > 0
    assert alone["graphs"]["refused_bytes"] == 0
    # What the kernels of a prompt, those of a decode and the CPU make of the same tokens.
    assert alone["answer"]["same_one_by_one"] and alone["answer"]["unusable"] == 0
    assert alone["answer"]["off_from_cpu"] < 0.05
    driver = next(line for line in alone["bytes"]["ledger"] if line["purpose"] == "driver")
    assert driver["planned_bytes"] == driver["allocated_bytes"] == steps["device"]["figures"]["driver_bytes"]
    assert "split" not in alone
    split = steps["steps-27b-12GiB"]["figures"]
    assert 0 <= split["split"]["overlap_of_shorter"] <= 1
    assert split["trace_ms"]["device"] and split["trace_ms"]["cpu"]
    assert split["answer"]["same_one_by_one"]
    report = (bundle / "results/results.md").read_text()
    assert "has not come to its end" not in report
    assert "| decode, 1 sequence |" in report and "| kernels | passed |" in report
    assert "two sequences, of the overlap bound: " in report and "The daemon says the same as on the CPU: " in report
    assert not list(bundle.glob("tandem-gpu-*"))
    with tarfile.open(bundle / "results/steps.tar.gz") as logs:
        assert {"steps/device.md", "steps/kernels.log"} <= set(logs.getnames())
    assert {path.name for path in (bundle / "results").iterdir()} == {"results.json", "results.md", "steps.tar.gz"}


def test_a_step_that_fails_or_hangs_is_noted_and_the_others_run(bundle):
    broken = bundle / "tests/gpu_test_broken"
    broken.write_text(
        '#!/bin/bash\ncase "$*" in *list_tests*) printf "Hangs.\\n  a\\nBreaks.\\n  b\\n";;\n'
        '*Hangs*) sleep 1000;; *) echo "a \\"quoted\\" | text"; exit 3;; esac\n'
    )
    broken.chmod(0o755)
    unable = bundle / "tests/gpu_test_unable"
    unable.write_text("#!/bin/bash\necho 'a library is missing' >&2; exit 127\n")
    unable.chmod(0o755)
    script = bundle / "gpu"
    script.write_text(script.read_text().replace("test_limit=60", "test_limit=10"))
    done, results = run(bundle)
    assert done.returncode == 1
    steps = steps_of(results)
    assert results["finished"] is True and results["passed"] is False
    assert steps["test-broken-Hangs"]["status"] == "timed out"
    assert steps["test-broken-Breaks"]["status"] == "failed"
    assert 'a "quoted" | text' in steps["test-broken-Breaks"]["why"]
    assert steps["again-test-broken-Breaks"]["status"] == "failed" and "again-test-broken-Hangs" not in steps
    assert steps["test-unable"]["status"] == "failed" and "a library is missing" in steps["test-unable"]["why"]
    assert steps["kernels"]["status"] == "passed"


def replace_program(bundle, name, script):
    program = bundle / "bin" / name
    program.unlink()
    program.write_text("#!/bin/bash\n" + script)
    program.chmod(0o755)


def test_whatever_a_step_writes_the_results_can_be_read(bundle):
    replace_program(
        bundle,
        "bench_gpu_steps",
        'while [ $# -gt 1 ]; do [ "$1" = --json ] && echo "{\\"half\\": [1," >"$2.new"; shift; done\n'
        "head -c 3000000 /dev/urandom >&2; head -c 100000 /dev/zero; kill -9 $$\n",
    )
    replace_program(bundle, "tandem-make-model", "head -c 1000 /dev/urandom >\"${@: -1}\"; yes garbage | head -c 300000000\n")
    done, results = run(bundle, "--only", "model-gemma4.*|steps-12b-all")
    steps = steps_of(results)
    assert set(steps) == {"device", "model-gemma4-12b-qat-q4_0", "steps-12b-all"}
    assert steps["steps-12b-all"]["status"] == "failed" and "exit 137" in steps["steps-12b-all"]["why"]
    assert steps["steps-12b-all"]["figures"] is None
    assert (bundle / "results/steps.tar.gz").stat().st_size < 3_000_000
    assert (bundle / "results/results.md").stat().st_size < 300_000


def test_one_step_alone(bundle):
    done, results = run(bundle, "--only", "test-cuda_graph_bits-.*")
    assert done.returncode == 0 and set(steps_of(results)) == {"device", "test-cuda_graph_bits-Fixtures-GraphBits"}


def test_another_engine_on_the_same_models(bundle):
    peer = bundle / "llama-bench"
    peer.write_text("#!/bin/bash\nprintf '| another | %s |\\n' \"$*\"\n")
    peer.chmod(0o755)
    done, results = run(bundle, "--only", "model-.*|peer-.*", "--peer", peer)
    assert done.returncode == 0
    assert {"peer-12b-all", "peer-27b-all", "peer-27b-12GiB"} <= steps_of(results).keys()
    report = (bundle / "results/results.md").read_text()
    assert "| another | -m " in report and " -ngl 99 " in report
    done = subprocess.run([bundle / "gpu", "--run", "--peer", bundle / "no-such"], capture_output=True, text=True)
    assert done.returncode == 2 and "--peer wants a program" in done.stderr


def test_a_daemon_that_does_not_answer_is_a_failure(bundle):
    replace_program(bundle, "tandemd", 'echo "no such device" >&2; exit 1\n')
    done, results = run(bundle, "--only", "daemon")
    assert done.returncode == 1
    assert steps_of(results)["daemon"]["status"] == "failed" and "does not answer" in steps_of(results)["daemon"]["why"]


def test_steps_that_there_is_no_time_for_are_a_failure(bundle):
    done, results = run(bundle, "--limit", "5")
    assert {step["status"] for step in results["steps"]} == {"not reached"}
    assert done.returncode == 1


def test_what_lies_in_the_work_folder_stays(bundle, tmp_path):
    work = tmp_path / "work"
    (work / "steps").mkdir(parents=True)
    mine = {work / "mine.gguf", work / "steps/mine.log"}
    for file in mine:
        file.touch()
    run(bundle, "--limit", "5", "--work", work)
    assert {path for path in work.rglob("*") if path.is_file()} == mine


def test_without_a_device_it_says_so_and_ends(bundle):
    replace_program(bundle, "bench_gpu_kernels", 'echo "GPU 0: there is no NVIDIA driver" >&2; exit 1\n')
    done, results = run(bundle)
    assert done.returncode == 1
    assert [step["step"] for step in results["steps"]] == ["device"]
    assert "there is no NVIDIA driver" in results["steps"][0]["why"] and "there is no NVIDIA driver" in done.stderr


def test_tests_leave_half_of_the_time_to_all_else(bundle):
    for name in ("a", "b"):
        slow = bundle / "tests" / f"gpu_test_{name}"
        slow.write_text('#!/bin/bash\ncase "$*" in *list_tests*) echo "Slow.";; *) sleep 1000;; esac\n')
        slow.chmod(0o755)
    script = bundle / "gpu"
    script.write_text(script.read_text().replace("test_limit=60", "test_limit=15"))
    _, results = run(bundle, "--limit", "30")
    steps = steps_of(results)
    assert steps["test-a-Slow"]["status"] == "timed out" and steps["test-b-Slow"]["status"] == "not reached"
    assert steps["kernels"]["status"] == "passed"


def test_what_is_known_is_there_whenever_it_is_killed(bundle):
    kill_the_script = 'kill -9 "$(sed -n "s/^PPid:\\t//p" /proc/$PPID/status)"'
    replace_program(bundle, "bench_gpu_kernels", f'case "$*" in *--describe*) ;; *) {kill_the_script};; esac\n')
    done, results = run(bundle)
    assert done.returncode == -9
    assert steps_of(results)["test-cuda_graph_bits-Fixtures-GraphBits"]["status"] == "passed"
    assert results["finished"] is False and results["passed"] is False
    assert "has not come to its end" in (bundle / "results/results.md").read_text()


@pytest.mark.parametrize("arguments", [(), ("--run", "--device", "abacus"), ("--bundle", "--arch", "hopper"), ("--frobnicate",)])
def test_what_it_does_not_understand_is_refused(arguments):
    done = subprocess.run([ROOT / "bench/gpu", *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("bench/gpu: ")


def test_a_bundle_is_not_begun_where_a_tool_is_missing(tmp_path):
    for tool in ("bash", "dirname", "nproc"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = subprocess.run([ROOT / "bench/gpu", "--bundle"], capture_output=True, text=True, env={"PATH": str(tmp_path)})
    assert done.returncode == 2 and done.stderr == "bench/gpu: a bundle takes cmake, which is not here\n"
