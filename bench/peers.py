#!/usr/bin/env python3
"""Tandem beside llama.cpp and ik_llama.cpp on the CPU: prompts, generation, load time, memory.

usage: peers.py --tandem build/tandem [--llama-bench FILE] [--ik-llama-bench FILE] --samples-file FILE MODEL...

The peers are their own llama-bench programs, built from source elsewhere. On a shared machine memory speed wanders by
half within an hour, so only ratios of samples taken beside each other count: engines take turns, one sample each, in an
order that moves on by one every round; one engine is loaded at a time, from a file that was read into the page cache
before. All use as many threads and KV in f16. Both attention variants of a peer are measured (-fa), ik_llama.cpp with and
without run-time repacking (-rtr), llama.cpp with the repacking that is its default; the better median counts.

A sample during which other processes had more than --most-others of a core (busy time of /proc/stat, less that of the
engine) is kept, and left out of the tables: threads that wait for each other in turns lose much more than that.

The memory is read plainly by as many threads right before and after each engine generates, which is a process of its own
for each context. Where the two agree within STEADY, the sample also counts in a row of tokens a second for each GB/s that
the memory gave. There medians are compared, as it does not matter in which round the host gave how much.

Every sample is appended to FILE (JSON lines), and the tables are made of all that are in it: a long measurement may be
made in pieces, and a table printed again with --rounds 0. A peer that fails is a row with its last words.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

DEFAULT_PROMPTS = "128,512,2048"
DEFAULT_CONTEXTS = "0,4096,16384"
FIRST_TOKEN_PROMPT_TOK = 512
STEADY = 0.15  # of the larger of two readings of the memory's speed
AT_EQUAL_MEMORY = "decode per GB/s of memory"


class EngineFailed(Exception):
    """What an engine said at last."""


class Watched:
    """A process that ran to its end: what it wrote, when stderr had a line like `ready`, the most memory it held."""

    def __init__(self, command, ready="(?!)"):
        start = time.perf_counter()
        self.ready_s = None
        self.resident_bytes = 0
        self.last_words = []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        reader = threading.Thread(target=self._read, args=(process, re.compile(ready), start))
        watcher = threading.Thread(target=self._watch, args=(process,))
        reader.start()
        watcher.start()
        try:
            self.output = process.stdout.read()
            code = process.wait()
        finally:  # interrupted: it does not stay
            process.kill()
            reader.join()
            watcher.join()
        if code != 0:
            words = [line for line in self.last_words if "error" in line.lower()] or self.last_words
            raise EngineFailed(words[-1].strip() if words else f"exit code {code}")

    def _read(self, process, ready, start):
        for line in process.stderr:
            if self.ready_s is None and ready.search(line):
                self.ready_s = time.perf_counter() - start
            if line.strip():
                self.last_words = [*self.last_words[-30:], line]

    def _watch(self, process):
        while process.poll() is None:
            try:
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                return
            self.resident_bytes = max(self.resident_bytes, pages * os.sysconf("SC_PAGESIZE"))
            time.sleep(0.01)


class Tandem:
    def __init__(self, program):
        self.name = "Tandem"
        self.program = program

    def speeds(self, model, threads, prompts, contexts, generate):
        """(quantity, value) of one sample of prompts or of contexts; quantities are ("prompt" or "decode", tokens)."""
        if prompts:
            for result in self._bench(model, threads, prompts, 2)["results"]:
                yield ("prompt", result["prompt_tok"]), result["prompt_tok_per_s"]["median"]
        if contexts:
            asked = {max(context, 1): context for context in contexts}
            for result in self._bench(model, threads, list(asked), generate)["results"]:
                yield ("decode", asked[result["prompt_tok"]]), result["decode_tok_per_s"]["median"]
                yield ("decode GB/s", asked[result["prompt_tok"]]), result["decode_gb_per_s"]["median"]
                yield ("share of memory", asked[result["prompt_tok"]]), result["decode_share_of_memory"]["median"]

    def load(self, model, threads):
        measured = self._bench(model, threads, [FIRST_TOKEN_PROMPT_TOK], 2)
        yield ("load s", 0), measured["load_s"]
        yield ("resident GB", 0), measured["resident_bytes"] / 1e9
        yield ("first token ms", FIRST_TOKEN_PROMPT_TOK), measured["results"][0]["first_token_ms"]["median"]

    def _bench(self, model, threads, prompts, generate):
        return json.loads(Watched(
            [self.program, "bench", model, "--threads", str(threads), "--prompt", ",".join(map(str, prompts)),
             "--generate", str(generate), "--runs", "1", "--json"]).output)


class LlamaBench:
    """llama-bench of a peer. Subclasses know where two programs of that name differ."""

    def __init__(self, name, program, *flags):
        self.name = name
        self.command = [program, "-ctk", "f16", "-ctv", "f16", "-r", "1", *flags]

    def speeds(self, model, threads, prompts, contexts, generate):
        for test in self._run(model, threads, self._tests(prompts, contexts, generate)):
            if test["n_gen"] == 0:
                yield ("prompt", test["n_prompt"]), test["avg_ts"]
            else:
                yield ("decode", self._depth(test)), test["avg_ts"]

    def load(self, model, threads):
        (test,) = self._run(model, threads, ["-p", str(FIRST_TOKEN_PROMPT_TOK), "-n", "0"])
        yield ("first token ms", FIRST_TOKEN_PROMPT_TOK), FIRST_TOKEN_PROMPT_TOK / test["avg_ts"] * 1e3
        # The log says when a context is made, which needs the model; then two tokens.
        watched = Watched([*self.command, "-m", model, "-t", str(threads), "-p", "0", "-n", "2", "-v"],
                          ready=r"^llama_\w+: n_ctx +=")
        if watched.ready_s is None:
            raise EngineFailed("its log does not say when the model is loaded")
        yield ("load s", 0), watched.ready_s
        yield ("resident GB", 0), watched.resident_bytes / 1e9

    def _run(self, model, threads, tests):
        output = Watched([*self.command, "-m", model, "-t", str(threads), "-o", "json", *tests]).output
        return json.loads(output[output.index("["):])  # ik_llama.cpp writes notes before


class LlamaCpp(LlamaBench):
    def _tests(self, prompts, contexts, generate):
        if prompts:
            return ["-p", ",".join(map(str, prompts)), "-n", "0"]
        return ["-p", "0", "-n", str(generate), "-d", ",".join(map(str, contexts))]

    @staticmethod
    def _depth(test):
        return test["n_depth"]


class IkLlamaCpp(LlamaBench):
    def _tests(self, prompts, contexts, generate):
        tests = ["-p", ",".join(map(str, prompts or [0])), "-n", str(generate) if 0 in contexts else "0"]
        for context in contexts:
            if context > 0:
                tests += ["-gp", f"{context},{generate}"]
        return tests

    @staticmethod
    def _depth(test):
        return test["n_prompt"]


def engines_of(options):
    engines = [Tandem(options.tandem)]
    if options.llama_bench:
        for attention in ("on", "off"):
            engines.append(LlamaCpp(f"llama.cpp, -fa {attention}", options.llama_bench, "-fa", attention))
    if options.ik_llama_bench:
        for repack in ("0", "1"):
            engines.append(IkLlamaCpp(f"ik_llama.cpp, -rtr {repack}", options.ik_llama_bench, "-fa", "1", "-rtr", repack))
        if options.ik_without_fa:
            engines.append(IkLlamaCpp("ik_llama.cpp, -rtr 1 -fa 0", options.ik_llama_bench, "-fa", "0", "-rtr", "1"))
    return [engine for engine in engines if re.search(options.only, engine.name)]


def read_into_page_cache(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


class OtherWork:
    """How much of the machine was busy with something else since this was made."""

    def __init__(self):
        self.start = self._now()

    @staticmethod
    def _now():
        """Seconds: passed, of all processors busy or taken by the host, of our children."""
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle = fields[3] + fields[4]
        children = os.times()
        return (time.monotonic(), (sum(fields) - idle) / os.sysconf("SC_CLK_TCK"),
                children.children_user + children.children_system)

    def cores(self):
        passed, busy, ours = (now - then for now, then in zip(self._now(), self.start))
        return max(0.0, busy - ours) / passed


def generation(engine, model, threads, options):
    """(quantity, value) of decoding, and of the memory's speed on both sides of it."""
    for context in options.contexts:
        yield ("memory before", context), memory_gb_per_s(options.tandem, threads)
        yield from engine.speeds(model, threads, [], [context], options.generate)
        yield ("memory after", context), memory_gb_per_s(options.tandem, threads)


