from pathlib import Path

import pyarrow as pa
import pytest

from asymreinforce import progress
from asymreinforce.config import RewardConfig
from asymreinforce.data import contracts, files
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.store import Store
from asymreinforce.errors import AsymreinforceError, ConfigError, GraderError, InputError
from asymreinforce.stages import score as stage
from asymreinforce.stages.score import Scored
from asymreinforce.viewing.disagreements import OutcomePair, find_disagreements
from tests import killing
from tests.grading import hostile
from tests.stages import made_up_rollouts
from tests.stages.made_up_rollouts import MadeUp

HOSTILE = f"{hostile.__name__}:grade"


def score(
    made: MadeUp,
    parent: Path,
    *,
    grader: str = "final_answer",
    samples: int | None = None,
    reward: RewardConfig | None = None,
) -> Scored:
    return stage.score(
        rollouts=made.rollouts,
        prompts=made.prompts,
        parent=parent,
        grader=grader,
        reward=reward or RewardConfig(workers=2),
        samples=samples,
        progress=progress.silent_bar,
    )


def payload(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.glob("*.*"))}


def stamps(directory: Path) -> dict[str, tuple[int, int]]:
    paths = [path for path in directory.glob("*.*") if path.is_file()]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    return made_up_rollouts.make(tmp_path, prompts=20, samples=6, samples_per_block=3)


def test_every_rollout_gets_a_verdict_and_counts_agree_by_hand(
    made: MadeUp, tmp_path: Path
) -> None:
    store, facts = score(made, tmp_path / "verdicts")
    assert store.planned == tuple(sorted(made.rollouts.planned, key=lambda n: n.split("-")[::-1]))
    # 20 prompts x 6 samples; prompts 4, 9, 14, 19 give no answer in samples 1, 3, 5.
    # Samples 0 and 3 are right, but 3 of those four prompts; prompts 3 and 13 are cut off.
    assert facts._asdict() == {
        "rows": 120,
        "prompts": 20,
        "k": 6,
        "ok": 108,
        "no_answer": 12,
        "timeout": 0,
        "error": 0,
        "truncated": 12,
        "left_out": 0,
        "accuracy": (14 * 2 + 4) / 120,
        "pass_at_1": pytest.approx((14 * 2 / 6 + 4 / 6) / 20),
        "pass_at_k": 18 / 20,
        "equal_groups": 2 / 20,
    }
    for name in store.planned:
        keys = ["prompt_id", "sample"]
        verdicts = contracts.read_table(store.path(name), contracts.VERDICTS)
        rollouts = contracts.read_table(made.rollouts.path(name), contracts.ROLLOUTS)
        assert verdicts.select(keys) == rollouts.select(keys)
    row = contracts.read_table(
        store.path("rollouts-s001-p00000.parquet"), contracts.VERDICTS
    ).to_pylist()
    assert row[3 * 3] == {
        "prompt_id": "p-0000003",
        "sample": 3,
        "status": "ok",
        "truncated": True,
        "grader": "final_answer",
        "grader_version": "2",
        "score": 1.0,
        "extracted_answer": "3",
    }


def test_the_trainers_reader_takes_the_verdicts(made: MadeUp, tmp_path: Path) -> None:
    store, _ = score(made, tmp_path / "verdicts")
    scored = ScoredRollouts(made.rollouts, store, samples=6)
    rows = [scored.read(chunk) for chunk in scored.chunks]
    assert sum(len(part.score_B) for part in rows) == 120


