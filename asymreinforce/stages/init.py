"""Init: write a task's prompts, and make or fetch the behaviour policy."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from asymreinforce import tasks
from asymreinforce.config import ExperimentConfig, PolicyConfig
from asymreinforce.config.task import SPLITS, Split, TaskConfig
from asymreinforce.data import contracts
from asymreinforce.data.provenance import run_provenance
from asymreinforce.data.store import Store
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.grading.graders import require_known
from asymreinforce.progress import bar, say

if TYPE_CHECKING:
    from asymreinforce.config import EngineConfig

CHECKPOINT = "checkpoint"
EMBEDDED_RECIPE = 2
"""Version of `model/embedded.py` and the questions that it draws: raise it with every change that
makes other bytes under the same settings."""


class Warmth(NamedTuple):
    """The embedded policy's accuracy on validation questions, and the number of samples."""

    accuracy: float
    samples: int


def prompt_store(
    task: TaskConfig, parent: Path, *, pinned: Path | None = None, made_before: bool = False
) -> Store:
    """Return the store of a task's prompts, which may be empty.

    `made_before`: if the data is not on this machine, use the only existing prompts that were made
    under the same settings. Raises `InputError` if the data is needed and missing.
    """
    identity = {
        "stage": "prompts",
        "contract": contracts.PROMPTS.label,
        "task": task.identity,
    }
    try:
        identity |= {"sources": sources} if (sources := tasks.task_fingerprints(task)) else {}
    except InputError:
        if not made_before:
            raise
        directories = (
            [pinned] if pinned else sorted(path.parent for path in parent.glob("*/plan.json"))
        )
        matches = [place for place in directories if _is_made_of(place, identity)]
        # of several, the data behind each is not known
        if len(matches) != 1:
            raise
        return Store.open(matches[0])
    return Store(parent, identity, pinned=pinned)


def _is_made_of(place: Path, identity: dict[str, Any]) -> bool:
    """Tell whether the prompts at `place` have an identity, apart from their data's fingerprint."""
    if not (place / "plan.json").exists():
        return False
    theirs = Store.open(place).identity
    return {key: value for key, value in theirs.items() if key != "sources"} == identity


def make_prompts(
    task: TaskConfig, parent: Path, *, pinned: Path | None = None, made_before: bool = False
) -> Store:
    """Write those of `train.parquet`, `validation.parquet`, `held_out.parquet` that are missing.

    Prints how many questions were left out, and how many training questions are also evaluated.
    """
    require_known(task.grader)  # checked first, because generating rollouts is expensive
    store = prompt_store(task, parent, pinned=pinned, made_before=made_before)
    names = {f"{split}.parquet": split for split in SPLITS}
    if not store.is_done(names):
        with store.held():
            _write_prompts(task, store, names)
    return store


def _write_prompts(task: TaskConfig, store: Store, names: dict[str, Split]) -> None:
    store.plan(names)
    data = tasks.load_task_data(task)
    for name in store.missing():
        questions = data.questions[names[name]]
        rows = contracts.make_table(
            contracts.PROMPTS,
            {
                field: [getattr(q, field) for q in questions]
                for field in contracts.PROMPTS.schema.names
            },
        )
        contracts.publish_table(store, name, contracts.PROMPTS, rows, facts={"prompts": len(rows)})
    for line in data.lines:
        say(line)
    store.record(run_provenance())
    store.close(data.facts)


def policy_store(config: ExperimentConfig, parent: Path) -> Store:
    """Return the store of the embedded policy, which may be empty."""
    policy = config.policy
    identity = {
        "stage": "policy",
        "recipe": EMBEDDED_RECIPE,
        "seed": policy.seed,
        "context": policy.context,
        "threads": config.train.threads,
        **tasks.world_of(config.task).identity,
        **policy.embedded.model_dump(mode="json"),
    }
    return Store(parent, identity)


