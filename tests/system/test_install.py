"""What `cmake --install` puts where, used from there: programs, man pages, completions, units, documentation."""

import json
import os
import re
import subprocess

import pytest

from daemon import BUILD, EMBEDDED, ROOT
from terminal import Terminal


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The prefix's folder under a DESTDIR."""
    stage = tmp_path_factory.mktemp("stage")
    done = run("cmake", "--install", BUILD, env={**os.environ, "DESTDIR": str(stage)})
    assert done.returncode == 0, done.stderr
    (program,) = stage.rglob("bin/tandem")
    return program.parents[1]


def page(installed, name):
    return installed / "share/man" / f"man{name[-1]}" / name


def rendered(path):
    shown = run("mandoc", "-T", "utf8", "-O", "width=200", path)
    assert shown.returncode == 0, shown.stderr
    return re.sub(".\b", "", shown.stdout)


PAGES = ["tandem.1", "tandemd.8", "tandem-config.5"]


def test_everything_is_there_and_nothing_else(installed):
    files = {str(file.relative_to(installed)) for file in installed.rglob("*") if file.is_file()}
    assert files == {
        "bin/tandem",
        "bin/tandemd",
        "lib/systemd/system/tandemd.service",
        "lib/systemd/user/tandemd.service",
        "lib/sysusers.d/tandem.conf",
        "share/bash-completion/completions/tandem",
        "share/bash-completion/completions/tandemd",
        "share/doc/tandem/README.md",
        "share/doc/tandem/config.schema.json",
        "share/doc/tandem/default.json",
        "share/doc/tandem/nginx.conf",
        "share/fish/vendor_completions.d/tandem.fish",
        "share/fish/vendor_completions.d/tandemd.fish",
        "share/man/man1/tandem.1",
        "share/man/man5/tandem-config.5",
        "share/man/man8/tandemd.8",
        "share/zsh/site-functions/_tandem",
        "share/zsh/site-functions/_tandemd",
    }


def test_installed_programs_work(installed):
    version = run(installed / "bin/tandem", "--version").stdout.strip()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert run(installed / "bin/tandemd", "--version").stdout.strip() == version
    # Starts the tandemd beside it.
    measured = run(installed / "bin/tandem", "bench", EMBEDDED, "--prompt", "8", "--generate", "4", "--runs", "1", "--json")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["model"] == str(EMBEDDED)


@pytest.mark.parametrize("name", PAGES)
def test_man_pages_have_nothing_to_warn_of(installed, name):
    checked = run("mandoc", "-T", "lint", "-W", "warning", page(installed, name))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert "@" not in page(installed, name).read_text()


def test_man_pages_have_every_option_and_key(installed):
    text = rendered(page(installed, "tandem.1"))
    assert "\n   tandem plan\n" in text
    commands = re.findall(r"^  ([a-z]+) ", run(BUILD / "tandem", "--help").stdout.split("Subcommands:")[1], re.MULTILINE)
    assert len(commands) > 8
    for command in commands:
        (section,) = re.findall(rf"^   tandem {command}\n(.*?)^ {{0,3}}\S", text, re.MULTILINE | re.DOTALL)
        for option in re.findall(r"^ +(--[a-z-]+)", run(BUILD / "tandem", command, "--help").stdout, re.MULTILINE):
            assert re.search(rf"^       {option}\b", section, re.MULTILINE), (command, option)
    text = rendered(page(installed, "tandemd.8"))
    for option in re.findall(r"^ +(--[a-z-]+)", run(BUILD / "tandemd", "--help").stdout, re.MULTILINE):
        assert re.search(rf"^       {option}\b", text, re.MULTILINE), option
    text = rendered(page(installed, "tandem-config.5"))
    for key, default in leaves(defaults()):
        entry = re.search(rf"^       {re.escape(key)} (.*?)(?=^       \S|^\S)", text, re.MULTILINE | re.DOTALL)
        assert entry and f"Default: {json.dumps(default)}." in entry[1], key


def defaults():
    text = (ROOT / "config/default.json").read_text()
    return json.loads(re.sub(r"//.*", "", text))


def leaves(tree, path=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield path + name, value


def test_shells_find_their_completions(installed, tmp_path):
    share = installed / "share"
    ask = 'COMP_WORDS=(tandem plan --kv-) COMP_CWORD=2; source "$1"; _tandem; echo "${COMPREPLY[@]}"'
    assert run("bash", "-c", ask, "ask", share / "bash-completion/completions/tandem").stdout == "--kv-type\n"
    environment = {**os.environ, "XDG_DATA_DIRS": str(share), "HOME": str(tmp_path), "PATH": f"{installed}/bin:{os.environ['PATH']}"}
    fish = run("fish", "-c", "complete -C 'tandemd --log-level w'", env=environment)
    assert [row.split("\t")[0] for row in fish.stdout.splitlines()] == ["warn"]
    with Terminal(["zsh", "-f", "-i"], columns=200, HOME=str(tmp_path)) as zsh:
        zsh.type(f"fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D\r")
        zsh.type("tandem() { echo got $@ }\r")
        for _ in range(2):  # the first call defines the function, and so does every other
            zsh.type("tandem insp\t\r")
            zsh.expect("got inspect")


def test_units_start_what_is_installed(installed):
    for whose in ("system", "user"):
        unit = (installed / "lib/systemd" / whose / "tandemd.service").read_text()
        (program,) = re.findall(r"^ExecStart=(\S+) --config", unit, re.MULTILINE)
        assert str(installed / "bin/tandemd").endswith(program)
        assert re.search(r"^Restart=on-failure$", unit, re.MULTILINE)


def test_documented_configurations_are_accepted(installed, tmp_path):
    """Examples of the page get as far as to a model that is not there."""
    text = page(installed, "tandem-config.5").read_text() + page(installed, "tandemd.8").read_text()
    examples = re.findall(r"^\.RS\n(\{.*?^\})\n\.RE", text, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        file = tmp_path / "tandem.json"
        file.write_text(example.replace("\\(dq", '"').replace("\\-", "-"))
        told = run(BUILD / "tandemd", "--config", file)
        assert told.returncode == 1
        assert told.stderr.endswith(".gguf: cannot open: No such file or directory\n")
