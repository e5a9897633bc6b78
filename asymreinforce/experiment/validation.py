"""Validation: the model in training answers the validation prompts, and a grader judges them."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from asymreinforce.config import ExperimentConfig, RewardConfig
from asymreinforce.data import contracts
from asymreinforce.engines.protocol import Completion
from asymreinforce.errors import GraderError
from asymreinforce.experiment.inputs import Inputs
from asymreinforce.grading.pool.pool import grader_pool
from asymreinforce.grading.questions import require_usable
from asymreinforce.grading.verdict import GradedRow, Verdict

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from asymreinforce.stages.train import Validate


@contextlib.contextmanager
def open_validator(config: ExperimentConfig, arm_inputs: Inputs) -> Iterator["Validate | None"]:
    """Yield a function that samples answers to the validation prompts and returns the accuracy.

    The function is None if there are no validation prompts. Raises `InputError` if the grader
    cannot use the gold answers.
    """
    if not config.train.validation_prompts:
        yield None
        return
    from asymreinforce.engines.encoding import decode_completions, encode_prompts
    from asymreinforce.engines.transformers_engine import TransformersEngine
    from asymreinforce.model.checkpoint import end_tokens, load_tokenizer

    path = arm_inputs.prompts.path("validation.parquet")
    questions = contracts.read_table(path, contracts.PROMPTS)
    questions = questions.slice(0, config.train.validation_prompts)
    require_usable(config.task.grader, [questions], where=path)
    trust_remote_code = config.policy.trust_remote_code
    tokenizer = load_tokenizer(arm_inputs.checkpoint, trust_remote_code=trust_remote_code)
    encoded = encode_prompts(questions, tokenizer, config, checkpoint=arm_inputs.checkpoint)
    sampling = config.evaluation.sampling.model_copy(update={"samples_per_prompt": 1})
    engine = TransformersEngine(config.engine, config.policy)
    ends = end_tokens(arm_inputs.checkpoint, trust_remote_code=trust_remote_code)
    golds, metadata = (questions.column(n).to_pylist() for n in ("gold_answer", "metadata"))
    with grader_pool(config.task.grader, config.reward, workers=1) as pool:

        def validate(model: "PreTrainedModel", step: int) -> float:
            # only the texts are graded, so no log-probabilities are computed
            engine.use(model, end_tokens=ends, with_logps=False)
            completions = [row[0] for row in engine.sample(encoded, sampling, seed=sampling.seed)]
            # the engine keeps no reference to the model, so that the trainer can free the device
            engine.release()
            decoded = decode_completions(completions, tokenizer)
            rows = (GradedRow(m, g, t) for m, g, t in zip(metadata, golds, decoded, strict=True))
            return _mean_accuracy(list(pool.grade(rows)), completions, config.reward)

        yield validate


def _mean_accuracy(
    verdicts: Sequence[Verdict], completions: Sequence[Completion], scale: RewardConfig
) -> float:
    """Return the share of correct answers; raise `GraderError` if none could be judged."""
    import numpy as np

    from asymreinforce.rewards.scale import scale_rewards

    accuracy = scale_rewards(
        score_B=np.array([verdict.score for verdict in verdicts], dtype=float),
        status_B=np.array([verdict.status for verdict in verdicts]),
        truncated_B=np.array([row.finish_reason == "length" for row in completions]),
        config=scale,
    ).accuracy
    if accuracy is None and all(verdict.status in contracts.UNJUDGED for verdict in verdicts):
        raise GraderError(
            f"validation: the grader could judge none of {len(verdicts)} answers; check "
            "task.grader and reward.cpu_limit_s"
        )
    return accuracy or 0.0  # None if all answers are left out: a collapsed policy gave none
