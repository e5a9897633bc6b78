"""Publish the checked rows: prompts by split, rollouts and verdicts by chunk of prompts; count."""

import hashlib
import itertools
from collections import Counter
from typing import Any, NamedTuple

from asymreinforce import tasks
from asymreinforce.config import ExperimentConfig
from asymreinforce.config.task import Split
from asymreinforce.data import contracts
from asymreinforce.data.shard_names import shard_name
from asymreinforce.data.store import Store
from asymreinforce.data.verdict_sets import is_judged, publish_verdicts
from asymreinforce.errors import InputError
from asymreinforce.imported.group_by_prompt import ImportedPrompt, ImportedRow, PromptGroups
from asymreinforce.imported.stores import GRADER, VERSION, Stores
from asymreinforce.model.prompts import with_tokens
from asymreinforce.progress import bar, say

Groups = list[tuple[ImportedPrompt, list[ImportedRow]]]


class Imported(NamedTuple):
    """The counts of an import: rows, prompts, groups, rewards, skipped rows and warnings."""

    rows: int
    prompts: int
    policies: dict[str, int]
    rewarded: int
    mean_reward: float | None
    with_logps: int
    truncated: int
    smallest_group: int
    largest_group: int
    groups_of_one: int
    held_back: int
    skipped: dict[str, int]
    warned: dict[str, int]
    round_trip_mismatches: int


def facts_of(store: Store) -> Imported:
    """Return the counts of a complete import."""
    return Imported(**{name: store.facts[name] for name in Imported._fields})


class ImportCounts:
    """Counts over the rollouts for training, updated one chunk of prompts at a time."""

    def __init__(self) -> None:
        self._policies: Counter[str] = Counter()
        self._sizes: Counter[int] = Counter()
        self.rewarded = self._with_logps = self._truncated = 0
        self._reward = 0.0

    def add(self, groups: Groups) -> None:
        """Add whole groups to the counts."""
        self._sizes.update(len(group) for _, group in groups)
        for row in itertools.chain.from_iterable(group for _, group in groups):
            self._policies[row.policy] += 1
            self.rewarded += row.reward is not None
            self._reward += row.reward or 0.0
            self._with_logps += row.logps is not None
            self._truncated += row.finish_reason == "length"

    def facts(self) -> dict[str, Any]:
        """Return the counts so far, under the field names of `Imported`."""
        return {
            "rows": self._policies.total(),
            "prompts": self._sizes.total(),
            "policies": dict(sorted(self._policies.items())),
            "rewarded": self.rewarded,
            "mean_reward": self._reward / self.rewarded if self.rewarded else None,
            "with_logps": self._with_logps,
            "truncated": self._truncated,
            "smallest_group": min(self._sizes),
            "largest_group": max(self._sizes),
            "groups_of_one": self._sizes[1],
        }


def publish_import(
    prompt_groups: PromptGroups, config: ExperimentConfig, stores: Stores
) -> dict[str, Any]:
    """Publish every missing shard; return the counts of `Imported` over groups and rewards."""
    splits = _split_prompts(prompt_groups, config)
    train, size = splits["train"], config.source.prompts_per_shard
    chunks = [train[i : i + size] for i in range(0, len(train), size)]
    names = {shard_name(block=0, chunk=c): chunk for c, chunk in enumerate(chunks)}
    _publish_prompts(prompt_groups, config, stores.prompts, splits)
    stores.rollouts.plan(names)
    missing = set(stores.rollouts.missing())
    counts = ImportCounts()
    with bar("import", total=len(train), unit="prompts") as advance:
        for name, chunk in names.items():
            groups = _groups_of(prompt_groups, chunk)
            counts.add(groups)
            if name in missing:
                _publish_rollouts(stores.rollouts, name, groups)
            advance(len(chunk))
    if counts.rewarded:
        _publish_verdicts(prompt_groups, stores, names)
    held_back = [number for split in ("validation", "held_out") for number in splits[split]]
    return {
        **counts.facts(),
        "held_back": sum(len(prompt_groups.rows(number)) for number in held_back),
    }


def _split_prompts(prompt_groups: PromptGroups, config: ExperimentConfig) -> dict[Split, list[int]]:
    """Hold prompts back by a hash of their ids; train on the others in the order of the file."""
    source = config.source
    prompts = list(prompt_groups.prompt_ids())
    back = source.validation + source.held_out
    if back >= len(prompts):
        raise InputError(
            f"{source.path}: {len(prompts)} prompts leave none to train on if "
            f"source.validation and source.held_out hold {back} back; lower them"
        )
    by_hash = sorted(prompts, key=lambda item: hashlib.sha256(item[1].encode()).digest())
    held_out = {number for number, _ in by_hash[: source.held_out]}
    validation = {number for number, _ in by_hash[source.held_out : back]}
    return {
        "train": [n for n, _ in prompts if n not in held_out and n not in validation],
        "validation": [n for n, _ in by_hash if n in validation],
        "held_out": [n for n, _ in by_hash if n in held_out],
    }