def make_policy(config: ExperimentConfig, parent: Path) -> Path:
    """Return the behaviour policy's checkpoint; make the embedded policy first if it is missing.

    Raises `InputError` if `policy.source` is neither a path nor a hub model that can be fetched.
    """
    policy = config.policy
    if policy.source != "embedded":
        return _existing_checkpoint(policy)
    if config.task.loader not in tasks.WORLDS and config.questions_of("train") == "task":
        names = ", ".join(tasks.WORLDS)
        raise ConfigError(f"policy.source=embedded answers only task={names}; name a checkpoint")
    store = policy_store(config, parent)
    if not store.is_done([CHECKPOINT]):
        with store.held():
            store.plan([CHECKPOINT])
            if store.missing():
                _warm_up(config, store)
            store.close()
    return store.path(CHECKPOINT)


def _existing_checkpoint(policy: PolicyConfig) -> Path:
    if (path := Path(policy.source)).exists():
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    # code and pickled weights are fetched only if the settings trust them
    patterns += ["*.py"] if policy.trust_remote_code else []
    patterns += [] if policy.safetensors_only else ["*.bin"]
    try:
        return Path(
            snapshot_download(policy.source, revision=policy.revision, allow_patterns=patterns)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise InputError(
            f"policy.source={policy.source} is neither a directory nor a hub model that can be "
            f"fetched ({reason}); check the name, or give a local checkpoint"
        ) from error


def _warm_up(config: ExperimentConfig, store: Store) -> None:
    import torch

    from asymreinforce.model import embedded

    # the number of threads determines the bytes, and so is in the identity
    torch.set_num_threads(config.train.threads)
    steps, world = config.policy.embedded.warm_up.steps, tasks.world_of(config.task)
    with bar("warming up the embedded policy", total=steps, unit="steps") as advance:
        store.publish(
            CHECKPOINT,
            lambda path: embedded.make_checkpoint(
                path, config.policy, advance=advance, world=world
            ),
        )
    store.record(run_provenance())
    warmth = measure_warmth(store.path(CHECKPOINT), config.task, config.policy, config.engine)
    answers = "worked answers" if world.working else "answers"
    say(
        f"embedded policy: {warmth.accuracy:.1%} of {warmth.samples} {answers} are "
        f"right (at least {world.least_accuracy:.0%} expected)"
    )
    if warmth.accuracy < world.least_accuracy:
        say(
            f"warning: policy.seed={config.policy.seed} writes {answers} that are right too rarely "
            "for clear results; raise policy.embedded.warm_up.steps or take another "
            "policy.seed"
        )


def measure_warmth(
    checkpoint: Path, task: TaskConfig, policy: PolicyConfig, engine: "EngineConfig"
) -> Warmth:
    """Let the policy answer the validation questions; return the share of exactly right texts."""
    from asymreinforce.config import SamplingConfig
    from asymreinforce.engines.transformers_engine import TransformersEngine
    from asymreinforce.model.checkpoint import load_tokenizer

    tokenizer, world = load_tokenizer(checkpoint), tasks.world_of(task)
    source = world.draw_puzzles("validation", seed=task.seed)
    questions = list(itertools.islice(source, task.validation))
    prompts = [tokenizer.encode(question.text + world.working) for question in questions]
    expected = [q.worked_answer.removeprefix(world.working) for q in questions]
    longest = max(len(tokenizer.encode(text)) for text in expected)
    sampler = TransformersEngine(engine, policy)
    sampler.load(checkpoint)
    # one more token, for the end of the completion
    sampling = SamplingConfig(samples_per_prompt=1, max_tokens=longest + 1)
    drawn = sampler.sample(prompts, sampling, seed=policy.seed)
    texts = [tokenizer.decode(row[0].token_ids, skip_special_tokens=True) for row in drawn]
    right = sum(text == answer for text, answer in zip(texts, expected, strict=True))
    return Warmth(right / len(questions), len(questions))
