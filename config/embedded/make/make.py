"""Make the embedded model from nothing but Debian 12 packages.

    apt-get install python3-torch python3-sentencepiece python3-numpy
    python3 make.py --work FOLDER fetch                                          # descriptions, vocabulary
    python3 train.py --work FOLDER --stage language --minutes 80 --workers 3     # one worker where there is a GPU
    python3 train.py --work FOLDER --stage names --minutes 80 --workers 3
    python3 export.py --work FOLDER --out FOLDER                                 # F32, Q8_0 and Q4_0 files
    python3 make.py --work FOLDER ask "What is zstd?"                            # a look at the result, rounded

Training needs only FOLDER/records.jsonl and FOLDER/vocabulary.json, so these two may be carried to a faster machine.
Newer versions of torch work too and are faster where they compile.
"""

import argparse
import pathlib

import corpus
import vocabulary


def fetch(work: pathlib.Path):
    """Write records.jsonl and vocabulary.json; the vocabulary is learnt from the training part only."""
    work.mkdir(parents=True, exist_ok=True)
    records = corpus.load_records(corpus.write_records(work))
    learnt = [r for r in records if not r["held_out"]]
    words = vocabulary.train([f"{r['name']} {r['summary']} {r['text']}" for r in learnt])
    vocabulary.save(words, work / "vocabulary.json")
    print(f"{len(records)} descriptions, {len(records) - len(learnt)} of them held out")


def ask(work: pathlib.Path, questions: list[str]):
    """Print greedy answers; recomputes everything for each token, so it is slow but depends on nothing else."""
    import torch

    import chats
    from train import load_model

    torch.set_num_threads(1)
    model = load_model(work / "names.pt")
    encoder = vocabulary.Encoder(vocabulary.load(work / "vocabulary.json"))
    end = encoder.ids["<turn|>"]
    with torch.no_grad(), model.quantised():
        for question in questions:
            ids = encoder.encode(chats.prompt(question))
            start = len(ids)
            while len(ids) < start + 150 and ids[-1] != end:
                ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
            print(f"{question}\n    {encoder.decode(ids[start:])}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("action", choices=["fetch", "ask"])
    parser.add_argument("questions", nargs="*")
    args = parser.parse_args()
    if args.action == "fetch":
        fetch(args.work)
    else:
        ask(args.work, args.questions)


if __name__ == "__main__":
    main()
