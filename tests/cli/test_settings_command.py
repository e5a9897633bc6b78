"""`asymrl settings`: every setting, what it means, and what it determines."""

import subprocess
import sys
from pathlib import Path

import pytest
from asymrl.defaults import defaults_of
from asymrl.settings_command import DETERMINED, catalogue

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.baseline import SCHEDULE_OF
from asymreinforce.config.settings import flatten_settings
from asymreinforce.data.determines import OF_A_REFERENCE, Product, first_product
from tests.fixtures.commands import asymrl, refused
from tests.test_startup import HEAVY

ROOT = Path(__file__).parents[2]
NOTHING = Product.NOTHING
SETTINGS = {one.key: one for one in catalogue()}


def test_every_setting_is_there_and_says_what_it_means() -> None:
    assert SETTINGS.keys() == flatten_settings(defaults_of(ExperimentConfig)).keys()
    assert [key for key, one in SETTINGS.items() if not (one.meaning and one.values)] == []


def test_the_page_is_what_the_models_say() -> None:
    """'asymrl settings --markdown > docs/reference/settings.md' writes it anew."""
    assert (ROOT / "docs/reference/settings.md").read_text() == asymrl("settings", "--markdown").out


@pytest.mark.parametrize(
    ("key", "values", "default", "product"),
    [
        ("optim.lr", "a number; above 0", "none; set by", Product.ARM),
        ("sampling.top_p", "a number; above 0; at most 1", "1.0", Product.ROLLOUTS),
        ("reward.workers", "a whole number or null; at least 1; at most 4,096", "null", NOTHING),
        ("task.grader", "a text", "none; set by", Product.VERDICTS),
        ("task.chat", "one of auto, never", "auto", Product.ROLLOUTS),
        ("optim.betas", "2 numbers", "[0.9, 0.95]", Product.ARM),
        ("task.no_answers", "a list of texts", "[]", Product.PROMPTS),
        ("runs_dir", "a path", "runs", Product.NOTHING),
        ("baseline", "a number", "-0.1", Product.ARM),
        ("evaluation.sampling.seed", "a whole number", "0", Product.EVALUATION),
        ("engine.eager", "true or false", "true", Product.NOTHING),
    ],
)  # fmt: skip
def test_a_setting_in_words(key: str, values: str, default: str, product: Product) -> None:
    one = SETTINGS[key]
    assert one.values == values
    assert one.default.startswith(default)
    assert one.determines == DETERMINED[product.name]


def test_what_a_setting_determines_is_what_the_table_says() -> None:
    """For an experiment of one's own model, whose identities are made by the same table."""
    plain = {"policy.source": "org/model", "engine.name": "vllm", "source.path": None}
    odd = {"policy.seed", "policy.embedded", "train.threads"}  # of the embedded policy alone
    odd |= {"optim.final_lr_share", *SCHEDULE_OF}  # of some schedules alone
    odd |= {"algorithm.", *OF_A_REFERENCE}  # of some objectives or references alone
    odd |= {"replay."}  # of a buffer that holds something
    for key, one in SETTINGS.items():
        if not key.startswith(("source.", *odd)):
            assert one.determines == DETERMINED[first_product(key, plain).name], key


def test_a_word_is_looked_for_in_keys_and_meanings() -> None:
    printed = asymrl("settings", "Group").out
    assert "sampling.samples_per_prompt\n" in printed
    assert "optim.lr\n" not in printed
    refused(asymrl("settings", "tempratur"), "tempratur: no setting", "sampling.temperature")


def test_settings_need_nothing_heavy() -> None:
    program = (
        "import sys\nfrom asymrl.main import main\n"
        "try:\n    main(['settings'])\nexcept SystemExit:\n    pass\n"
        "print(*{name.split('.')[0] for name in sys.modules})\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "optim.lr" in ran.stdout
    assert set(ran.stdout.splitlines()[-1].split()) & HEAVY == set()
