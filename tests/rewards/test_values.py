"""How a reward follows from a score: by threshold, as the score, by one's own function."""

from pathlib import Path

import numpy as np
import pytest

from asymreinforce.config import RewardConfig
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.rewards.scale import Rewards, require_reward, reward_identity, scale_rewards

STATUS_B = np.array(["ok", "ok", "ok", "ok", "no_answer", "timeout"])
SCORE_B = np.array([1.0, 0.25, 0.5, 1.0, 0.0, np.nan])
TRUNCATED_B = np.array([False, False, False, True, False, False])


def rewards(**settings: object) -> Rewards:
    config = RewardConfig(**settings)  # type: ignore[arg-type]
    return scale_rewards(score_B=SCORE_B, status_B=STATUS_B, truncated_B=TRUNCATED_B, config=config)


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_threshold_pays_one_of_two() -> None:
    assert rewards(correct_at=0.5).reward_B.tolist() == [1, -1, 1, -1, -1, -1]


def test_the_score_itself_is_mapped_between_the_two() -> None:
    assert rewards(value="score", incorrect=0).reward_B.tolist() == [1, 0.25, 0.5, 0, 0, 0]
    assert rewards(value="score").reward_B.tolist() == [1, -0.5, 0, -1, -1, -1]
    as_judged = rewards(value="score", truncated="as_judged")
    assert as_judged.reward_B.tolist() == [1, -0.5, 0, 1, -1, -1]


def test_what_is_correct_and_left_out_is_the_same_whatever_the_reward_is() -> None:
    for other in ("score", "threshold"):
        assert rewards(value=other).correct_B.tolist() == [True, *[False] * 5]
        assert rewards(value=other).kept_B.tolist() == [*[True] * 5, False]


def test_a_user_s_function_sees_0_for_what_is_incorrect_anyway(own: Path) -> None:
    (own / "squares.py").write_text("def f(scores_B, correct_B): return scores_B**2 + correct_B")
    assert rewards(value="squares:f").reward_B.tolist() == [2, 0.0625, 0.25, 0, 0, 0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "return scores_B[:-1]",
            "reward for each of 6 scores; it returned an array of shape",
        ),
        ("return scores_B / 0", "it returned (nan|inf)"),
        ("return 1 / 0", "fails .ZeroDivisionError"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_function_that_breaks_its_contract_is_refused(code: str, words: str, own: Path) -> None:
    name = f"broken_{abs(hash(code))}"
    (own / f"{name}.py").write_text(f"def f(scores_B, correct_B): {code}")
    with pytest.raises(InputError, match=words):
        rewards(value=f"{name}:f")


def test_a_reward_that_depends_on_other_rollouts_is_refused(own: Path) -> None:
    (own / "centred.py").write_text("def f(scores_B, correct_B): return scores_B - scores_B.mean()")
    with pytest.raises(ConfigError, match="depends on the other ones"):
        require_reward(RewardConfig(value="centred:f"))


def test_the_threshold_is_named_as_ever_and_a_function_by_its_code(own: Path) -> None:
    assert sorted(reward_identity(RewardConfig())) == [
        "correct", "correct_at", "incorrect", "no_answer", "truncated", "unjudged",
    ]  # fmt: skip
    (own / "counted.py").write_text("def f(scores_B, correct_B): return scores_B")
    before = reward_identity(RewardConfig(value="counted:f"))
    (own / "counted.py").write_text("def f(scores_B, correct_B): return 2 * scores_B")
    assert before != reward_identity(RewardConfig(value="counted:f"))
