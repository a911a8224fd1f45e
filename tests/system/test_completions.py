"""Completions in bash, zsh and fish: what a Tab makes of a line that is being typed, and what is offered."""

import re
import subprocess
import time

import pytest

from daemon import BUILD
from terminal import Terminal

SHELLS = {
    "bash": ["bash", "--noprofile", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--private", "--no-config", "-i"],
}
# Each program is replaced by a function that writes down its arguments.
RECORD = {
    "bash": '{name}() {{ printf "%s\\n" "$@" >{out}.new; mv {out}.new {out}; }}',
    "zsh": 'function {name} {{ printf "%s\\n" "$@" >{out}.new; mv {out}.new {out}; }}',
    "fish": 'function {name}; printf "%s\\n" $argv >{out}.new; mv {out}.new {out}; end',
}


def output(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, **options).stdout


def script(program, shell):
    return output(BUILD / "tandem", "completions", shell) if program == "tandem" else output(BUILD / "tandemd", "--completions", shell)


def commands():
    listed = output(BUILD / "tandem", "--help").split("Subcommands:")[1]
    return re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)


def long_options(*command):
    helped = output(BUILD / command[0], *command[1:], "--help")
    return re.findall(r"--[a-z-]+", " ".join(re.findall(r"^ +(-\S+)", helped, re.MULTILINE)))


def lines_to_complete():
    """Programs, each with each of its commands, or with none."""
    return [("tandem", ""), ("tandemd", ""), *(("tandem", command) for command in commands())]


class Typist:
    """Somebody at a shell in a folder of a few files."""

    def __init__(self, shell, folder):
        self.out = folder / "arguments"
        work = folder / "work"
        work.mkdir()
        for name in ("model.gguf", "two words.txt", "card.json"):
            (work / name).touch()
        self.terminal = Terminal(SHELLS[shell], columns=200, HOME=str(folder), INPUTRC="/dev/null", ZDOTDIR=str(folder))
        start = [f"cd {work}"]
        if shell == "zsh":
            start += ["autoload -Uz compinit", "compinit -u -D"]
        for program in ("tandem", "tandemd"):
            file = folder / f"{program}.{shell}"
            file.write_text(script(program, shell))
            start += [f"source {file}", RECORD[shell].format(name=program, out=self.out)]
        for line in start:
            self.terminal.type(line + "\r")
        self.line("tandem ready")

    def line(self, text):
        """The arguments that a program got, having typed `text`."""
        self.out.unlink(missing_ok=True)
        self.terminal.type(text + "\r")
        deadline = time.monotonic() + 20
        while not self.out.exists():
            assert time.monotonic() < deadline, f"nothing ran; the terminal has {self.terminal.text!r}"
            self.terminal.read(0.005)
        return self.out.read_text().splitlines()


