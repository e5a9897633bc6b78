"""Evaluate: a checkpoint's rows are a function of the settings and of the checkpoint alone."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from asymreinforce.config import ExperimentConfig, SamplingConfig
from asymreinforce.data import contracts
from asymreinforce.engines.protocol import Completion
from asymreinforce.model import embedded
from asymreinforce.model.checkpoint import load_tokenizer
from asymreinforce.model.fingerprint import checkpoint_fingerprint
from asymreinforce.stages.evaluate import evaluate, evaluation_store, shard_of
from asymreinforce.stages.init import make_prompts
from asymreinforce.tasks import cups
from tests.fixtures.checkpoints import write_random_policy
from tests.fixtures.experiments import small_config
from tests.fixtures.fake_engine import FakeEngine


class ByItsOwnTokens(FakeEngine):
    """Answers in the tokens of the checkpoint that is loaded, and keeps the prompts."""

    def __init__(self) -> None:
        self.prompts: dict[Path, list[list[int]]] = {}

    def load(self, checkpoint: Path) -> None:
        super().__init__(load_tokenizer(checkpoint))
        self.loaded.append(checkpoint)

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: SamplingConfig, *, seed: int
    ) -> list[list[Completion]]:
        self.prompts[self.loaded[-1]] = [list(prompt) for prompt in prompts]
        return super().sample(prompts, sampling, seed=seed)


def test_checkpoints_of_several_tokenizers_are_each_asked_in_their_own(
    tmp_path: Path, random_policy: Path, config: ExperimentConfig
) -> None:
    other = write_random_policy(tmp_path / "other", seed=1)
    texts = [q.worked_answer for q in itertools.islice(cups.draw_cups("train", seed=5), 50)]
    embedded.train_tokenizer(texts, vocabulary=270).save_pretrained(other)
    prompts = make_prompts(config.task, config.directory / "prompts")
    engine = ByItsOwnTokens()
    store = evaluation_store(
        config, split="held_out", prompts=prompts, parent=tmp_path / "evaluations"
    )
    checkpoints = {checkpoint_fingerprint(path): path for path in (random_policy, other)}
    store.plan(map(shard_of, checkpoints))
    evaluate(
        config,
        checkpoints=checkpoints,
        store=store,
        prompts=prompts,
        engine=engine,
        advance=lambda count: None,
    )
    questions = contracts.read_table(prompts.path("held_out.parquet"), contracts.PROMPTS)
    for name, checkpoint in checkpoints.items():
        tokenizer = load_tokenizer(checkpoint)
        asked = [tokenizer.decode(prompt) for prompt in engine.prompts[checkpoint]]
        assert asked == questions.column("question").to_pylist()
        rows = contracts.read_table(store.path(shard_of(name)), contracts.EVALUATIONS).to_pylist()
        assert {row["text"].split()[0] for row in rows} == {"Answer:"}


def test_training_prompts_as_the_split_itself_are_the_first_so_many(
    tmp_path: Path, random_policy: Path
) -> None:
    limits = {"evaluation__split": "train", "evaluation__prompts": 3}
    config = small_config(tmp_path, policy=random_policy, **limits)
    prompts = make_prompts(config.task, config.directory / "prompts")
    stores = {
        split: evaluation_store(
            config, split=split, prompts=prompts, parent=tmp_path / "evaluations"
        )
        for split in ("train", "held_out")
    }
    assert stores["train"].identity["first_prompts"] == 3
    beside = small_config(tmp_path, policy=random_policy, evaluation__train_prompts=2)
    store = evaluation_store(
        beside, split="train", prompts=prompts, parent=tmp_path / "evaluations"
    )
    assert store.identity["first_prompts"] == 2