def memory_gb_per_s(tandem, threads):
    command = [Path(tandem).with_name("tandemd"), "--calibrate", "--memory", "--threads", str(threads)]
    return json.loads(Watched(command).output)["gb_per_s"]


def sample(engine, model, threads, options):
    others = OtherWork()
    record = {"model": Path(model).stem, "threads": threads, "engine": engine.name, "values": []}
    try:
        if options.prompts:
            values = engine.speeds(model, threads, options.prompts, [], options.generate)
            record["values"] += [[*quantity, value] for quantity, value in values]
        if options.contexts:
            values = generation(engine, model, threads, options)
            record["values"] += [[*quantity, value] for quantity, value in values]
        if options.load:
            record["values"] += [[*quantity, value] for quantity, value in engine.load(model, threads)]
    except EngineFailed as failure:
        record["error"] = str(failure)
    record["other_cores"] = round(others.cores(), 3)
    return record


def measure(options):
    engines = engines_of(options)
    start = time.time()
    with open(options.samples_file, "a") as samples:
        for turn in range(options.rounds):
            first = turn % len(engines)
            for model in options.models:
                read_into_page_cache(model)
                for threads in options.threads:
                    for engine in engines[first:] + engines[:first]:
                        record = sample(engine, model, threads, options)
                        record["round"] = f"{start:.0f}.{turn}"
                        print(json.dumps(record), file=samples, flush=True)