def _publish_prompts(
    prompt_groups: PromptGroups,
    config: ExperimentConfig,
    store: Store,
    splits: dict[Split, list[int]],
) -> None:
    store.plan([f"{split}.parquet" for split in splits])
    trained = {prompt_groups.prompt(number).question for number in splits["train"]}
    for split, numbers in splits.items():
        questions = [_prompt_question(prompt_groups.prompt(number), split) for number in numbers]
        if not questions:
            questions = tasks.split_questions(config.task, split)
            common = sum(question.question in trained for question in questions)
            if common:
                say(
                    f"warning: {common} of {len(questions)} {split} questions of task "
                    f"{config.task.name} are among the imported ones; hold imported prompts back "
                    f"with source.{split}=N instead"
                )
        columns = {n: [getattr(q, n) for q in questions] for n in contracts.PROMPTS.schema.names}
        rows = contracts.make_table(contracts.PROMPTS, columns)
        name = f"{split}.parquet"
        if name in store.missing():
            contracts.publish_table(
                store, name, contracts.PROMPTS, rows, facts={"prompts": len(rows)}
            )
    store.close()


def _prompt_question(prompt: ImportedPrompt, split: Split) -> tasks.Question:
    """Return a prompt as a question; a prompt that is evaluated as tokens has them as metadata."""
    metadata = prompt.metadata
    # rendered again, a whole prompt or a chat would differ from the prompts of training
    if split != "train" and not prompt.is_rendered:
        metadata = with_tokens(metadata, prompt.tokens.tolist(), where=prompt.place)
    gold = prompt.gold_answer or ""
    return tasks.Question(
        prompt.prompt_id, prompt.question, gold, prompt.level, prompt.subject, metadata
    )


def _groups_of(prompt_groups: PromptGroups, chunk: list[int]) -> Groups:
    return [(prompt_groups.prompt(number), prompt_groups.rows(number)) for number in chunk]


def _numbered_rows(groups: Groups) -> list[tuple[ImportedPrompt, int, ImportedRow]]:
    return [(prompt, sample, row) for prompt, group in groups for sample, row in enumerate(group)]


def _publish_rollouts(store: Store, name: str, groups: Groups) -> None:
    # samples are numbered again, because a group may mix policies with samples of equal number
    rows = _numbered_rows(groups)
    table = contracts.make_table(
        contracts.ROLLOUTS,
        {
            "prompt_id": [prompt.prompt_id for prompt, _, _ in rows],
            "sample": [sample for _, sample, _ in rows],
            "policy": [row.policy for _, _, row in rows],
            "prompt_token_ids": [prompt.tokens for prompt, _, _ in rows],
            "completion_token_ids": [row.tokens for _, _, row in rows],
            "finish_reason": [row.finish_reason for _, _, row in rows],
            "text": [row.text for _, _, row in rows],
            "behaviour_logps": [row.logps for _, _, row in rows],
            "source_sample": [row.source_sample for _, _, row in rows],
        },
    )
    facts = {"prompts": len(groups), "rows": len(rows)}
    contracts.publish_table(store, name, contracts.ROLLOUTS, table, facts=facts)


def _publish_verdicts(
    prompt_groups: PromptGroups, stores: Stores, names: dict[str, list[int]]
) -> None:
    """Publish rewards as scores; a row without a reward has status "error"."""
    store = stores.verdicts
    store.plan(names)
    for name, chunk in names.items():
        # verdicts of other bytes of the rollouts are made again
        if is_judged(store, stores.rollouts, name):
            continue
        rows = _numbered_rows(_groups_of(prompt_groups, chunk))
        table = contracts.make_table(
            contracts.VERDICTS,
            {
                "prompt_id": [prompt.prompt_id for prompt, _, _ in rows],
                "sample": [sample for _, sample, _ in rows],
                "status": ["error" if row.reward is None else "ok" for _, _, row in rows],
                "truncated": [row.finish_reason == "length" for _, _, row in rows],
                "grader": [GRADER] * len(rows),
                "grader_version": [VERSION] * len(rows),
                "score": [row.reward for _, _, row in rows],
            },
        )
        publish_verdicts(store, name, table, rollouts=stores.rollouts)
    store.close()
