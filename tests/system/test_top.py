"""tandem top: one picture, many pictures, and a terminal that is left as it was found."""

import json
import signal

import pytest

from daemon import BUILD, REFERENCE, Daemon, tandem
from terminal import Terminal, plain

MODEL = REFERENCE / "gemma4_8l.gguf"
LEAVE = r"\x1b\[\?25h\x1b\[\?1049l"


@pytest.fixture(scope="module")
def daemon():
    with Daemon(MODEL, "--context", "8192") as running:
        yield running


@pytest.fixture
def asking(daemon):
    """Keeps a sequence running."""
    body = {"prompt": "hello", "max_tokens": 8000, "temperature": 0, "stream": True}
    with daemon.client.stream("POST", "/v1/completions", json=body, headers={"X-Tandem-Client": "editor"}) as answer:
        lines = answer.iter_lines()
        next(lines)
        yield
    assert daemon.idle()


def top(daemon, **options):
    return Terminal([BUILD / "tandem", "top", "--socket", daemon.socket], **options)


def test_once_is_one_picture_of_80_columns_without_colour(daemon, asking):
    shown = tandem("top", "--once", "--socket", daemon.socket)
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())
    plan = daemon.client.get("/v1/plan").json()["plan"]
    kinds = "".join("G" if layer["kind"] == "global" else "s" for layer in plan["layers"])
    assert f"layers      {kinds}\n" in shown.stdout
    assert "1 of 4 running, 0 queued" in shown.stdout
    assert "editor" in shown.stdout and "decode" in shown.stdout


def test_json_is_the_status_a_line_each(daemon):
    once = tandem("top", "--once", "--json", "--socket", daemon.socket)
    assert once.returncode == 0
    assert json.loads(once.stdout).keys() == daemon.client.get("/v1/status").json().keys()
    with Terminal(["sh", "-c", f"{BUILD}/tandem top --json --socket {daemon.socket} | cat"]) as terminal:
        for _ in range(2):
            assert json.loads(terminal.expect(r"\{.*\}\r\n"))["schema"] == "tandem.status/1"


def test_in_a_pipe_pictures_follow_one_another(daemon):
    with Terminal(["sh", "-c", f"{BUILD}/tandem top --socket {daemon.socket} | cat"]) as terminal:
        for _ in range(2):
            assert "\x1b" not in terminal.expect("no requests\r\n")


@pytest.mark.parametrize("key, code", [("q", 0), ("Q", 0), ("\x03", 130)])
def test_a_key_ends_it_and_the_terminal_is_as_before(daemon, key, code):
    with top(daemon) as terminal:
        terminal.expect(r"\x1b\[\?1049h")
        terminal.expect("no requests")
        assert not terminal.restored()
        terminal.type(key)
        assert terminal.end() == code
        assert terminal.restored()
        terminal.expect(LEAVE)
        assert terminal.text == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_signals_end_it_and_the_terminal_is_as_before(daemon, number):
    with top(daemon) as terminal:
        terminal.expect("no requests")
        terminal.signal(number)
        assert terminal.end() == (130 if number == signal.SIGINT else -number)
        assert terminal.restored()
        terminal.expect(LEAVE)


def test_it_is_drawn_anew_every_second(daemon):
    with top(daemon) as terminal:
        for _ in range(3):
            terminal.expect("no requests")
        assert "layers" in plain(terminal.expect("no requests"))


def test_it_follows_the_terminals_size(daemon, asking):
    with top(daemon, rows=40) as terminal:
        terminal.expect("editor")
        terminal.expect(r"\x1b\[J")
        terminal.resize(12, 30)
        # The picture being drawn at that moment may still have the old size.
        terminal.expect(r"\x1b\[J")
        lines = plain(terminal.expect(r"\x1b\[J")).replace("\r", "").split("\n")
        assert len(lines) == 12
        assert max(len(line) for line in lines) == 30
        terminal.type("q")
        assert terminal.end() == 0


def test_colour_can_be_turned_off(daemon):
    def colours(**environment):
        with top(daemon, **environment) as terminal:
            seen = terminal.expect("no requests")
            terminal.type("q")
            assert terminal.end() == 0
            return "\x1b[48;5;" in seen

    assert colours()
    assert not colours(NO_COLOR="1")


def test_at_a_dumb_terminal_pictures_follow_one_another(daemon):
    with top(daemon, TERM="dumb") as terminal:
        for _ in range(2):
            assert "\x1b" not in terminal.expect("no requests\r\n")
        terminal.type("\x03")
        assert terminal.end() == 130


def test_a_daemon_that_ends_is_told_and_the_terminal_is_as_before():
    with Daemon(MODEL) as daemon:
        with top(daemon) as terminal:
            terminal.expect("no requests")
            daemon.process.send_signal(signal.SIGTERM)
            assert terminal.end() == 4
            assert terminal.restored()
            terminal.expect(LEAVE)
            terminal.expect("tandem: ")


def test_without_a_daemon_it_says_so(tmp_path):
    ended = tandem("top", "--once", "--socket", tmp_path / "nowhere")
    assert ended.returncode == 4
    assert "no daemon listens there" in ended.stderr