class Samples:
    """The samples of one quantity by engine, then by round."""

    def __init__(self):
        self.by_engine = defaultdict(dict)

    def best(self, family, higher_is_better):
        """The variant of `family` with the best median; None without samples."""
        of_family = [name for name in self.by_engine if name.split(",")[0] == family]
        choose = max if higher_is_better else min
        return choose(of_family, key=lambda name: statistics.median(self.by_engine[name].values()), default=None)

    def cell(self, engine):
        if engine is None:
            return "-"
        values = list(self.by_engine[engine].values())
        flags = engine.partition(",")[2]
        spread = f" ({number(min(values))} to {number(max(values))})" if len(values) > 1 else ""
        return f"{number(statistics.median(values))}{spread}{flags}"

    def ratio_of_medians(self, engine, other):
        ours, theirs = (statistics.median(self.by_engine[name].values()) for name in (engine, other))
        return f"{ours / theirs:.2f}"

    def ratio(self, engine, other):
        """Of samples of the same round."""
        ours, theirs = self.by_engine[engine], self.by_engine[other]
        ratios = [ours[turn] / theirs[turn] for turn in ours if turn in theirs]
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "-"


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


FEWER_IS_BETTER = ("load s", "resident GB", "first token ms")


def shown(values):
    return [value for value in values if not value[0].startswith("memory ")]


def at_equal_memory(values):
    """Decoding by what the memory gave around it, where that was steady."""
    of = {(kind, tok): value for kind, tok, value in values}
    for (kind, tok), tok_per_s in of.items():
        if kind != "decode" or ("memory before", tok) not in of:
            continue
        before, after = of["memory before", tok], of["memory after", tok]
        if abs(before - after) <= STEADY * max(before, after):
            yield AT_EQUAL_MEMORY, tok, tok_per_s / ((before + after) / 2)


