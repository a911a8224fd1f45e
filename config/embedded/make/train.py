"""Train one stage of the embedded model for a given time; resumes from its checkpoint FOLDER/STAGE.pt.

python3 train.py --work FOLDER --stage language --minutes 80 --workers 3
python3 train.py --work FOLDER --stage names --minutes 80 --workers 3

FOLDER holds records.jsonl and vocabulary.json.  A stage may be stopped at any moment and goes on after the same command.
On a CPU, workers are single-threaded processes that average their gradients: threads that wait for each other at every
operation would crawl on a busy machine.
"""

import argparse
import dataclasses
import json
import pathlib
import random
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.distributed
import torch.multiprocessing

import chats
import corpus
import vocabulary
from model import Gemma4, Shape

ROW = 512  # tokens of a training row; conversations follow one another in it
WEIGHT_OF_REST = 0.1  # loss weight of questions and markers, answers have 1
WARM_UP_STEPS = 50
LONG_PART = 0.1  # last share of a stage, on rows of the full context


@dataclasses.dataclass
class Stage:
    """What a part of training reads and how fast it learns; shares are of the time of this stage."""

    epoch: Callable  # conversations of one pass over records
    before: str | None  # stage whose weights it starts from
    rate_of_matrices: float
    rate_of_rest: float
    decay_part: float  # last share, in which the rates sink
    rounded_part: float  # last share, on rounded weights


STAGES = {
    "language": Stage(chats.epoch, None, 0.02, 0.003, 0.5, 0.2),
    "names": Stage(chats.names_epoch, "language", 0.012, 0.002, 1.0, 0.4),
}


def rows_of(conversations: list[list[tuple[str, bool]]], encoder: vocabulary.Encoder, seed: int):
    """Tokens and loss weights [rows, ROW + 1] of conversations that follow one another; rows in random order."""
    ids, weights = [], []
    for chat in conversations:
        for text, own in chat:
            piece = encoder.encode(text)
            ids += piece
            weights += [1.0 if own else WEIGHT_OF_REST] * len(piece)
    rows = (len(ids) - 1) // ROW
    starts = np.arange(rows)[:, None] * ROW + np.arange(ROW + 1)[None]
    order = np.random.default_rng(seed).permutation(rows)
    return (
        torch.from_numpy(np.array(ids, dtype=np.int64)[starts][order]),
        torch.from_numpy(np.array(weights, dtype=np.float32)[starts][order]),
    )


def weighted_loss(model: Gemma4, tokens: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor):
    """Weighted mean of next-token losses (to differentiate), sum of answer losses, number of answer tokens."""
    with torch.autocast(tokens.device.type, dtype=torch.bfloat16):
        hidden = model.hidden(tokens)
    losses, mean = model.losses(hidden, targets.flatten(), weights.flatten(), torch.bfloat16)
    answer = (weights.flatten() == 1).float()
    return mean, (losses * answer).sum(), answer.sum()


def batch(rows: torch.Tensor, weights: torch.Tensor, length: int, device: str):
    """Inputs, targets and weights [rows, length]; a multiple of ROW joins neighbours into longer rows."""
    return [t.reshape(-1, length).to(device) for t in (rows[:, :-1], rows[:, 1:], weights[:, 1:])]


class Muon:
    """Momentum whose update is orthogonalised by a Newton-Schulz iteration (Jordan et al., 2024); for matrices."""

    def __init__(self, matrices, momentum: float = 0.95):
        self.matrices, self.momentum = matrices, momentum
        self.velocity = [torch.zeros_like(m) for m in matrices]

    @torch.no_grad()
    def step(self, rate: float):
        by_shape: dict = {}
        for m, v in zip(self.matrices, self.velocity):
            v.lerp_(m.grad, 1 - self.momentum)
            by_shape.setdefault(tuple(m.shape), []).append((m, m.grad.lerp(v, self.momentum)))
        for (rows, columns), pairs in by_shape.items():
            updates = orthogonal(torch.stack([u for _, u in pairs])) * max(1.0, rows / columns) ** 0.5
            for (m, _), u in zip(pairs, updates):
                m.mul_(1 - rate * 0.1).sub_(u, alpha=rate)


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    """Nearest semi-orthogonal matrices, roughly; x [count, rows, columns]."""
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = (x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)).bfloat16().contiguous()
    for _ in range(5):
        a = x @ x.transpose(1, 2)
        b = torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, b, x, beta=3.4445)
    return (x.transpose(1, 2) if tall else x).float()


