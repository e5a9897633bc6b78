"""Evaluate: sample from checkpoints on the prompts of a split, and grade the samples.

One engine start serves many checkpoints. All checkpoints have the same prompts and the same seed,
so that differences between them are paired. A checkpoint's rows are one shard, which is named by
the checkpoint's fingerprint.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.task import Split
from asymreinforce.data import contracts
from asymreinforce.data.provenance import run_provenance
from asymreinforce.data.store import Store
from asymreinforce.engines import engine_identity
from asymreinforce.engines.encoding import decode_completions, encode_prompts
from asymreinforce.engines.protocol import Engine
from asymreinforce.errors import InputError
from asymreinforce.grading.graders import identify
from asymreinforce.grading.pool.pool import GraderPool, grader_pool
from asymreinforce.grading.questions import require_usable
from asymreinforce.grading.verdict import GradedRow
from asymreinforce.model.checkpoint import load_tokenizer
from asymreinforce.model.fingerprint import require_unchanged, tokenizer_fingerprint
from asymreinforce.model.prompts import identity_of
from asymreinforce.progress import Advance
from asymreinforce.rewards.sums import facts_of, sums_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class _EncodedQuestions(NamedTuple):
    """The questions in the tokens of a tokenizer."""

    tokenizer: "PreTrainedTokenizerBase"
    prompts: list[list[int]]


def evaluation_store(
    config: ExperimentConfig, *, split: Split, prompts: Store, parent: Path
) -> Store:
    """Return the store of evaluations under one set of settings; each checkpoint is one shard."""
    grader = identify(config.task.grader)
    is_evaluated_split = split == config.evaluation.split
    limit = config.evaluation.prompts if is_evaluated_split else config.evaluation.train_prompts
    identity = {
        "stage": "evaluations",
        "contract": contracts.EVALUATIONS.label,
        "split": split,
        "prompts": prompts.fingerprint([f"{split}.parquet"]),
        "first_prompts": limit,
        "prompt": identity_of(config),
        "sampling": config.evaluation.sampling.model_dump(mode="json"),
        "engine": engine_identity(config.engine, config.policy),
        "context": config.policy.context,
        "grader": [grader.name, grader.version],
        "limits": config.reward.limits,
    }
    return Store(parent, identity)


def shard_of(policy: str) -> str:
    """Return the name of the shard of a checkpoint with the fingerprint `policy`."""
    return f"{policy}.parquet"


def evaluate(
    config: ExperimentConfig,
    *,
    checkpoints: Mapping[str, Path],
    store: Store,
    prompts: Store,
    engine: Engine,
    advance: Advance,
) -> None:
    """Evaluate the checkpoints (fingerprint -> directory) whose shards are missing.

    The caller plans the store, because several processes may each evaluate some checkpoints.
    """
    missing = store.missing([shard_of(policy) for policy in checkpoints])
    if not missing:
        return
    questions = _read_questions(store, prompts)
    # arms may have different policies: each tokenizer encodes the questions once
    asked: dict[str, _EncodedQuestions] = {}
    seed = evaluation_seed(config.evaluation.sampling.seed, str(store.identity["split"]))
    with grader_pool(config.task.grader, config.reward, workers=1) as pool:
        for policy, checkpoint in checkpoints.items():
            name = shard_of(policy)
            if name not in missing:
                continue
            # the shard is named by this fingerprint, so the weights must still have it
            require_unchanged(
                checkpoint, named=policy, safetensors_only=config.policy.safetensors_only
            )
            if (key := tokenizer_fingerprint(checkpoint)) not in asked:
                asked[key] = _encode_questions(questions, config, checkpoint=checkpoint)
            engine.load(checkpoint)
            drawn = engine.sample(asked[key].prompts, config.evaluation.sampling, seed=seed)
            rows = _grade_completions(questions, drawn, asked[key].tokenizer, pool)
            facts = {"policy": policy, "rows": len(rows), **_sums_facts(rows, config, name)}
            contracts.publish_table(store, name, contracts.EVALUATIONS, rows, facts=facts)
            advance(1)
    store.record(run_provenance(engine=config.engine.name, checkpoints=len(missing)))


def _encode_questions(
    questions: pa.Table, config: ExperimentConfig, *, checkpoint: Path
) -> _EncodedQuestions:
    tokenizer = load_tokenizer(checkpoint, trust_remote_code=config.policy.trust_remote_code)
    return _EncodedQuestions(
        tokenizer, encode_prompts(questions, tokenizer, config, checkpoint=checkpoint)
    )


def _sums_facts(rows: pa.Table, config: ExperimentConfig, name: str) -> dict[str, Any]:
    """Return the sums over a checkpoint's rows for its receipt; {} if no row was judged."""
    # summed here, while the rows are in memory
    try:
        return facts_of(sums_of(rows, config.reward, where=name), config.reward)
    except InputError:
        return {}


def evaluation_seed(seed: int, split: str) -> int:
    """Return the seed of a split's evaluation, which is the same for every checkpoint."""
    return int.from_bytes(hashlib.sha256(f"evaluate/{seed}/{split}".encode()).digest()[:7])


def _read_questions(store: Store, prompts: Store) -> pa.Table:
    split, limit = store.identity["split"], store.identity["first_prompts"]
    path = prompts.path(f"{split}.parquet")
    questions = contracts.read_table(path, contracts.PROMPTS)
    if not len(questions):
        raise InputError(f"{path}: holds no prompt")
    questions = questions.slice(0, limit) if limit else questions
    require_usable(store.identity["grader"][0], [questions], where=path)
    return questions


def _grade_completions(
    questions: pa.Table, drawn: Any, tokenizer: "PreTrainedTokenizerBase", pool: GraderPool
) -> pa.Table:
    rows = [
        (question, index, completion)
        for question, group in zip(questions.to_pylist(), drawn, strict=True)
        for index, completion in enumerate(group)
    ]
    decoded = decode_completions([row[2] for row in rows], tokenizer)
    verdicts = list(
        pool.grade(
            GradedRow(row[0]["metadata"], row[0]["gold_answer"], text)
            for row, text in zip(rows, decoded, strict=True)
        )
    )
    return contracts.make_table(
        contracts.EVALUATIONS,
        {
            "prompt_id": [row[0]["prompt_id"] for row in rows],
            "sample": [row[1] for row in rows],
            "tokens": [len(row[2].token_ids) for row in rows],
            "finish_reason": [row[2].finish_reason for row in rows],
            "text": decoded,
            "status": [verdict.status for verdict in verdicts],
            "logp": [sum(row[2].logps) for row in rows],
            "score": [verdict.score for verdict in verdicts],
            "extracted_answer": [verdict.extracted_answer for verdict in verdicts],
        },
    )