@pytest.fixture(scope="module", params=SHELLS)
def typist(request, tmp_path_factory):
    running = Typist(request.param, tmp_path_factory.mktemp(request.param))
    with running.terminal:
        running.shell = request.param
        yield running


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("program", ["tandem", "tandemd"])
def test_scripts_are_in_the_shells_language(shell, program, tmp_path):
    file = tmp_path / "script"
    file.write_text(script(program, shell))
    checked = subprocess.run([shell, "-n", file], capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("typed", "arguments"),
    [
        ("tandem insp\t", ["inspect"]),
        ("tandem pl\t--js\t", ["plan", "--json"]),
        ("tandem plan --kv-type q\t", ["plan", "--kv-type", "q8_0"]),
        ("tandem plan --kv-type=q\t", ["plan", "--kv-type=q8_0"]),
        ("tandem plan --optimise thr\t--head-type q6\t", ["plan", "--optimise", "throughput", "--head-type", "q6_k"]),
        ("tandem plan --devices cpu,e\t", ["plan", "--devices", "cpu,emulated"]),
        ("tandem plan catalogue:gemma4-12b-qat\t", ["plan", "catalogue:gemma4-12b-qat-q4_0"]),
        ("tandem plan mod\t", ["plan", "model.gguf"]),
        ("tandem plan model.gguf catalogue:gemma3-27b-b\t", ["plan", "model.gguf", "catalogue:gemma3-27b-bf16"]),
        ("tandem plan --machine rtx4090+ddr5-5\t", ["plan", "--machine", "rtx4090+ddr5-5600"]),
        ("tandem plan --machine card.\t", ["plan", "--machine", "card.json"]),
        ("tandem run --file two\t", ["run", "--file", "two words.txt"]),
        ("tandem run --stop plan --tempe\t", ["run", "--stop", "plan", "--temperature"]),
        ("tandem completions f\t", ["completions", "fish"]),
        ("tandem chat --load card\t--color ne\t", ["chat", "--load", "card.json", "--color", "never"]),
        ("tandemd --log-level w\t", ["--log-level", "warn"]),
        ("tandemd --model mo\t--head-type q8\t", ["--model", "model.gguf", "--head-type", "q8_0"]),
        # Nothing is known that could stand here.
        ("tandem plan --vram m\t", ["plan", "--vram", "m"]),
        ("tandem plan --nonsen\t", ["plan", "--nonsen"]),
    ],
)
def test_a_tab_completes(typist, typed, arguments):
    assert typist.line(typed) == arguments


def test_every_command_and_long_option_is_completed(typist):
    names = commands()
    assert len(names) > 8
    for name in names:
        begin = name[:-1]
        if sum(other.startswith(begin) for other in names) == 1:
            assert typist.line(f"tandem {begin}\t") == [name]
    for program, command in lines_to_complete():
        options = long_options(program, *command.split())
        assert "--help" in options
        for option in options:
            begin = option[:-1]
            if sum(other.startswith(begin) for other in options) == 1:
                assert typist.line(f"{program} {command} {begin}\t") == [*command.split(), option]


def offered_by_bash(folder, *pieces):
    """What bash lists for the last of the `pieces` into which it cuts a line."""
    file = folder / "script"
    file.write_text(script(pieces[0], "bash"))
    ask = 'source "$1"; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _$1; printf "%s\\n" "${COMPREPLY[@]}"'
    return set(output("bash", "-c", ask, "ask", file, *pieces).splitlines())


def offered_by_fish(folder, line):
    file = folder / "script"
    file.write_text(script(line.split()[0], "fish"))
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    listed = output("fish", "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"', file, line, cwd=empty)
    return {row.split("\t")[0] for row in listed.splitlines()}


def test_all_long_options_are_offered_and_nothing_else(tmp_path):
    for program, command in lines_to_complete():
        options = set(long_options(program, *command.split()))
        assert offered_by_bash(tmp_path, program, *command.split(), "--") == options
        assert offered_by_fish(tmp_path, f"{program} {command} --") == options
        zsh = script(program, "zsh")
        assert all(f"{option}[" in zsh or f"{option}=[" in zsh for option in options)


def test_all_commands_are_offered_and_nothing_else(tmp_path):
    assert offered_by_bash(tmp_path, "tandem", "") == set(commands())
    assert offered_by_fish(tmp_path, "tandem ") == set(commands())


def test_all_published_models_are_offered(tmp_path):
    listed = subprocess.run([BUILD / "tandem", "plan", "catalogue:x"], capture_output=True, text=True, timeout=60, check=False)
    names = set(re.findall(r"gemma[\w-]+", listed.stderr))
    assert len(names) == 20
    assert offered_by_bash(tmp_path, "tandem", "plan", "catalogue", ":") == names
    assert offered_by_fish(tmp_path, "tandem plan catalogue:") == {f"catalogue:{name}" for name in names}


def test_an_unknown_shell_is_refused():
    for command in (["tandem", "completions", "csh"], ["tandemd", "--completions", "csh"]):
        refused = subprocess.run([BUILD / command[0], *command[1:]], capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 1
        assert "csh" in refused.stderr and "bash|zsh|fish" in refused.stderr