def rate_factor(step: int, progress: float, decay_part: float) -> float:
    """Warm-up, level, then a straight line down to almost nothing at progress 1."""
    return max(0.01, min(1.0, (step + 1) / WARM_UP_STEPS, (1 - progress) / decay_part))


def load_model(path: pathlib.Path) -> Gemma4:
    """The model of a checkpoint, weights as trained (not rounded)."""
    state = torch.load(path, map_location="cpu")
    model = Gemma4(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model


@torch.no_grad()
def held_out_loss(model: Gemma4, rows: torch.Tensor, weights: torch.Tensor, device: str) -> float:
    """Mean answer loss in nats a token."""
    parts = [
        weighted_loss(model, *batch(rows[i : i + 8], weights[i : i + 8], ROW, device))[1:]
        for i in range(0, len(rows), 8)
    ]
    return float(sum(p[0] for p in parts) / sum(p[1] for p in parts))


class Trainer:
    """One worker's state; all workers hold the same model and take the same steps."""

    def __init__(self, rank: int, args: argparse.Namespace):
        self.rank, self.args, self.stage = rank, args, STAGES[args.stage]
        records = corpus.load_records(args.work / "records.jsonl")
        self.encoder = vocabulary.Encoder(vocabulary.load(args.work / "vocabulary.json"))
        self.learnt = [r for r in records if not r["held_out"]]
        held_out = [r for r in records if r["held_out"]]
        self.held = rows_of(chats.epoch(held_out, random.Random(0)), self.encoder, seed=0)
        if self.stage.before:
            self.model = load_model(args.work / f"{self.stage.before}.pt").to(args.device)
        else:
            self.model = Gemma4(Shape(layers=args.layers)).to(args.device)
        self.muon = Muon(self.model.matrices())
        self.adam = torch.optim.Adam([self.model.token_embd, *self.model.vectors()], betas=(0.9, 0.98))
        self.loss_of = (
            torch.compile(weighted_loss, dynamic=False) if hasattr(torch, "compile") else weighted_loss
        )
        self.step, self.epoch, self.row, self.seconds = 0, 1, 0, 0.0
        self.answer_loss, self.answer_tokens = 0.0, 1e-9
        self.checkpoint = args.work / f"{args.stage}.pt"
        if self.checkpoint.exists():
            self.resume()
        self.rows, self.weights = self.epoch_rows()

    def epoch_rows(self):
        """Rows of the current epoch; every epoch has other questions in another order."""
        conversations = self.stage.epoch(self.learnt, random.Random(self.epoch))
        return rows_of(conversations, self.encoder, self.epoch)

    def resume(self):
        state = torch.load(self.checkpoint, map_location=self.args.device)
        self.model.load_state_dict(state["model"])
        self.adam.load_state_dict(state["adam"])
        for v, saved in zip(self.muon.velocity, state["muon"]):
            v.copy_(saved)
        self.step, self.epoch, self.row, self.seconds = (
            state[k] for k in ("step", "epoch", "row", "seconds")
        )

    def save(self):
        new = self.checkpoint.with_suffix(".new")
        torch.save(
            {
                "model": self.model.state_dict(),
                "adam": self.adam.state_dict(),
                "muon": self.muon.velocity,
                "step": self.step,
                "epoch": self.epoch,
                "row": self.row,
                "seconds": self.seconds,
                "shape": dataclasses.asdict(self.model.shape),
            },
            new,
        )
        new.rename(self.checkpoint)

    def next_rows(self):
        """This worker's share of the next rows, all epochs in a different order and with different questions."""
        share = self.args.micro_rows * self.args.accumulate
        if self.row + share * self.args.workers > len(self.rows):
            self.epoch, self.row = self.epoch + 1, 0
            self.rows, self.weights = self.epoch_rows()
        first = self.row + self.rank * share
        self.row += share * self.args.workers
        return self.rows[first : first + share], self.weights[first : first + share]

    def gradients(self, length: int):
        rows, weights = self.next_rows()
        size = self.args.micro_rows
        for i in range(0, len(rows), size):
            part = batch(rows[i : i + size], weights[i : i + size], length, self.args.device)
            loss, own, count = self.loss_of(self.model, *part)
            (loss / self.args.accumulate).backward()
            self.answer_loss, self.answer_tokens = self.answer_loss + float(own), self.answer_tokens + float(
                count
            )

    def average_gradients(self):
        """Mean over the workers, together with the elapsed seconds so that all agree on the progress."""
        if self.args.workers == 1:
            return
        parameters = list(self.model.parameters())
        flat = torch.cat([p.grad.flatten() for p in parameters] + [torch.tensor([self.seconds])])
        torch.distributed.all_reduce(flat)
        flat /= self.args.workers
        for p, g in zip(parameters, flat[:-1].split([p.numel() for p in parameters])):
            p.grad.copy_(g.view_as(p))
        self.seconds = float(flat[-1])

    def take_step(self):
        began = time.monotonic()
        progress = self.seconds / (60 * self.args.minutes)
        length = self.model.shape.context if progress >= 1 - LONG_PART else ROW
        if progress >= 1 - self.stage.rounded_part:
            with self.model.quantised():
                self.gradients(length)
        else:
            self.gradients(length)
        self.average_gradients()
        factor = rate_factor(self.step, progress, self.stage.decay_part)
        self.adam.param_groups[0]["lr"] = self.stage.rate_of_rest * factor
        self.adam.step()
        self.muon.step(self.stage.rate_of_matrices * factor)
        self.model.zero_grad(set_to_none=True)
        self.step += 1
        self.seconds += time.monotonic() - began

    def report(self, held_out_rows: int = 0):
        line = {
            "step": self.step,
            "epoch": self.epoch,
            "row": self.row,
            "minutes": round(self.seconds / 60, 2),
            "loss": round(self.answer_loss / self.answer_tokens, 4),
        }
        self.answer_loss, self.answer_tokens = 0.0, 1e-9
        if held_out_rows:
            rows, weights = (t[:held_out_rows] for t in self.held)
            line["held_out"] = round(held_out_loss(self.model, rows, weights, self.args.device), 4)
        with (self.args.work / f"{self.args.stage}.log").open("a") as out:
            out.write(json.dumps(line) + "\n")

    def run(self):
        while self.seconds < 60 * self.args.minutes:
            self.take_step()
            if self.rank == 0 and self.step % 20 == 0:
                self.report(24 if self.step % 200 == 0 else 0)
            if self.rank == 0 and self.step % 50 == 0:
                self.save()
        if self.rank == 0:
            self.save()
            with self.model.quantised():
                self.report(len(self.held[0]))


def work(rank: int, args: argparse.Namespace):
    torch.manual_seed(1)
    if args.device == "cpu":
        torch.set_num_threads(1)
    if args.workers > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{args.work.absolute()}/meeting", rank=rank, world_size=args.workers
        )
    Trainer(rank, args).run()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument(
        "--minutes", type=float, required=True, help="training time; a resumed run gives the same"
    )
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--micro-rows", type=int, default=4)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    (args.work / "meeting").unlink(missing_ok=True)
    torch.multiprocessing.spawn(work, args=(args,), nprocs=args.workers)


if __name__ == "__main__":
    main()
