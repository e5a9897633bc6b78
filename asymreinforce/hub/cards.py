"""Write the cards of pushed checkpoints and rollouts: contents, results, settings, citation.

A card shows only the last part of a local path, so that it reveals no directory of this machine.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asymreinforce.data import determines
from asymreinforce.experiment.arms import TrainedArm
from asymreinforce.untrusted import visible

PAPER = "2506.20520"
CITATION = """```bibtex
@article{arnal2025asymmetric,
  title   = {Asymmetric REINFORCE for off-Policy Reinforcement Learning: Balancing positive and
             negative rewards},
  author  = {Arnal, Charles and Narozniak, Gaetan and Cabannes, Vivien and Tang, Yunhao and
             Kempe, Julia and Munos, Remi},
  journal = {arXiv preprint arXiv:2506.20520},
  year    = {2025}
}
```"""
MADE_BY = (
    "Made with asymreinforce: off-policy REINFORCE on one frozen set of rollouts, after Arnal et "
    f"al. 2025 ([arXiv {PAPER}](https://arxiv.org/abs/{PAPER}))."
)
COLUMNS = {
    "split": "split",
    "step": "step",
    "accuracy": "accuracy",
    "accuracy_se": "standard error",
    "k": "k",
    "pass_at_k": "pass@k",
    "prompts": "prompts",
}
"""Columns of CURVES that a card shows, with their titles."""


def model_card(
    arm: TrainedArm, *, step: int, curves: Sequence[Mapping[str, Any]], title: str
) -> str:
    """Return the card of a checkpoint: results of mu and of the step, settings, citation.

    `curves` are the arm's rows of CURVES; if there are none, the card says so.
    """
    config = arm.config
    settings = determines.determining_settings(determines.flat_settings(config), determines.ARM)
    base = _hub_name(config.policy.source)
    head = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        **({"base_model": base} if base else {}),
        "tags": ["asymreinforce", "reinforcement-learning", f"arxiv:{PAPER}"],
    }
    told = [row for row in curves if row["step"] in {0, step}]
    told.sort(key=lambda row: (row["split"], row["step"]))
    collapse = arm.store.facts.get("collapse_step")
    warning = ""
    if collapse:
        warning = f"\nThis arm collapsed at step {collapse} (docs/reference/collapse.md).\n"
    results = _table(told) if told else "This checkpoint was not evaluated."
    return f"""{_front(head)}
# {_inline(title)}

{MADE_BY}

Step {step} of {arm.last_step} of one arm: objective `{config.algorithm.name}`,
baseline {config.baseline:+g} on reference `{config.baseline_reference}`, seed {config.seed}, from
the behaviour policy {_inline(base or _shareable(config.policy.source))}.
{warning}
## Results

{results}

Step 0 is the behaviour policy. Held-out questions are not used to choose: the checkpoint was chosen
on validation questions, or by hand.

## Settings

{_fenced(_shareable(settings))}

## Citation

{CITATION}
"""


def dataset_card(*, title: str, counts: Mapping[str, Any], identities: Mapping[str, Any]) -> str:
    """Return the card of rollouts with verdicts: columns, counts, settings, citation."""
    head = {"tags": ["asymreinforce", "rollouts", f"arxiv:{PAPER}"]}
    lines = "\n".join(f"- {name}: {value}" for name, value in counts.items())
    return f"""{_front(head)}
# {_inline(title)}

{MADE_BY}

A row is one completion of the behaviour policy with the verdict of a grader. Texts were written by
models: they are data, not instructions.

{lines}

| column | meaning |
| --- | --- |
| prompt_id, sample | key of a row; rows of one prompt are a group |
| question, gold_answer | null if the experiment no longer has the question |
| policy | the policy that wrote the completion |
| prompt_token_ids, completion_token_ids | as they were sampled |
| behaviour_logps | log-probability of each completion token, null if unknown |
| finish_reason, text | stop or length; the completion decoded |
| score, status, truncated, extracted_answer | the verdict; null if it was not graded |
| grader, grader_version | the grader of the verdict |

Advantages are not stored: they are a function of reward, group and baseline.

## Settings

{_fenced(_shareable(identities))}

## Citation

{CITATION}
"""


def _front(head: Mapping[str, Any]) -> str:
    # every JSON value is a YAML value
    return "\n".join(["---", *(f"{key}: {json.dumps(head[key])}" for key in head), "---"])


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [" | ".join(COLUMNS.values()), " | ".join("---" for _ in COLUMNS)]
    lines += [" | ".join(_cell(row[name]) for name in COLUMNS) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else _inline(str(value))


def _inline(text: Any) -> str:
    """Return a text as one line, with the signs of Markdown escaped."""
    words = " ".join(visible(str(text)).split())
    return "".join(f"\\{sign}" if sign in r"\`*_[]<>|#!" else sign for sign in words)


def _fenced(value: Any) -> str:
    text = json.dumps(value, indent=2, sort_keys=True)
    fence = "```"
    # a fence inside the text would end the block
    while fence in text:
        fence += "`"
    return f"{fence}json\n{text}\n{fence}"


def _hub_name(source: str) -> str | None:
    """Return the name of a policy on the hub; None for the embedded policy or a directory."""
    is_name = source.count("/") == 1 and not source.startswith((".", "/", "~"))
    return source if is_name and not Path(source).exists() else None


def _shareable(value: Any) -> Any:
    """Replace each local path in a value by its last part."""
    if isinstance(value, Mapping):
        return {key: _shareable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shareable(inner) for inner in value]
    if isinstance(value, str) and _is_path(value):
        return Path(value).name
    return value


def _is_path(text: str) -> bool:
    if text.startswith(("/", "~/", "./", "../")):
        return "\n" not in text
    try:
        return "/" in text and Path(text).exists()
    except (OSError, ValueError):
        return False
