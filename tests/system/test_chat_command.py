"""tandem chat: at a terminal, and with lines piped in."""

import json
import os
import stat
import subprocess

import pytest

from daemon import BUILD, EMBEDDED, PATIENCE, REFERENCE, Daemon, eventually, tandem
from terminal import Terminal


@pytest.fixture(scope="module")
def daemon():
    with Daemon(EMBEDDED, "--context", "2048") as running:
        yield running


def piped(daemon, lines, *flags):
    return subprocess.run(
        [BUILD / "tandem", "chat", "--socket", daemon.socket, *flags],
        input=lines, capture_output=True, text=True, timeout=120 * PATIENCE, check=False,
    )


def expected(daemon, messages, **settings):
    answer = daemon.client.post("/v1/chat/completions", json={"model": "any", "messages": messages, **settings})
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


@pytest.fixture
def terminal(daemon, tmp_path):
    command = [BUILD / "tandem", "chat", "--socket", daemon.socket, "--color", "never"]
    with Terminal(command, XDG_STATE_HOME=str(tmp_path)) as running:
        running.expect(">>> ")
        yield running


def test_lines_of_a_pipe_are_turns_of_one_conversation(daemon):
    settings = {"temperature": 0, "max_tokens": 40}
    user = [{"role": "user", "content": text} for text in ("What is Debian?", "And apt?")]
    first = expected(daemon, user[:1], **settings)
    second = expected(daemon, [user[0], {"role": "assistant", "content": first}, user[1]], **settings)
    told = piped(daemon, "/set temperature 0\n/set max_tokens 40\nWhat is Debian?\nAnd apt?")
    assert told.returncode == 0, told.stderr
    assert told.stdout == first.rstrip("\n") + "\n" + second.rstrip("\n") + "\n"


def test_texts_of_several_lines(daemon, tmp_path):
    kept = tmp_path / "talk.json"
    told = piped(daemon, f'/set max_tokens 1\n"""one\n\ntwo"""\nthree\\\nfour\n"""\nfive\n"""\n/save {kept}\n')
    assert told.returncode == 0, told.stderr
    said = [message["content"] for message in json.loads(kept.read_text())["messages"] if message["role"] == "user"]
    assert said == ["one\n\ntwo", "three\nfour", "five"]


def test_a_conversation_is_kept_and_goes_on(daemon, tmp_path):
    kept = tmp_path / "talk.json"
    flags = ["--system", "Be brief.", "--set", "temperature=0", "--set", "max_tokens=20"]
    assert piped(daemon, f"What is apt?\n/save {kept}\n", *flags).returncode == 0
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    talk = json.loads(kept.read_text())
    messages = [{"role": "system", "content": "Be brief."}, *talk["messages"], {"role": "user", "content": "Why?"}]
    told = piped(daemon, "Why?\n", "--load", str(kept))
    assert told.stdout.rstrip("\n") == expected(daemon, messages, temperature=0, max_tokens=20).rstrip("\n")


def test_mistakes_are_told_and_change_nothing(daemon):
    told = piped(daemon, "/sett x\n/set temprature 1\n/set temperature 9\nHello\n/set temperature 0\n/set max_tokens 1\n/save\n")
    assert told.returncode == 5
    assert "did you mean /set?" in told.stderr
    assert "did you mean temperature?" in told.stderr
    assert "'temperature' must be between" in told.stderr
    assert "the name of a file is missing" in told.stderr


def test_a_conversation_that_fills_the_context_can_be_cleared(daemon):
    first = "/set max_tokens 1\n" + "word " * 1200 + "\n"
    too_much = piped(daemon, first + "word " * 1200 + "\n")
    assert "the context holds 2048" in too_much.stderr
    assert "/clear forgets what was said" in too_much.stderr
    alone = piped(daemon, "word " * 2400 + "\n")  # to which clearing would do nothing
    assert "the context holds 2048" in alone.stderr
    assert "/clear" not in alone.stderr
    assert piped(daemon, first + "/clear\n" + "word " * 1200 + "\n").returncode == 0


def test_the_end_and_bye_end_it(daemon):
    assert piped(daemon, "").returncode == 0
    for command in ("/bye", "/exit", "/quit"):
        assert piped(daemon, command + "\n/nonsense\n").returncode == 0
    helped = piped(daemon, "/help\n/clear\n")
    for command in ("/set", "/system", "/save", "/load", "/clear", "/bye"):
        assert command in helped.stdout


def test_a_model_without_turns_is_refused(tmp_path):
    """Turns are known by their tokens; where the vocabulary has none, text can be completed and nothing else."""
    plain = tmp_path / "plain.gguf"
    plain.write_bytes((REFERENCE / "gemma4_1l_sliding.gguf").read_bytes().replace(b"<|turn>", b"<|tern>"))
    with Daemon(plain) as daemon:
        assert daemon.client.get("/v1/models").json()["data"][0]["chat"] is None
        told = piped(daemon, "Hello\n")
        assert told.returncode != 0
        assert "no chat turns" in told.stderr
        hello = {"model": "any", "messages": [{"role": "user", "content": "Hello"}]}
        refused = daemon.client.post("/v1/chat/completions", json=hello)
        assert refused.status_code == 400
        assert "turn" in refused.json()["error"]["message"]
        prompt = {"model": "any", "prompt": "Hello", "max_tokens": 3}
        assert daemon.client.post("/v1/completions", json=prompt).status_code == 200


