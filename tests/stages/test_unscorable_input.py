"""What `score` refuses: damaged prompts and rollouts, graders that are not there."""

from pathlib import Path

import pytest

from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts, files
from asymreinforce.errors import AsymreinforceError, ConfigError, InputError
from asymreinforce.stages import score as stage
from tests.fixtures import hostile_grader as hostile
from tests.fixtures import made_up_rollouts
from tests.fixtures.made_up_rollouts import MadeUp
from tests.fixtures.verdict_sets import score


def unknown_prompt(made: MadeUp) -> None:
    made_up_rollouts.write_prompts(made.prompts, 19)


def missing_prompts(made: MadeUp) -> None:
    made.prompts.unlink()


def truncated_prompts(made: MadeUp) -> None:
    made.prompts.write_bytes(made.prompts.read_bytes()[:-200])


def prompts_of_another_contract(made: MadeUp) -> None:
    shard = made.rollouts.path(made.rollouts.planned[0])
    made.prompts.write_bytes(shard.read_bytes())


def empty_prompts(made: MadeUp) -> None:
    made_up_rollouts.write_prompts(made.prompts, 0)


def missing_shard(made: MadeUp) -> None:
    files.remove_path(made.rollouts.directory / made.rollouts.planned[2])


def truncated_shard(made: MadeUp) -> None:
    path = made.rollouts.directory / made.rollouts.planned[4]
    path.write_bytes(path.read_bytes()[:-100])


def publish_as(made: MadeUp, name: str, prompts: range, samples: range) -> None:
    made_up_rollouts.publish(made.rollouts, name, prompts, samples, lambda p, s: "Answer: 1")


def repeated_rows_in_two_blocks(made: MadeUp) -> None:
    publish_as(made, "rollouts-s001-p00002.parquet", range(16, 20), range(3))


def prompt_in_two_chunks(made: MadeUp) -> None:
    publish_as(made, "rollouts-s000-p00002.parquet", range(15, 20), range(3))


def unknown_finish_reason(made: MadeUp) -> None:
    name = made.rollouts.planned[1]
    rows = contracts.read_table(made.rollouts.path(name), contracts.ROLLOUTS)
    changed = rows.set_column(5, contracts.ROLLOUTS.schema.field(5), [["abort"] * len(rows)])
    made.rollouts.publish(
        name,
        lambda path: contracts.write_table(
            path, contracts.ROLLOUTS, changed, identity=made.rollouts.hash
        ),
        facts={"rows": len(rows), "prompts": 8},
    )


def shard_of_another_contract(made: MadeUp) -> None:
    content = made.prompts.read_bytes()
    made.rollouts.publish(
        made.rollouts.planned[5],
        lambda path: path.write_bytes(content) and None,  # type: ignore[arg-type]
        facts={"rows": 1, "prompts": 1},
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (unknown_prompt, "3 of 12 rows are of prompts|6 of 24 rows are of prompts"),
        (missing_prompts, "no such file; run 'asymrl init'"),
        (truncated_prompts, "not readable as parquet"),
        (prompts_of_another_contract, "holds rollouts/1, not prompts/1"),
        (empty_prompts, "rows are of prompts that .* does not hold, such as p-0000000"),
        (missing_shard, "not published; run the stage that makes it again"),
        (truncated_shard, "damaged .its checksum differs"),
        (repeated_rows_in_two_blocks, "12 rows repeat a key of rollouts/1"),
        (prompt_in_two_chunks, "prompt p-0000015 stands in another chunk too"),
        (unknown_finish_reason, "24 rows have the finish_reason 'abort'"),
        (shard_of_another_contract, "holds prompts/1, not rollouts/1"),
    ],
)
def test_bad_input_is_named_and_nothing_is_published(
    made: MadeUp, tmp_path: Path, spoil: object, message: str
) -> None:
    assert callable(spoil)
    spoil(made)
    with pytest.raises(InputError, match=message):
        score(made, tmp_path / "verdicts")
    assert not (tmp_path / "verdicts").exists()


def test_more_samples_than_there_are_is_an_input_error(made: MadeUp, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds fewer than 9 samples of each prompt"):
        score(made, tmp_path / "verdicts", samples=9)
    assert not (tmp_path / "verdicts").exists()


def test_a_grader_that_is_not_there_publishes_nothing(made: MadeUp, tmp_path: Path) -> None:
    absent = f"{hostile.__name__}:absent"
    for grader, words in (("nothing", "task.grader=nothing"), (absent, f"grader {absent}: cannot")):
        with pytest.raises(ConfigError, match=words):
            score(made, tmp_path / "verdicts", grader=grader)
    assert not (tmp_path / "verdicts").exists()


def test_a_pinned_directory_of_another_grader_is_an_error(made: MadeUp, tmp_path: Path) -> None:
    store, _ = score(made, tmp_path / "verdicts")
    with pytest.raises(AsymreinforceError, match=r"grader\.name: 'exact' is not 'final_answer'"):
        stage.verdict_store(
            rollouts=made.rollouts,
            prompts=made.prompts,
            parent=tmp_path,
            grader="exact",
            reward=RewardConfig(),
            pinned=store.directory,
        )
