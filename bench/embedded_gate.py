"""Judge the embedded model by numbers: does it speak, does it know what it learnt, what does rounding cost.

python3 bench/embedded_gate.py --work FOLDER --socket PATH --files FOLDER

FOLDER after --work is the one that config/embedded/make/make.py filled; FOLDER after --files holds
tandem-tiny-{f32,q8_0,q4_0}.gguf.  A daemon must serve the Q4_0 file at the socket.  Exit status 0 when every line passes.
"""

import argparse
import http.client
import json
import pathlib
import random
import re
import socket
import subprocess
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "config" / "embedded" / "make"))
import chats
import corpus
import vocabulary

NAMES_OF_EACH_KIND = 10
ANSWER_LIMIT_TOK = 200
HELD_OUT_CONVERSATIONS = 80


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def complete(path: str, prompt: str, seed: int) -> tuple[str, bool]:
    """A continuation of a prompt, sampled as the file recommends, and whether the model ended it by itself."""
    connection = UnixConnection(path)
    body = {"model": "embedded", "prompt": prompt, "max_tokens": ANSWER_LIMIT_TOK, "seed": seed}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != 200:
        raise SystemExit(f"the daemon answered {response.status}: {answer}")
    choice = answer["choices"][0]
    return choice["text"].strip(), choice["finish_reason"] == "stop"


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def worst_repeat(text: str) -> int:
    """How often the most frequent sequence of five words occurs."""
    words = words_of(text)
    counts: dict = {}
    for i in range(len(words) - 4):
        counts[tuple(words[i : i + 5])] = counts.get(tuple(words[i : i + 5]), 0) + 1
    return max(counts.values(), default=0)


def chrf(answer: str, reference: str, order: int = 6, beta: float = 2.0) -> float:
    """Character n-gram F-score (Popovic 2015): mean over n of precision and recall, recall weighing beta times."""
    answer, reference = "".join(answer.split()), "".join(reference.split())
    precisions, recalls = [], []
    for n in range(1, order + 1):
        grams = [{}, {}]
        for counts, text in zip(grams, (answer, reference)):
            for i in range(len(text) - n + 1):
                counts[text[i : i + n]] = counts.get(text[i : i + n], 0) + 1
        common = sum(min(c, grams[1].get(g, 0)) for g, c in grams[0].items())
        precisions.append(common / max(1, sum(grams[0].values())))
        recalls.append(common / max(1, sum(grams[1].values())))
    p, r = np.mean(precisions), np.mean(recalls)
    return float((1 + beta**2) * p * r / max(1e-12, beta**2 * p + r))


