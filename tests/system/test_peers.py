"""bench/peers.py with engines that only pretend: who is asked what, and what the tables make of the answers."""

import json
import subprocess
import sys

import pytest

from daemon import ROOT

# Rates by the number of the call: every {round} calls all are slower, alike.
TANDEM = """#!{python}
import json, sys, pathlib
def option(name): return sys.argv[sys.argv.index(name) + 1]
count = pathlib.Path(__file__ + ".calls"); calls = int(count.read_text()) if count.exists() else 0
count.write_text(str(calls + 1))
def spread(value): return {{"median": value / (1 + calls // {round}), "min": 0, "max": 0}}
print(json.dumps({{"load_s": 0.5, "resident_bytes": 2e9, "results": [
    {{"prompt_tok": int(tok), "prompt_tok_per_s": spread(300.0), "decode_tok_per_s": spread(22.0),
      "decode_gb_per_s": spread(33.0), "decode_share_of_memory": spread(0.75), "first_token_ms": spread(9.0)}}
    for tok in option("--prompt").split(",")]}}))
"""

# What the memory gives whoever asks: one figure a call, the last one from then on.
TANDEMD = """#!{python}
import json, sys, pathlib
assert sys.argv[1:] == ["--calibrate", "--memory", "--threads", "2"]
count = pathlib.Path(__file__ + ".calls"); calls = int(count.read_text()) if count.exists() else 0
count.write_text(str(calls + 1))
speeds = {speeds}
print(json.dumps({{"threads": 2, "cores": 2, "gb_per_s": speeds[min(calls, len(speeds) - 1)]}}))
"""

LLAMA_BENCH = """#!{python}
import json, sys, pathlib
def option(name, other=""): return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else other
if {fails}: sys.exit("error: unknown model architecture: 'gemma5'")
count = pathlib.Path(__file__ + ".calls"); calls = int(count.read_text()) if count.exists() else 0
count.write_text(str(calls + 1))
slower = 1 + calls // {round}
faster = 2 if option("-fa") == "on" else 1
tests = [{{"n_prompt": int(tok), "n_gen": 0, "n_depth": 0, "avg_ts": 50.0 * faster / slower}}
         for tok in option("-p").split(",") if int(tok)]
tests += [{{"n_prompt": 0, "n_gen": int(option("-n")), "n_depth": int(depth), "avg_ts": 10.0 * faster / slower}}
          for depth in option("-d").split(",") if depth and int(option("-n"))]
print(json.dumps(tests))
"""


@pytest.fixture
def engine(tmp_path):
    def write(name, source, **fields):
        path = tmp_path / name
        path.write_text(source.format(python=sys.executable, **fields))
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def tandem(engine):
    """A round of it: prompts, two contexts."""
    engine("tandemd", TANDEMD, speeds=[40])
    return engine("tandem", TANDEM, round=3)


def peers(tmp_path, *arguments, most_others=1000):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "peers.py", "--samples-file", tmp_path / "samples", "--threads", "2",
         "--most-others", str(most_others),
         *map(str, arguments), tmp_path / "model.gguf"],
        capture_output=True, text=True, check=False, timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()]


def test_ratios_are_of_one_round(tmp_path, engine, tandem):
    rows = peers(tmp_path, "--tandem", tandem, "--llama-bench", engine("llama-bench", LLAMA_BENCH, fails=False, round=6),
                 "--rounds", 2, "--prompts", "128", "--contexts", "0,64")
    cells = {row[2]: row[3:] for row in rows}
    # 300 and 150 beside 100 and 50: halved by whatever slowed both down, and the ratio does not see it.
    assert cells["prompt of 128 tok, tok/s"] == ["225 (150 to 300)", "75 (50 to 100) -fa on", "-", "3.00 (3.00 to 3.00)"]
    assert cells["decode at context 0, tok/s"][3] == "1.10 (1.10 to 1.10)"
    assert cells["decode at context 64, tok/s"][3] == "1.10 (1.10 to 1.10)"
    samples = [json.loads(line) for line in (tmp_path / "samples").read_text().splitlines()]
    names = ["Tandem", "llama.cpp, -fa on", "llama.cpp, -fa off"]
    assert [sample["engine"] for sample in samples] == [*names, *names[1:], names[0]]


def test_decoding_is_compared_by_what_the_memory_gave_too(tmp_path, engine):
    # Before and after Tandem, llama.cpp -fa on, -fa off; then on, off, Tandem.
    engine("tandemd", TANDEMD, speeds=[80, 80, 40, 44, 40, 40, 20, 30, 40, 40, 20, 20])
    rows = peers(tmp_path, "--tandem", engine("tandem", TANDEM, round=1), "--llama-bench",
                 engine("llama-bench", LLAMA_BENCH, fails=False, round=2), "--rounds", 2, "--prompts", "", "--contexts", "0")
    cells = {row[2]: row[3:] for row in rows}
    assert not any("memory before" in name or "memory after" in name for name in cells)
    # 22 tok/s at 80 GB/s and 11 at 20 beside 20 at 42; the second sample of -fa on saw 20 become 30 and does not count.
    assert cells["decode per GB/s of memory at context 0"] == [
        "0.413 (0.275 to 0.55)", "0.476 -fa on", "-", "0.87"]


def test_a_peer_that_fails_is_a_row(tmp_path, engine, tandem):
    rows = peers(tmp_path, "--tandem", tandem, "--ik-llama-bench", engine("llama-bench", LLAMA_BENCH, fails=True, round=2),
                 "--rounds", 1, "--prompts", "128", "--contexts", "")
    assert ["model", "2", "prompt of 128 tok, tok/s", "300", "-", "-", "-"] in rows
    assert [row[2:4] for row in rows[-2:]] == [
        [f"ik_llama.cpp, -rtr {repack} fails", "`error: unknown model architecture: 'gemma5'`"] for repack in (0, 1)
    ]


def test_disturbed_samples_are_left_out(tmp_path, engine):
    tandem = engine("tandem", TANDEM, round=1)
    peers(tmp_path, "--tandem", tandem, "--rounds", 3, "--prompts", "128", "--contexts", "")
    samples = [json.loads(line) for line in (tmp_path / "samples").read_text().splitlines()]
    assert all(sample["other_cores"] >= 0 for sample in samples)
    for sample, cores in zip(samples, (0.5, 0.31, 0.1)):
        sample["other_cores"] = cores
    (tmp_path / "samples").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    rows = peers(tmp_path, "--tandem", tandem, "--rounds", 0, most_others=0.3)
    assert [row[2:4] for row in rows[2:3]] == [["prompt of 128 tok, tok/s", "100"]]  # the third: 300, 150, 100
