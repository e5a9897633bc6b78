"""The full state of a run: what is saved continues bit for bit."""

import json
from pathlib import Path

import pytest
import torch

from asymreinforce.errors import InputError
from asymreinforce.model.checkpoint import load_model, save_model
from asymreinforce.update.state import POSITION, Position, load_state, save_state
from asymreinforce.update.trainer import Trainer
from tests.fixtures import slow_trainer as naive
from tests.fixtures.checkpoints import write_random_policy

WHERE = Position(3, 2, 0.625)


def trained(checkpoint: Path, coefficients: list[float]) -> Trainer:
    """A trainer that took a step for each number, in the midst of its warm-up."""
    trainer = naive.trainer(load_model(checkpoint), warmup_steps=10, weight_decay=0.1)
    for seed, coefficient in enumerate(coefficients):
        trainer.step(naive.sequences(seed), coefficient * torch.ones(9))
    return trainer


def saved(trainer: Trainer, directory: Path, tokenizer_from: Path) -> Trainer:
    """Save weights and state, and load both into a new trainer."""
    save_model(trainer.model, directory / "weights", tokenizer_from=tokenizer_from)
    more = {"behaviour_logps": torch.tensor([-1.5, -2.5], dtype=torch.float64)}
    save_state(directory / "state", trainer, WHERE, more=more)
    torch.manual_seed(99)
    loaded = naive.trainer(load_model(directory / "weights"), warmup_steps=10, weight_decay=0.1)
    position, found = load_state(directory / "state", loaded)
    assert position == WHERE
    assert torch.equal(found["behaviour_logps"], more["behaviour_logps"])
    return loaded


@pytest.mark.parametrize(
    "before",
    [[1.0, -0.5, 0.3], [0.0, 0.0], [0.0, 1.0]],
    ids=["three steps", "two steps without advantages", "one of each"],
)
@pytest.mark.parametrize("after", [[0.7, -0.2], [0.0, 0.4]], ids=["steps", "a zero step first"])
def test_a_loaded_run_continues_bit_for_bit(
    random_policy: Path, tmp_path: Path, before: list[float], after: list[float]
) -> None:
    trainer = trained(random_policy, before)
    loaded = saved(trainer, tmp_path, random_policy)
    for seed, coefficient in enumerate(after, start=10):
        batch = naive.sequences(seed)
        first = trainer.step(batch, coefficient * torch.ones(9))
        second = loaded.step(batch, coefficient * torch.ones(9))
        assert (first.loss, first.grad_norm, first.lr) == (second.loss, second.grad_norm, second.lr)
    for ours, theirs in zip(trainer.model.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        for key in ("step", "exp_avg", "exp_avg_sq"):
            mine, other = trainer.optimizer.state[ours], loaded.optimizer.state[theirs]
            assert torch.equal(mine[key], other[key])


def test_the_random_state_is_put_back(random_policy: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    trainer = trained(random_policy, [1.0])
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    saved(trainer, tmp_path, random_policy)  # another seed is set before the state is loaded
    assert torch.equal(torch.rand(3), expected)


def test_a_tied_head_is_saved_once_and_continues(tmp_path: Path) -> None:
    tied = write_random_policy(tmp_path / "tied", seed=0, tied=True)
    trainer = trained(tied, [1.0])
    loaded = saved(trainer, tmp_path, tied)
    for either in (trainer, loaded):
        either.step(naive.sequences(1), torch.ones(9))
    embedding, head = loaded.model.get_input_embeddings(), loaded.model.get_output_embeddings()
    assert embedding.weight is head.weight
    assert torch.equal(embedding.weight, trainer.model.get_input_embeddings().weight)


def test_the_state_of_another_model_is_refused(random_policy: Path, tmp_path: Path) -> None:
    tied = write_random_policy(tmp_path / "tied", seed=0, tied=True)
    save_state(tmp_path / "state", trained(tied, [1.0]), WHERE, more={})
    with pytest.raises(InputError, match=r"not the state of this model, it lacks .*lm_head"):
        load_state(tmp_path / "state", naive.trainer(load_model(random_policy)))


def test_the_position_is_readable_text(random_policy: Path, tmp_path: Path) -> None:
    save_state(tmp_path / "state", trained(random_policy, [1.0] * 3), WHERE, more={})
    written = json.loads((tmp_path / "state" / POSITION).read_text())
    assert (written["step"], written["best_step"], written["best_accuracy"]) == (3, 2, 0.625)
    assert written["schedule"]["_last_lr"] == [pytest.approx(4e-4)]
