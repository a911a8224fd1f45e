"""The status page in a headless Chromium, over the TCP port."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

import httpx

from daemon import REFERENCE, Daemon

MODEL = REFERENCE / "gemma4_8l.gguf"
KEY = "alice-0123456789abcdef"


def chromium(url, *flags, stay_ms=3000):
    """What a browser that stays for a while leaves on stdout."""
    with tempfile.TemporaryDirectory() as profile:
        command = [os.environ["TANDEM_CHROMIUM"], "--headless", "--no-sandbox", "--disable-gpu", f"--timeout={stay_ms}"]
        command += [f"--user-data-dir={profile}", "--enable-logging=stderr", *flags, url]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def drawn_page(url, last='class="layer"'):
    """The page's elements once `last` is among them.  Chromium writes them down when the page has been loaded, which may be
    before the first picture has come: then once more."""
    until = time.monotonic() + 60
    while True:
        seen = chromium(url, "--dump-dom")
        if last in seen.stdout or time.monotonic() > until:
            return seen


def url_of(daemon):
    return re.search(r"listening on (http://\S+)", daemon.log.read_text()).group(1) + "/"


def read_on(answer):
    """Until it ends or is closed; whoever does not read is paused."""
    with contextlib.suppress(httpx.HTTPError, httpx.StreamError):
        for _ in answer.iter_lines():
            pass


def test_it_shows_the_daemon_live(tmp_path):
    with Daemon(MODEL, "--context", "65536", "--listen", "127.0.0.1:0") as daemon:
        body = {"prompt": "hello", "max_tokens": 65000, "temperature": 0, "stream": True}
        with daemon.client.stream("POST", "/v1/completions", json=body, headers={"X-Tandem-Client": "editor"}) as answer:
            threading.Thread(target=read_on, args=(answer,), daemon=True).start()
            seen = drawn_page(url_of(daemon), last=">decode</td>")
        page = seen.stdout
        assert "Content Security Policy" not in seen.stderr, seen.stderr
        assert page.count('class="layer"') == 8
        assert page.count('class="device"') == 1
        assert re.search(r'id="running">1<', page)
        assert re.search(r'id="state"[^>]*>ok, up \d+ s', page)
        assert "/editor</td>" in page and ">decode</td>" in page
        picture = tmp_path / "page.png"
        chromium(url_of(daemon), "--window-size=1000,900", f"--screenshot={picture}")
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_names_are_text_and_never_markup(tmp_path):
    model = tmp_path / "<img src=x onerror=document.title='run'><b>bold.gguf"
    shutil.copy(MODEL, model)
    with Daemon(model, "--listen", "127.0.0.1:0") as daemon:
        page = drawn_page(url_of(daemon)).stdout
    assert "&lt;img src=x onerror" in page and "&lt;b&gt;bold" in page
    assert "<img" not in page and "<b>bold" not in page
    assert "<title>run" not in page


def test_behind_keys_it_asks_for_one(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"alice {KEY}\n")
    keys.chmod(0o600)
    with Daemon(MODEL, "--listen", "127.0.0.1:0", "--api-key-file", str(keys)) as daemon:
        page = drawn_page(url_of(daemon), last=">locked<").stdout
    assert '<section id="door">' in page  # and not hidden
    assert ">locked<" in page
    assert "gemma4_8l" not in page
