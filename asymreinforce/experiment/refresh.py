"""Make the data of a round: its prompts, rollouts of the current mu, and their verdicts.

Round 0 trains on the rollouts that all arms share. A later round draws new completions of the
prompts that its steps would have read from the shared set without refreshes. So at every step, arms
that differ in `refresh_every` see the same questions.
"""

import hashlib
from pathlib import Path

import pyarrow as pa

from asymreinforce.config import ExperimentConfig, Pins
from asymreinforce.data import contracts, files
from asymreinforce.data.order import prompts_from
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.engines.protocol import Engine
from asymreinforce.errors import InputError
from asymreinforce.experiment.earlier_rounds import recorded_facts
from asymreinforce.experiment.inputs.stores import (
    RolloutSet,
    further_graders,
    graded_verdicts,
    score_rollouts,
)
from asymreinforce.experiment.open_arm import OpenArm
from asymreinforce.experiment.shard_workers import generation_workers
from asymreinforce.model.fingerprint import checkpoint_fingerprint
from asymreinforce.stages.generate import generate, rollout_store
from asymreinforce.stages.train.schedule import Round, round_shard, schedule_of, weights_shard

PROMPTS = "train.parquet"


def current_round(arm: OpenArm) -> Round:
    """Return an arm's current round and its last step that can be resumed, read from disk."""
    schedule = schedule_of(arm.config, prompts=arm.inputs.scored.prompts)
    return round_at(arm, schedule.resumable(arm.store))


def round_at(arm: OpenArm, done: int) -> Round:
    """Return the round of an arm after `done` steps."""
    schedule = schedule_of(arm.config, prompts=arm.inputs.scored.prompts)
    return Round(schedule, schedule.start_of(done), at=done)


def make_round_rollouts(arm: OpenArm, round_: Round, *, engine: Engine) -> ScoredRollouts:
    """Generate and score the missing rollouts of a round; record their names in the arm."""
    if round_.start:
        settings = round_settings(arm.config, round_)
        prompts = write_round_prompts(arm, round_)
        weights = behaviour_weights(arm, round_)
        rollouts = generate(
            settings,
            checkpoint=weights,
            prompts=prompts,
            engine=engine,
            parent=arm.config.directory / "rollouts",
            **generation_workers(settings),
        )
        rollout_set = RolloutSet(weights, prompts, rollouts)
        own = score_rollouts(settings, rollout_set).store
        for name in further_graders(settings, own):
            score_rollouts(settings, rollout_set, name)
    scored = find_round_rollouts(arm, round_)
    if round_.schedule.refresh_every:
        _record_round(arm, round_, scored)
    return scored


def find_round_rollouts(arm: OpenArm, round_: Round) -> ScoredRollouts:
    """Return the rollouts of `make_round_rollouts`; raise `InputError` if they are incomplete."""
    if not round_.start:
        return arm.inputs.scored
    settings = round_settings(arm.config, round_)
    prompts = round_prompt_store(arm, round_)
    weights = behaviour_weights(arm, round_)
    parent = settings.directory / "rollouts"
    rollouts = rollout_store(settings, checkpoint=weights, prompts=prompts, parent=parent)
    rollout_set = RolloutSet(weights, prompts, rollouts)
    own = graded_verdicts(settings, rollout_set)
    others = {
        name: graded_verdicts(settings, rollout_set, name)
        for name in further_graders(settings, own)
    }
    for store in (own, *others.values()):
        if not store.is_complete():
            raise InputError(f"{store.directory}: not complete; 'asymrl run' fills what is missing")
    samples = settings.sampling.samples_per_prompt
    return ScoredRollouts(rollouts, own, samples=samples, others=others)


def behaviour_weights(arm: OpenArm, round_: Round) -> Path:
    """Return the weights of the behaviour policy mu that drew a round's rollouts."""
    return arm.store.path(weights_shard(round_.start)) if round_.start else arm.inputs.checkpoint


def round_settings(config: ExperimentConfig, round_: Round) -> ExperimentConfig:
    """Return the settings of a later round: another sampling seed, and no pinned inputs."""
    text = f"{config.sampling.seed}/{config.seed}/{round_.start}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
    sampling = config.sampling.model_copy(update={"seed": seed})
    # pins name the shared inputs, which are those of round 0
    return config.model_copy(update={"sampling": sampling, "pins": Pins()})


def round_prompt_store(arm: OpenArm, round_: Round) -> Store:
    """Return the store of a round's prompts, which may be empty."""
    config = arm.config
    identity = {
        "stage": "round_prompts",
        "contract": contracts.PROMPTS.label,
        "prompts": arm.inputs.prompts.fingerprint([PROMPTS]),
        "prompts_per_shard": config.sampling.prompts_per_shard,
        "seed": config.seed,
        "first": round_.start * config.prompts_per_step,
        "count": (round_.end - round_.start) * config.prompts_per_step,
    }
    # left out without replay, so that stores of such rounds keep their names
    if config.replay.capacity:
        identity |= {"per_step": config.prompts_per_step, "fresh": config.fresh_prompts_per_step}
    return Store(config.directory / "round_prompts", identity)


def write_round_prompts(arm: OpenArm, round_: Round) -> Store:
    """Write each prompt of a round once, in the order in which the round's steps read them."""
    store = round_prompt_store(arm, round_)
    if store.is_done([PROMPTS]):
        return store
    with store.held():
        store.plan([PROMPTS])
        _publish_round_prompts(arm, store)
    return store


def _publish_round_prompts(arm: OpenArm, store: Store) -> None:
    scored = arm.inputs.scored
    counts = [scored.prompts_in(chunk) for chunk in scored.chunks]
    count = int(store.identity["count"])
    places = prompts_from(
        counts, seed=arm.config.seed, first=int(store.identity["first"]), prompts=count
    )
    # with replay, a step has new rollouts of the first `fresh` of its `per_step` prompts
    per_step, fresh = (int(store.identity.get(name, count)) for name in ("per_step", "fresh"))
    rows = [
        sum(counts[:chunk]) + place
        for number, (chunk, place) in enumerate(places)
        if number % per_step < fresh
    ]
    shared_prompts = contracts.read_table(arm.inputs.prompts.path(PROMPTS), contracts.PROMPTS)
    # a round that is longer than the pool reads a prompt several times, and draws it once
    round_prompts = shared_prompts.take(pa.array(list(dict.fromkeys(rows))))
    contracts.publish_table(
        store, PROMPTS, contracts.PROMPTS, round_prompts, facts={"prompts": len(round_prompts)}
    )
    store.close()


def _record_round(arm: OpenArm, round_: Round, scored: ScoredRollouts) -> None:
    """Publish the record of a round as a shard of the arm: what the round is trained on."""
    name = round_shard(round_.start)
    if arm.store.is_valid(name):
        return
    mu = behaviour_weights(arm, round_)
    only = arm.config.policy.safetensors_only
    record = {
        "round": round_.number,
        "start": round_.start,
        "end": round_.end,
        "policy": checkpoint_fingerprint(mu, safetensors_only=only),
        **scored.names,
        **recorded_facts(arm, round_, scored),
    }
    arm.store.publish(name, lambda path: files.publish_json(path, record))
