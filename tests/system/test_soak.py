"""Hundreds of requests, many of them abandoned: nothing leaks and nobody is harmed."""

import random
import threading

import pytest

from daemon import REFERENCE, Daemon, eventually

REQUESTS = 200
CLIENTS = 8


def abandon_at_random(daemon, seed, failures):
    rng = random.Random(seed)
    with daemon.new_client() as client:
        for _ in range(REQUESTS // CLIENTS):
            prompt = [rng.randrange(5, 380) for _ in range(rng.choice([1, 3, 20, 150]))]
            body = {"model": "x", "prompt": prompt, "max_tokens": rng.randrange(1, 60), "seed": rng.randrange(1000)}
            try:
                if rng.random() < 0.5:
                    with client.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
                        leave_after = rng.randrange(0, 20)
                        for number, _ in enumerate(response.iter_lines()):
                            if number >= leave_after:
                                break  # closes the connection in the middle of the answer
                else:
                    answer = client.post("/v1/completions", json=body)
                    if answer.status_code != 200:
                        failures.append(answer.text)
            except Exception as error:  # noqa: BLE001 - every one is a failure of the test
                failures.append(repr(error))


@pytest.mark.parametrize("model", ["gemma3_7l", "gemma4_8l"])
def test_two_hundred_requests_with_cancels(model):
    with Daemon(REFERENCE / f"{model}.gguf", "--context", "512", "--sequences", "4") as daemon:
        reference = daemon.complete(prompt=[5, 6, 7], max_tokens=30, seed=1)["choices"][0]["text"]

        def round_of_clients(seed):
            failures = []
            threads = [
                threading.Thread(target=abandon_at_random, args=(daemon, seed + i, failures)) for i in range(CLIENTS)
            ]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                # the same request amid the crowd has the same answer
                assert daemon.complete(prompt=[5, 6, 7], max_tokens=30, seed=1)["choices"][0]["text"] == reference
            for thread in threads:
                thread.join()
            assert failures == []
            assert daemon.idle()

        round_of_clients(1)
        rss_bytes, descriptors = daemon.rss_bytes(), daemon.descriptors()
        free_pages = daemon.client.get("/v1/plan").json()["plan"]["kv_pages"]["pages"]
        for seed in (100, 200):
            round_of_clients(seed)
        assert daemon.descriptors() == descriptors
        # What was cancelled within a micro-batch gives its pages back at the end of it.
        assert eventually(lambda: daemon.metric("tandem_kv_pages_free") == free_pages)
        assert daemon.rss_bytes() <= rss_bytes + (4 << 20)