def print_tables(path, most_others):
    table = defaultdict(Samples)
    failures = {}
    records = [json.loads(line) for line in Path(path).read_text().splitlines()]
    quiet = [record for record in records if record["other_cores"] <= most_others]
    for record in quiet:
        for kind, tok, value in [*shown(record["values"]), *at_equal_memory(record["values"])]:
            key = (record["model"], record["threads"], kind, tok)
            table[key].by_engine[record["engine"]][record["round"]] = value
        if "error" in record:
            failures[record["model"], record["engine"]] = record["error"]
    print("| model | threads | quantity | Tandem | llama.cpp | ik_llama.cpp | Tandem / better peer |")
    print("|---|---|---|---|---|---|---|")
    for key in sorted(table):
        print_row(key, table[key])
    for (model, engine), error in failures.items():  # its last words
        print(f"| {model} | | {engine} fails | `{error}` | | | |")
    if len(quiet) < len(records):
        print(f"\n{len(records) - len(quiet)} of {len(records)} samples left out: something else was running.")


def print_row(key, samples):
    model, threads, kind, tok = key
    more = kind not in FEWER_IS_BETTER
    ours, *peers = (samples.best(family, more) for family in ("Tandem", "llama.cpp", "ik_llama.cpp"))
    there = [peer for peer in peers if peer]
    choose = max if more else min
    better = choose(there, key=lambda name: statistics.median(samples.by_engine[name].values()), default=None)
    compare = samples.ratio_of_medians if kind == AT_EQUAL_MEMORY else samples.ratio
    ratio = compare(ours, better) if ours and better else "-"
    at = {"prompt": f" of {tok} tok", "first token ms": f", {tok} tok", "load s": "", "resident GB": ""}.get(
        kind, f" at context {tok}")
    unit = ", tok/s" if kind in ("prompt", "decode") else ""
    print(f"| {model} | {threads} | {kind}{at}{unit} | " + " | ".join(map(samples.cell, (ours, *peers))) + f" | {ratio} |")


def numbers(text):
    return [int(number) for number in text.split(",") if number]


def thread_counts(text):
    return [len(os.sched_getaffinity(0)) if word == "all" else int(word) for word in text.split(",")]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="GGUF files, e.g. of tandem-make-model --layers 6")
    parser.add_argument("--tandem", default="build/tandem", help="beside its tandemd")
    parser.add_argument("--llama-bench", help="of llama.cpp")
    parser.add_argument("--ik-llama-bench", help="of ik_llama.cpp")
    parser.add_argument("--samples-file", required=True, help="samples are appended to it")
    parser.add_argument("--rounds", type=int, default=5, help="samples of every engine")
    parser.add_argument("--threads", type=thread_counts, default=thread_counts("1,2,all"))
    parser.add_argument("--prompts", type=numbers, default=numbers(DEFAULT_PROMPTS), help="tokens; empty: none")
    parser.add_argument("--contexts", type=numbers, default=numbers(DEFAULT_CONTEXTS), help="of generation; empty: none")
    parser.add_argument("--generate", type=int, default=32, help="tokens")
    parser.add_argument("--load", action="store_true", help="also load time, memory, time to the first token")
    parser.add_argument("--most-others", type=float, default=0.3, help="cores that others may have during a sample")
    parser.add_argument("--only", default="", help="engines whose name matches this")
    parser.add_argument("--ik-without-fa", action="store_true", help="also ik_llama.cpp without flash attention")
    return parser.parse_args()


def main():
    options = parse_options()
    try:
        measure(options)
    except KeyboardInterrupt:
        print("interrupted: tables of the samples so far", file=sys.stderr)
    print_tables(options.samples_file, options.most_others)


if __name__ == "__main__":
    main()
