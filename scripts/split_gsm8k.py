"""Split GSM8K's training file: solutions to fine-tune on, and its easiest questions to reinforce.

    python scripts/split_gsm8k.py train.jsonl DIR     DIR/solutions.jsonl, DIR/questions.jsonl

The file is `train.jsonl` of openai/grade-school-math (Cobbe et al. 2021, arXiv 2110.14168), with
"question" and "answer" in each line. A question is easy if its solution calculates at most twice
(`<<48/2=24>>`). Half of the easy questions go to questions.jsonl; all other questions go with
their solutions to solutions.jsonl, without the marks of the calculator, so that no question is in
both.
"""

import argparse
import json
import random
import re
import sys
from pathlib import Path

CALCULATION = re.compile(r"<<[^>]*>>")
MOST_CALCULATIONS = 2
SEED = 0
"""The seed of the choice among the easy questions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("train", type=Path, help="train.jsonl of GSM8K")
    parser.add_argument("directory", type=Path, help="where the two files go")
    chosen = parser.parse_args()
    rows = _read(chosen.train)
    random.Random(SEED).shuffle(rows)
    easy = [r for r in rows if len(CALCULATION.findall(r["answer"])) <= MOST_CALCULATIONS]
    asked = easy[: len(easy) // 2]
    texts = {row["question"] for row in asked}
    others = [row for row in rows if row["question"] not in texts]
    chosen.directory.mkdir(parents=True, exist_ok=True)
    _write(chosen.directory / "questions.jsonl", asked)
    solutions = [
        {
            "question": row["question"],
            "completion": CALCULATION.sub("", row["answer"]),
            "gold_answer": row["answer"].rpartition("####")[2].strip(),
            "reward": 1.0,
        }
        for row in others
    ]
    _write(chosen.directory / "solutions.jsonl", solutions)
    print(f"{len(solutions)} solutions, and {len(asked)} easy questions")


def _read(path: Path) -> list[dict[str, str]]:
    """Return the rows of GSM8K's file; end with a message if it is another file."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        sys.exit(f"error: {path} cannot be read as lines of JSON: {error}")
    for number, row in enumerate(rows, start=1):
        fields = row if isinstance(row, dict) else {}
        if not all(isinstance(fields.get(name), str) for name in ("question", "answer")):
            sys.exit(f"error: {path}, line {number}: needs the texts 'question' and 'answer'")
    return rows


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
