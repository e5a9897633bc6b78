"""`asymrl new`: write an experiment's file to fill in, which every other command takes."""

from pathlib import Path
from typing import Annotated

import typer

TEMPLATE = """\
# An experiment. A line KEY: VALUE here means KEY=VALUE on the command line, which takes precedence.
#
#   asymrl plan {file}                 print what a sweep would need, and run nothing
#   asymrl sweep {file}                prompts, rollouts, verdicts, arms, report
#   asymrl train name={name} baseline=-0.05      later, the name alone brings the settings back
#
# Replace each ???. 'asymrl settings' lists every setting with its meaning.

name: {name}                     # results are in runs/{name}/

# The model: a directory with a checkpoint, or an id of the Hugging Face hub
model: checkpoint
policy.source: ???
policy.dtype: bfloat16           # of generation; float32 on a CPU
policy.context: 2048             # longest prompt and completion together, in tokens
engine: vllm                     # or transformers, if vLLM is not installed

# The questions: JSONL, parquet, CSV or Arrow; a line may be {{"question": "2 + 3?", "answer": "5"}}
task: file
task.name: {name}
task.path: ???
task.columns.question: question
task.columns.answer: answer
task.held_out: ???               # number of questions kept back to measure results on
task.validation: 0               # number of questions kept back to choose the best checkpoint
task.instruction: "Think step by step, and put your final answer within \\\\boxed{{}}."
task.grader: math                # or exact, gsm8k, multiple_choice, module:function

# Lengths and sizes
sampling.max_tokens: 1024        # longest completion, of evaluation too
sampling.samples_per_prompt: 8   # completions of a question: a group
optim.trajectories_per_step: 64  # completions of a gradient step: whole groups
optim.lr: 1e-6
optim.epochs: 1                  # passes over the questions

# The sweep: one arm for each combination
baseline: [-0.3, -0.1, 0, 0.1]   # delta-V: V(x) = mean reward of the group + baseline
seed: [0, 1, 2]
"""


def new(
    file: Annotated[
        Path, typer.Argument(help="The file to write, such as arithmetic.yaml.", show_default=False)
    ],
) -> None:
    """Write an experiment's file to fill in: model, questions, grader, lengths.

    asymrl new arithmetic.yaml

    asymrl sweep arithmetic.yaml                     then run all stages with this file
    """
    from asymreinforce import terminal

    write(file)
    terminal.print_line(
        f"{file}: replace each ???, then run 'asymrl sweep {file}'", to_stderr=False
    )


def write(path: Path) -> None:
    """Write a commented file; raises `ConfigError` if it exists or does not end in .yaml."""
    from asymreinforce.errors import ConfigError, StorageError
    from asymrl.experiment_file import name_of
    from asymrl.words import FILES

    if path.suffix not in FILES:
        raise ConfigError(f"{path}: an experiment's file ends in .yaml, such as {path.stem}.yaml")
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(TEMPLATE.format(file=path, name=name_of(path)))
    except FileExistsError:
        raise ConfigError(
            f"{path}: is there already, and is left as it is; delete it, or choose another name"
        ) from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from None