def test_ctrl_c_stops_the_answer_and_keeps_the_conversation(daemon, terminal, tmp_path):
    terminal.type("/set max_tokens 2000\n")
    terminal.expect(">>> ")
    terminal.type("/set temperature 2\n")
    terminal.expect(">>> ")
    stopped = ""
    for _ in range(20):  # an answer may end by itself before it is stopped
        terminal.type("Tell me all about apt\n")
        assert eventually(lambda: daemon.client.get("/v1/requests").json()["data"] or terminal.read(0.0) and ">>> " in terminal.text)
        terminal.signal(2)
        stopped = terminal.expect(">>> ")
        if "(stopped)" in stopped:
            break
        terminal.expect(r"$")
    assert "(stopped)" in stopped
    assert daemon.idle()
    terminal.type(f"/save {tmp_path}/talk.json\n")
    terminal.expect(">>> ")
    terminal.type("/bye\n")
    assert terminal.end() == 0
    assert terminal.restored()


def test_a_daemon_that_goes_away_does_not_take_the_conversation_along(tmp_path):
    kept = tmp_path / "talk.json"
    with Daemon(EMBEDDED, "--context", "2048") as going:
        command = [BUILD / "tandem", "chat", "--socket", going.socket, "--color", "never", "--set", "max_tokens=1"]
        with Terminal(command, XDG_STATE_HOME=str(tmp_path)) as terminal:
            terminal.expect(">>> ")
            terminal.type("What is apt?\n")
            terminal.expect(">>> ")
            going.process.send_signal(15)
            assert going.process.wait(60) == 0
            terminal.type("And dpkg?\n")
            assert "no daemon listens" in terminal.expect(">>> ")
            terminal.type(f"/save {kept}\n")
            terminal.expect(">>> ")
            terminal.type("/bye\n")
            assert terminal.end() == 0
    assert [message["content"] for message in json.loads(kept.read_text())["messages"]][0] == "What is apt?"
    assert len(json.loads(kept.read_text())["messages"]) == 2


def test_ctrl_c_gives_up_the_line(terminal):
    terminal.type("half a thought\x03")
    terminal.expect(r"\^C")
    terminal.expect(">>> ")
    terminal.type("/set\n")
    assert "half" not in terminal.expect(">>> ")
    terminal.type("/bye\n")
    assert terminal.end() == 0
    assert terminal.restored()


def test_lines_that_are_pasted_are_one_message(terminal, tmp_path):
    kept = tmp_path / "talk.json"
    terminal.type("/set max_tokens 1\n")
    terminal.expect(">>> ")
    terminal.type("See: \x1b[200~one\n\ttw\u00f6\r\x07/bye\x1b[201~ what?\n")
    terminal.expect(">>> ")
    terminal.type(f"/save {kept}\n")
    assert eventually(lambda: terminal.read(0.0) and kept.exists())
    terminal.type("/bye\n")
    assert terminal.end() == 0
    assert terminal.restored()
    said = [message["content"] for message in json.loads(kept.read_text())["messages"] if message["role"] == "user"]
    assert said == ["See: one\n\ttw\u00f6\n/bye what?"]


def test_the_history_comes_back_and_is_private(daemon, terminal, tmp_path):
    terminal.type("/set stop \u00e4pfel\n")
    terminal.expect(">>> ")
    terminal.type("/bye\n")
    assert terminal.end() == 0
    history = tmp_path / "tandem" / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700
    command = [BUILD / "tandem", "chat", "--socket", daemon.socket]
    with Terminal(command, XDG_STATE_HOME=str(tmp_path), LC_ALL="C") as again:
        again.expect(">>> ")
        again.type("\x1b[A\x1b[A")
        again.expect("set stop \u00e4pfel")  # the editor writes what differs from the line before
        again.type("\n")
        again.expect(">>> ")
        again.type("/set\n")
        again.expect("\x1b\\[\\?2004lstop \u00e4pfel\r\n")
        again.type("/bye\n")
        assert again.end() == 0


def test_run_adds_files_and_what_is_piped_in(daemon, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("Debian is free.\n")
    command = [BUILD / "tandem", "run", "Go on", "--json", "--max-tokens", "1", "--socket", daemon.socket]
    asked = subprocess.run(
        [*command, "--file", notes, "--file", "-"], input="piped\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert asked.returncode == 0, asked.stderr
    text = "Go on\n\nnotes.txt:\nDebian is free.\n\npiped"
    count = daemon.client.post("/v1/tokenize", json={"prompt": text}).json()["count"]
    assert json.loads(asked.stdout)["usage"]["prompt_tokens"] == count
    refused = tandem("run", "x", "--file", BUILD / "tandem", "--socket", daemon.socket)
    assert refused.returncode == 1
    assert os.fspath(BUILD / "tandem") in refused.stderr
