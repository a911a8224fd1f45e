"""A model of the real size: Gemma 4 12B's shape in Q4_0, 7 GB, four clients at once."""

import subprocess
import tempfile
import threading
from pathlib import Path

from daemon import BUILD, Daemon

SHAPE = "gemma4-12b-qat-q4_0"
TENSOR_BYTES = 6_960_054_464


def test_four_clients_are_served_and_memory_is_as_planned():
    with tempfile.TemporaryDirectory(prefix="tandem-12b-") as directory:
        model = Path(directory) / "12b.gguf"
        subprocess.run([BUILD / "tandem-make-model", "--model", SHAPE, model], check=True, timeout=600)
        with Daemon(model, "--context", "4096", "--sequences", "4", "--devices", "cpu", ready_s=600) as daemon:
            answers = [None] * 4

            def ask(number):
                with daemon.new_client(timeout_s=1200) as client:
                    body = {"model": "x", "prompt": [2, 100 + number, 200, 300], "max_tokens": 6, "seed": number}
                    answers[number] = client.post("/v1/completions", json=body)

            def serve_four_clients():
                threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                for answer in answers:
                    assert answer.status_code == 200
                    assert answer.json()["usage"]["completion_tokens"] >= 1
                assert daemon.idle()
                return daemon.rss_bytes(), daemon.descriptors()

            serve_four_clients()
            first_rss_bytes, first_descriptors = serve_four_clients()
            last_rss_bytes, last_descriptors = serve_four_clients()
            assert last_descriptors == first_descriptors
            assert last_rss_bytes <= first_rss_bytes + (1 << 20)
            plan = daemon.client.get("/v1/plan").json()["plan"]
            assert plan["model"]["tensor_bytes"] == TENSOR_BYTES
            allocated = sum(line["allocated_bytes"] for line in daemon.client.get("/v1/plan").json()["ledger"])
            assert allocated > TENSOR_BYTES
            assert last_rss_bytes - allocated < 64 << 20