def test_a_complete_set_is_a_no_op_that_says_so(
    made: MadeUp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = score(made, tmp_path / "verdicts")
    before = stamps(first.store.directory)
    monkeypatch.setattr(stage, "grader_pool", None)
    again = score(made, tmp_path / "verdicts")
    assert again.facts == first.facts
    assert stamps(again.store.directory) == before
    assert "score: complete, nothing to do" in capsys.readouterr().err


def test_another_reward_scale_counts_anew_without_grading(
    made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score(made, tmp_path / "verdicts")
    monkeypatch.setattr(stage, "grader_pool", None)
    again = score(made, tmp_path / "verdicts", reward=RewardConfig(truncated="as_judged"))
    assert again.store.directory == first.store.directory
    assert again.facts.accuracy == (16 * 2 + 4) / 120
    assert again.store.facts["scale"]["truncated"] == "as_judged"


def test_the_first_samples_are_judged_alone_and_more_are_appended(
    made: MadeUp, tmp_path: Path
) -> None:
    few = score(made, tmp_path / "verdicts", samples=2)
    assert few.facts.rows == 40
    assert few.store.missing(made.rollouts.planned) == [
        name for name in made.rollouts.planned if "-s001-" in name
    ]
    before = stamps(few.store.directory)
    whole = score(made, tmp_path / "verdicts")
    assert whole.facts.rows == 120
    kept = [name for name in before if name.startswith("rollouts-s000")]
    assert {n: stamps(whole.store.directory)[n] for n in kept} == {n: before[n] for n in kept}
    assert (
        payload(whole.store.directory).keys()
        == payload(score(made, tmp_path / "other").store.directory).keys()
    )


def test_rollouts_made_anew_are_judged_anew(made: MadeUp, tmp_path: Path) -> None:
    store, facts = score(made, tmp_path / "verdicts")
    before = stamps(store.directory)
    name = "rollouts-s000-p00001.parquet"
    made_up_rollouts.publish(
        made.rollouts, name, range(8, 16), range(3), lambda prompt, sample: f"Answer: {prompt % 7}"
    )
    again = score(made, tmp_path / "verdicts")
    changed = {n for n, stamp in stamps(store.directory).items() if before[n] != stamp}
    assert changed == {name, f"{name}.receipt", "manifest.json"}
    assert (again.facts.accuracy or 0) > (facts.accuracy or 1)
    receipt, judged = store.receipt(name), made.rollouts.receipt(name)
    assert receipt and judged and receipt.facts["rollouts_sha256"] == judged.sha256


def test_a_damaged_shard_is_made_again_alone(made: MadeUp, tmp_path: Path) -> None:
    store, _ = score(made, tmp_path / "verdicts")
    before, bytes_before = stamps(store.directory), payload(store.directory)
    name = "rollouts-s001-p00002.parquet"
    (store.directory / name).write_bytes(b"PAR1 no more")
    score(made, tmp_path / "verdicts")
    after = stamps(store.directory)
    assert {n for n in after if after[n] != before[n]} == {name, f"{name}.receipt"}
    assert payload(store.directory) == bytes_before


def test_bad_rows_are_counted_and_told_and_cost_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    actions = {3: "hang", 7: "eat", 11: "end 1", 15: "fork", 20: "raise"}
    made = made_up_rollouts.make(
        tmp_path,
        prompts=24,
        samples=1,
        text=lambda prompt, sample: actions.get(prompt, str(prompt % 7)),
    )
    reward = RewardConfig(cpu_limit_s=0.5, memory_limit_mb=128, workers=2, max_error_rate=0.2)
    store, facts = score(made, tmp_path / "verdicts", grader=HOSTILE, reward=reward)
    assert (facts.ok, facts.timeout, facts.error, facts.left_out) == (20, 1, 3, 4)
    assert facts.accuracy == 18 / 20  # prompts 13 and 23 are cut off
    errors = capsys.readouterr().err
    assert "p-0000003, sample 0: timeout (ran for more than 6 s)" in errors
    assert "p-0000007, sample 0: error (needed more than 128 MB)" in errors
    rows = contracts.read_table(store.path("rollouts-s000-p00000.parquet"), contracts.VERDICTS)
    assert rows.column("status").to_pylist() == ["ok"] * 3 + ["timeout"] + ["ok"] * 3 + ["error"]
    assert rows.column("score").to_pylist()[3] is None


def test_a_grader_that_fails_too_often_fails_the_stage_and_its_verdicts_are_kept(
    tmp_path: Path,
) -> None:
    made = made_up_rollouts.make(
        tmp_path,
        prompts=40,
        samples=1,
        text=lambda prompt, sample: "raise" if prompt in (3, 9, 30) else str(prompt % 7),
    )
    strict = RewardConfig(max_error_rate=0.05, workers=2)
    with pytest.raises(GraderError) as caught:
        score(made, tmp_path / "verdicts", grader=HOSTILE, reward=strict)
    message = str(caught.value)
    assert f"the grader {HOSTILE} could not judge 3 of 40 rows (7.5%)" in message
    assert "reward.max_error_rate=0.05" in message
    assert "p-0000003, sample 0: error (RuntimeError: no no" in message
    assert str(tmp_path / "verdicts") in message
    (directory,) = (tmp_path / "verdicts").iterdir()
    store = Store.open(directory)
    assert not store.is_complete()
    kept = stamps(directory)
    assert len([name for name in kept if name.endswith(".parquet")]) == 4
    assert len(made.rollouts.planned) == 5  # it stopped at the third failure
    lenient = RewardConfig(max_error_rate=0.1, workers=2)
    again = score(made, tmp_path / "verdicts", grader=HOSTILE, reward=lenient)
    assert (again.facts.error, again.store.is_complete()) == (3, True)
    after = stamps(directory)
    assert {name: after[name] for name in kept if name.endswith(".parquet")} == {
        name: stamp for name, stamp in kept.items() if name.endswith(".parquet")
    }
    with pytest.raises(GraderError, match="could not judge 3 of 40 rows"):
        score(made, tmp_path / "verdicts", grader=HOSTILE, reward=strict)


def test_a_grader_that_always_fails_is_stopped_before_it_has_tried_all(tmp_path: Path) -> None:
    made = made_up_rollouts.make(
        tmp_path, prompts=80, samples=1, text=lambda prompt, sample: "raise"
    )
    with pytest.raises(GraderError, match="could not judge 8 of 80 rows"):
        score(made, tmp_path / "verdicts", grader=HOSTILE, reward=RewardConfig(workers=1))
    (directory,) = (tmp_path / "verdicts").iterdir()
    assert len(list(directory.glob("*.parquet"))) == 1


def test_verdicts_of_two_graders_stand_side_by_side(tmp_path: Path) -> None:
    made = made_up_rollouts.make(
        tmp_path, prompts=20, samples=1, text=lambda prompt, sample: f"Answer: {prompt % 7}.0"
    )
    tables = []
    for grader in ("gsm8k", "final_answer"):
        store, _ = score(made, tmp_path / "verdicts", grader=grader)
        shards = [contracts.read_table(store.path(n), contracts.VERDICTS) for n in store.planned]
        tables.append(pa.concat_tables(shards))
    assert len([*(tmp_path / "verdicts").iterdir()]) == 2
    found = find_disagreements(*tables)
    assert (found.left, found.right) == ("gsm8k 3", "final_answer 2")
    assert found.pairs == (OutcomePair("correct", "incorrect", 20),)


def test_graders_and_limits_have_verdicts_of_their_own(made: MadeUp, tmp_path: Path) -> None:
    rewards = (RewardConfig(workers=1), RewardConfig(cpu_limit_s=9), RewardConfig(correct=2.0))
    found = [score(made, tmp_path / "verdicts", reward=reward) for reward in rewards]
    found.append(score(made, tmp_path / "verdicts", grader="exact"))
    assert len({scored.store.directory for scored in found}) == 3
    assert found[0].store.directory == found[2].store.directory


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


def score_for_killing(rollouts: Path, prompts: Path, parent: Path) -> None:
    score(MadeUp(Store.open(rollouts), prompts), parent, reward=RewardConfig(workers=1))


def test_killed_at_any_publish_point_and_run_again_the_payload_is_the_same(tmp_path: Path) -> None:
    made = made_up_rollouts.make(tmp_path, prompts=3, samples=4, samples_per_block=2)
    arguments = (score_for_killing, made.rollouts.directory, made.prompts)
    points = killing.failpoints(tmp_path / "failpoints", *arguments, tmp_path / "untouched")
    # Four points each for the plan, 2 shards, 2 receipts, provenance and the manifest; the lease.
    assert len(points) == 4 * (1 + 2 + 2 + 1 + 1) + 2
    (directory,) = (tmp_path / "untouched").iterdir()
    expected = payload(directory)
    resumed = 0
    for number, point in enumerate(points, start=1):
        parent = tmp_path / f"killed-{number}"
        killing.kill_at(number, *arguments, parent)
        finished = finished_shards(parent / directory.name)
        again = score(made, parent)
        assert payload(again.store.directory) == expected, point
        after = stamps(again.store.directory)
        assert {name: after[name] for name in finished} == finished, point
        resumed += len(finished)
    assert resumed > 4 * 2


def finished_shards(directory: Path) -> dict[str, tuple[int, int]]:
    if not (directory / "plan.json").exists():
        return {}
    store = Store.open(directory)
    found = stamps(directory)
    return {name: found[name] for name in store.planned if store.is_valid(name)}
