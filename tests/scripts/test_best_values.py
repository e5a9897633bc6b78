"""The scripts of the map: graders with errors, and each method at its own best value."""

import pytest

from asymreinforce.grading.graders import Grade
from scripts import noisy_graders
from scripts.best_values import Method


@pytest.mark.parametrize(
    ("grader", "right", "wrong"),
    [
        (noisy_graders.false_positives_20, 0.0, 0.2),
        (noisy_graders.false_positives_5, 0.0, 0.05),
        (noisy_graders.false_negatives_20, 0.2, 0.0),
        (noisy_graders.false_negatives_5, 0.05, 0.0),
    ],
)
def test_a_noisy_grader_errs_on_its_share_of_one_kind_alone(
    grader: Grade, right: float, wrong: float
) -> None:
    texts = [f"attempt {k} Answer: " for k in range(4000)]
    called_wrong = sum(grader(None, "5", f"{text}5").score == 0 for text in texts) / len(texts)
    called_right = sum(grader(None, "5", f"{text}4").score == 1 for text in texts) / len(texts)
    assert called_wrong == pytest.approx(right, abs=0.02 if right else 0)
    assert called_right == pytest.approx(wrong, abs=0.02 if wrong else 0)


def test_a_noisy_grader_gives_the_same_verdict_again_and_none_without_an_answer() -> None:
    verdicts = [noisy_graders.false_positives_20(None, "5", f"{k} Answer: 4") for k in range(50)]
    again = [noisy_graders.false_positives_20(None, "5", f"{k} Answer: 4") for k in range(50)]
    assert verdicts == again
    assert noisy_graders.false_positives_20(None, "5", "no idea").score is None


def test_validation_chooses_the_value_and_held_out_accuracy_is_shown() -> None:
    """At 1e-4 validation is higher, although 3e-4 is higher on held-out questions."""

    def arms(validated: float, accuracy: float) -> list[dict[str, object]]:
        return [{"validated": validated, "accuracy": accuracy, "verdict": "improved"}] * 2

    method = Method("x", {3e-5: arms(0.5, 0.5), 1e-4: arms(0.8, 0.7), 3e-4: arms(0.7, 0.9)})
    assert method.row == "| x | 0.0001 | 80.0 | 70.0 [70.0, 70.0] |"
    edge = Method("y", {3e-5: arms(0.9, 0.6), 1e-4: arms(0.8, 0.7)})
    assert edge.row.startswith("| y | 3e-05 (edge) |")
