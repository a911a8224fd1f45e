"""What the kernel counts of the daemon's memory, against the plan: nothing large lives outside the arenas.

Sanitizers keep memory of their own, so their builds do not run this.
"""

import re
from pathlib import Path

from daemon import EMBEDDED, Daemon

MIB = 1024 * 1024
LOAD = ("--context", "1024", "--sequences", "3", "--micro-batch", "64", "--threads", "2")


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


def allocated_beside_the_file(lines):
    """Bytes of the arenas in this machine's RAM, where an emulated device has its memory too."""
    return sum(
        line["allocated_bytes"]
        for line in lines
        if line["device"] != "cpu" or line["purpose"] not in ("weights", "head")
    )


def serve(daemon):
    for seed in range(4):
        daemon.complete(prompt=[2] + [100 + seed] * 300, max_tokens=8, temperature=1.0, seed=seed, logprobs=3)
    assert daemon.idle()


def test_resident_memory_is_the_mapped_weights_the_ledger_and_little_else():
    with Daemon(EMBEDDED, "--devices", "cpu", *LOAD) as daemon:
        serve(daemon)
        mapped = resident_bytes(daemon, EMBEDDED)
        beside = resident_bytes(daemon) - mapped - allocated_beside_the_file(ledger(daemon))
        assert 0 < beside < 64 * MIB
