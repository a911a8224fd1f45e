"""A tandemd of one's own for a test: private socket, real binary, real HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("TANDEM_BINARY_DIR", ROOT / "build"))
REFERENCE = ROOT / "tests" / "reference" / "data"
PATIENCE = float(os.environ.get("TANDEM_PATIENCE", 1))  # builds with sanitizers are slow
EMBEDDED = ROOT / "config" / "embedded" / "tandem-tiny-q4_0.gguf"


class Daemon:
    """Context manager: a running daemon, ready to serve when entered, stopped by SIGTERM when left."""

    def __init__(self, model: Path | None, *flags: str, ready_s: float = 60 * PATIENCE, calibrate: bool = False):
        self.model = model
        self.flags = flags if calibrate else ("--no-calibrate", *flags)
        self.ready_s = ready_s
        self._directory = tempfile.TemporaryDirectory(prefix="tandem-test-")
        self.directory = Path(self._directory.name)
        self.socket = self.directory / "tandem.sock"
        self.log = self.directory / "tandemd.log"

    def __enter__(self) -> Daemon:
        model = ["--model", str(self.model)] if self.model else []
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [BUILD / "tandemd", *model, "--socket", str(self.socket), *self.flags], stdout=log, stderr=log
            )
        self.client = self.new_client()
        deadline = time.monotonic() + self.ready_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"tandemd ended with {self.process.returncode}:\n{self.log.read_text()}")
            try:
                if self.client.get("/health").json()["status"] == "ok":
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        self.process.kill()
        raise RuntimeError(f"tandemd was not ready after {self.ready_s} s:\n{self.log.read_text()}")

    def __exit__(self, *_) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        self._directory.cleanup()

    def tcp_url(self) -> str:
        """Where the log says that it listens; only with --listen."""
        return re.search(r"listening on (http://\S+)", self.log.read_text()).group(1)

    def new_client(self, timeout_s: float = 120.0) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.socket))
        return httpx.Client(transport=transport, base_url="http://localhost", timeout=timeout_s)

    def complete(self, **body) -> dict:
        response = self.client.post("/v1/completions", json={"model": "any", **body})
        response.raise_for_status()
        return response.json()

    def idle(self) -> bool:
        """True once nothing is queued or running."""
        return eventually(lambda: not self.client.get("/v1/requests").json()["data"])

    def metric(self, name: str) -> float:
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        raise KeyError(name)

    def processor_s(self) -> float:
        """Time that its threads were on a processor, in user and kernel, to the nanosecond."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def idles(self, for_s: float = 5.0) -> bool:
        """True if it takes at most a thousandth of one processor meanwhile: 60 ms in 60 s."""
        before = self.processor_s()
        time.sleep(for_s)
        return self.processor_s() - before <= for_s / 1000

    def rss_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def eventually(holds, within_s: float = 10.0) -> bool:
    """True as soon as `holds()` is."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.01)
    return False


def tandem(*arguments: str | Path, **options) -> subprocess.CompletedProcess:
    """Runs build/tandem and returns what it printed."""
    return subprocess.run(
        [BUILD / "tandem", *map(str, arguments)], capture_output=True, text=True, timeout=120 * PATIENCE, check=False, **options
    )