class FiveGrams:
    """Interpolated Kneser-Ney model of token ids with one discount; everything lives in sorted arrays."""

    DISCOUNT = 0.75

    def __init__(self, ids: np.ndarray, size: int):
        self.size, self.bits = size, 12
        assert size <= 1 << self.bits
        self.orders = {}
        grams = np.unique(self.packed(ids, 5), return_counts=True)
        for n in range(5, 0, -1):
            keys, counts = grams
            contexts, first, spread = np.unique(keys >> self.bits, return_index=True, return_counts=True)
            self.orders[n] = (keys, counts, contexts, np.add.reduceat(counts, first), spread)
            grams = np.unique(keys & ((1 << self.bits * (n - 1)) - 1), return_counts=True)

    def packed(self, ids: np.ndarray, n: int) -> np.ndarray:
        """The n-gram that ends at each position from n - 1 on, as one integer."""
        total = np.zeros(len(ids) - n + 1, dtype=np.int64)
        for i in range(n):
            total = total << self.bits | ids[i : len(ids) - n + 1 + i]
        return total

    @staticmethod
    def find(keys: np.ndarray, wanted: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Value of each wanted key, 0 where it is unknown."""
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, values[at], 0)

    def bits_of(self, ids: np.ndarray) -> float:
        """Total bits of all ids that have four before them."""
        probability = np.full(len(ids) - 4, 1.0 / self.size)
        for n in range(1, 6):
            keys, counts, contexts, totals, spread = self.orders[n]
            grams = self.packed(ids[5 - n :], n)
            total = self.find(contexts, grams >> self.bits, totals)
            seen = np.maximum(self.find(keys, grams, counts) - self.DISCOUNT, 0)
            rest = self.DISCOUNT * self.find(contexts, grams >> self.bits, spread)
            mixed = (seen + rest * probability) / np.maximum(total, 1)
            probability = np.where(total > 0, mixed, probability)
        return float(-np.log2(probability).sum())


def rendered(records: list[dict], seed: int, passes: int = 1) -> list[str]:
    """Conversations about the records as text."""
    rng = random.Random(seed)
    return ["".join(text for text, _ in chat) for _ in range(passes) for chat in chats.epoch(records, rng)]


def held_out_text(records: list[dict]) -> str:
    """Conversations about packages that were never trained on; <bos> is left to the reader of the file."""
    conversations = rendered([r for r in records if r["held_out"]], seed=0)[:HELD_OUT_CONVERSATIONS]
    return "".join(conversations).removeprefix("<bos>")


def five_gram_bits_per_byte(records: list[dict], encoder: vocabulary.Encoder, text: str) -> float:
    """What five-grams of the training text make of `text`; questions are drawn three times for every record."""
    learnt = encoder.encode("".join(rendered([r for r in records if not r["held_out"]], seed=1, passes=3)))
    model = FiveGrams(np.array(learnt, dtype=np.int64), vocabulary.SIZE)
    return model.bits_of(np.array(encoder.encode("<bos>" + text), dtype=np.int64)) / len(text.encode())


def perplexity(tandem: str, model: pathlib.Path, text: pathlib.Path, kv_type: str) -> float:
    """Bits per byte by `tandem perplexity`."""
    out = subprocess.run(
        [tandem, "perplexity", "--model", model, "--text", text, "--kv-type", kv_type, "--json"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return json.loads(out)["bits_per_byte"]


class Gate:
    """Collects lines and remembers whether all passed."""

    def __init__(self):
        self.passed = True

    def line(self, what: str, figure: str, passed: bool):
        self.passed &= passed
        print(f"{'pass' if passed else 'FAIL'}  {what}: {figure}")


def judge_answers(gate: Gate, records: list[dict], socket_path: str):
    rng = random.Random(20)
    known = {w for r in records for w in words_of(f"{r['name']} {r['summary']} {r['text']}")}
    answers = []
    for held_out in (False, True):
        chosen = rng.sample([r for r in records if r["held_out"] == held_out], NAMES_OF_EACH_KIND)
        references = [f"{chats.sentence(r['summary'])} {r['text']}" for r in chosen]
        replies = [
            complete(socket_path, chats.prompt(f"What is {r['name']}?"), seed)
            for seed, r in enumerate(chosen)
        ]
        for record, (text, _) in zip(chosen, replies):
            print(f"      {record['name']}: {text}")
        nearer = sum(
            chrf(text, own) > chrf(text, other)
            for (text, _), own, other in zip(replies, references, references[1:] + references[:1])
        )
        kind = "held-out" if held_out else "training"
        gate.line(f"{kind} names nearer their own text", f"{nearer} of {len(chosen)}", nearer == len(chosen))
        answers += replies
    words = [w for text, _ in answers for w in words_of(text)]
    share = sum(w in known for w in words) / max(1, len(words))
    gate.line("words known", f"{share:.1%} of {len(words)}", share >= 0.9 and len(words) >= 100)
    repeats = max(worst_repeat(text) for text, _ in answers)
    gate.line("most frequent 5-gram of words", str(repeats), repeats <= 3)
    ended = sum(stopped for _, stopped in answers)
    gate.line("answers that end by themselves", f"{ended} of {len(answers)}", ended >= 0.8 * len(answers))


def judge_rounding(gate: Gate, records: list[dict], encoder: vocabulary.Encoder, args: argparse.Namespace):
    text = held_out_text(records)
    path = args.work / "held-out.txt"
    path.write_text(text)
    baseline = five_gram_bits_per_byte(records, encoder, text)
    exact = perplexity(args.tandem, args.files / "tandem-tiny-f32.gguf", path, "f16")
    for kind in ("f32", "q8_0", "q4_0"):
        for kv_type in ("f16", "q8_0"):
            bits = perplexity(args.tandem, args.files / f"tandem-tiny-{kind}.gguf", path, kv_type)
            within = kind != "q4_0" or bits <= 1.02 * exact
            gate.line(
                f"bits per byte, {kind} with {kv_type} KV",
                f"{bits:.4f} (five-grams {baseline:.4f})",
                bits < baseline and within,
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--files", type=pathlib.Path, required=True)
    parser.add_argument("--tandem", default="build/tandem")
    args = parser.parse_args()
    records = corpus.load_records(args.work / "records.jsonl")
    encoder = vocabulary.Encoder(vocabulary.load(args.work / "vocabulary.json"))
    gate = Gate()
    judge_answers(gate, records, args.socket)
    judge_rounding(gate, records, encoder, args)
    sys.exit(0 if gate.passed else 1)


if __name__ == "__main__":
    main()
