"""Turn the package descriptions that Debian publishes into short, plain English records.

The text is Debian's Translation-en index (English package descriptions); the Packages index says which source
package each binary package comes from, so that whole source packages can be held out.
"""

import hashlib
import json
import pathlib
import re
import subprocess

HELD_OUT_ONE_IN = 50  # share of source packages kept away from training
MAX_PER_SOURCE = 3  # siblings such as -dev, -doc and -data say nearly the same
MAX_ANSWER_CHARS = 380
ASCII_FORMS = str.maketrans(
    {
        "“": '"',
        "”": '"',
        "„": '"',
        "‘": "'",
        "’": "'",
        "`": "'",
        "´": "'",
        "–": "-",
        "—": "-",
        "…": "...",
        "\u00a0": " ",
        "•": "*",
        "«": '"',
        "»": '"',
        "\t": " ",
    }
)


def apt_indexes(folder: pathlib.Path) -> dict[str, str]:
    """Download the Packages and Translation-en indexes into `folder`; needs no root and changes no system file."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    options = [
        "-o",
        f"Dir::State::Lists={lists}",
        "-o",
        f"Dir::Cache={folder}",
        "-o",
        "Acquire::Languages=en",
        "-o",
        "APT::Sandbox::User=",
    ]
    subprocess.run(["apt-get", *options, "-qq", "update"], check=True)
    targets = subprocess.run(
        ["apt-get", *options, "indextargets", "--format", "$(CREATED_BY) $(FILENAME)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    texts = {"Packages": "", "Translations": ""}
    for line in targets.splitlines():
        kind, path = line.split(" ", 1)
        if kind in texts:
            cat = subprocess.run(
                ["/usr/lib/apt/apt-helper", *options, "cat-file", path],
                check=True,
                capture_output=True,
                text=True,
            )
            texts[kind] += cat.stdout + "\n"
    return texts


def stanzas(text: str):
    """Yield each control-file paragraph as a dictionary; continuation lines keep their leading blank."""
    for block in text.split("\n\n"):
        fields, key = {}, None
        for line in block.splitlines():
            if line[:1] == " " and key:
                fields[key] += "\n" + line
            elif ":" in line:
                key, value = line.split(":", 1)
                fields[key] = value.strip()
        if fields:
            yield fields


def first_paragraph(long_lines: list[str]) -> str:
    """The first paragraph of flowing text; lines with extra indentation are lists and end it."""
    words = []
    for line in long_lines:
        if line.strip() == "." or line.startswith("  "):
            if words:
                break
            continue
        words.append(line.strip())
    return " ".join(words)


def whole_sentences(text: str, limit: int) -> str:
    """As many leading whole sentences as fit in `limit` characters; empty when the first does not fit."""
    ends = [m.end() for m in re.finditer(r"[.!?][\")]?(?= |$)", text)]
    fitting = [
        end for end in ends if end <= limit and not re.search(r"\b(e\.g|i\.e|etc|vs|cf)\.$", text[:end])
    ]
    return text[: fitting[-1]] if fitting else ""


def is_plain(text: str) -> bool:
    """Mostly ASCII letters and blanks: keeps tables, addresses and other languages out."""
    letters = sum(c.isascii() and (c.isalpha() or c == " ") for c in text)
    return letters >= 0.88 * len(text) and "http" not in text and all(c.isprintable() for c in text)


def is_clutter(name: str) -> bool:
    """Mechanically generated packages whose descriptions repeat one sentence."""
    return bool(
        re.search(
            r"^librust-|-dbgsym$|-dbg$|^task-|-l10n-|^fonts-.*-extra$|-locale-|^libghc-.*-(prof|doc)$|"
            r"^hunspell-|^linux-(image|headers)|^aspell-|^gir1\.2-|cross-|-cross$|^libreoffice-help",
            name,
        )
        or len(name) > 32
    )


def held_out(source: str) -> bool:
    """Whether a source package belongs to the held-out part; depends on its name only."""
    return int(hashlib.sha256(source.encode()).hexdigest(), 16) % HELD_OUT_ONE_IN == 0


def make_records(indexes: dict[str, str]) -> list[dict]:
    """One record per distinct description: name, source, summary (noun phrase), text (sentences), held_out."""
    source_of = {
        s["Package"]: s.get("Source", s["Package"]).split(" ")[0]
        for s in stanzas(indexes["Packages"])
        if "Package" in s
    }
    records, seen_text, siblings = [], set(), {}
    for stanza in sorted(
        stanzas(indexes["Translations"]), key=lambda s: (len(s.get("Package", "")), s.get("Package", ""))
    ):
        name, description = stanza.get("Package", ""), stanza.get("Description-en", "")
        if name not in source_of or is_clutter(name):
            continue
        source = source_of[name]
        summary, *rest = description.translate(ASCII_FORMS).split("\n")
        summary = re.sub(r"\s+", " ", summary).strip().rstrip(".")
        text = re.sub(r"\s+", " ", whole_sentences(first_paragraph(rest), MAX_ANSWER_CHARS))
        if len(text) < 40 or not 8 <= len(summary) <= 90 or not is_plain(text) or not is_plain(summary):
            continue
        if text in seen_text or siblings.get(source, 0) >= MAX_PER_SOURCE:
            continue
        seen_text.add(text)
        siblings[source] = siblings.get(source, 0) + 1
        records.append(
            {"name": name, "source": source, "summary": summary, "text": text, "held_out": held_out(source)}
        )
    held_texts = {r["text"] for r in records if r["held_out"]}
    return [r for r in records if r["held_out"] or r["text"] not in held_texts]


def load_records(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_records(folder: pathlib.Path) -> pathlib.Path:
    """Fetch the indexes and write `records.jsonl`; returns its path."""
    path = folder / "records.jsonl"
    records = make_records(apt_indexes(folder / "apt"))
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path
