"""`asymrl push`: what is sent to the hub, by a stand-in of it; nothing is sent unasked."""

import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from asymreinforce.data import contracts
from asymreinforce.errors import ConfigError, InputError
from asymreinforce.experiment.arms import arms_of
from asymreinforce.hub import cards
from asymreinforce.hub.client import Hub, Kind, Upload, Visibility, without_tokens
from asymreinforce.hub.push import push_checkpoint, push_rollouts
from tests.fixtures.commands import asymrl, only, refused

TOKEN = "hf_" + "a" * 34


class FakeHub(Hub):
    """Keeps what it is given; repositories of a name are there before, or not."""

    def __init__(self, before: Visibility = "absent"):
        self.before = before
        self.created: list[tuple[str, Kind, bool]] = []
        self.files: dict[str, bytes] = {}

    def visibility(self, repository: str, *, kind: Kind) -> Visibility:
        return self.before

    def create(self, repository: str, *, kind: Kind, private: bool) -> None:
        self.created.append((repository, kind, private))

    def commit(
        self, repository: str, uploads: Iterable[Upload], *, kind: Kind, message: str
    ) -> str:
        for name, content in uploads:
            self.files[name] = content if isinstance(content, bytes) else content.read_bytes()
        return f"https://hub.example/{repository}"


def front(card: bytes) -> dict[str, Any]:
    """The fields at the head of a card, which are JSON each."""
    head = card.decode().split("---\n")[1]
    return {
        key: json.loads(value) for key, _, value in (x.partition(":") for x in head.splitlines())
    }


def test_a_checkpoint_goes_with_its_weights_and_a_card(runs_dir: Path) -> None:
    hub = FakeHub()
    done = push_checkpoint(runs_dir / "cups", "me/policy", hub=hub)
    assert done.address == "https://hub.example/me/policy"
    assert hub.created == [("me/policy", "model", True)]
    (arm,) = arms_of(runs_dir / "cups")
    best = arm.store.facts["best_step"]
    weights = arm.checkpoints[best] / "model.safetensors"
    assert hub.files["model.safetensors"] == weights.read_bytes()
    assert {"config.json", "tokenizer.json", "README.md"} <= set(hub.files)
    card = hub.files["README.md"].decode()
    assert front(card.encode())["tags"] == [
        *("asymreinforce", "reinforcement-learning", "arxiv:2506.20520")
    ]
    assert "Arnal" in card and "arXiv:2506.20520" in card
    assert f"Step {best} of 4 of one arm: objective `asymre`" in card
    assert '"optim.lr": 0.0001' in card and '"baseline": -0.1' in card
    assert "was not evaluated" in card
    assert str(runs_dir) not in card and str(Path.home()) not in card


def test_results_stand_in_the_card_of_an_evaluated_checkpoint(runs_dir: Path) -> None:
    (arm,) = arms_of(runs_dir / "cups")
    about = {name: arm.name if name == "arm" else "x" for name in ("arm", "algorithm")}
    columns = {
        **{name: [value] * 2 for name, value in about.items()},
        "baseline": [-0.1] * 2, "baseline_reference": ["group_mean"] * 2,
        **{name: [0] * 2 for name in ("seed", "policy_seed", "sampling_seed")},
        "split": ["held_out"] * 2, "step": [0, 4], "prompts": [12] * 2, "k": [2] * 2,
        "accuracy": [0.25, 0.75], "accuracy_se": [0.1, 0.05], "pass_at_k": [0.5, 1.0],
        **{name: [1.0] * 2 for name in ("distinct_answers", "length", "truncated")},
        "evaluation": ["x"] * 2,
    }  # fmt: skip
    table = contracts.make_table(contracts.CURVES, columns)
    contracts.write_table(runs_dir / "cups/curves.parquet", contracts.CURVES, table, identity="")
    hub = FakeHub()
    push_checkpoint(runs_dir / "cups", "me/policy", hub=hub, step=4)
    card = hub.files["README.md"].decode()
    assert "| held\\_out | 0 | 0.2500 | 0.1000 | 2 | 0.5000 | 12 |" in card
    assert "| held\\_out | 4 | 0.7500 | 0.0500 | 2 | 1.0000 | 12 |" in card


def test_rollouts_go_with_their_verdicts_and_questions(runs_dir: Path, tmp_path: Path) -> None:
    hub = FakeHub()
    push_rollouts(runs_dir / "cups", "me/rollouts", hub=hub)
    assert hub.created == [("me/rollouts", "dataset", True)]
    parts = sorted(name for name in hub.files if name.endswith(".parquet"))
    assert parts == [f"data/train-{n:05d}-of-00006.parquet" for n in range(6)]
    rows = []
    for name in parts:
        path = tmp_path / "part.parquet"
        path.write_bytes(hub.files[name])
        rows += pq.read_table(path).to_pylist()
    assert len(rows) == 192
    rollouts, verdicts = only(runs_dir / "cups/rollouts"), only(runs_dir / "cups/verdicts")
    for store, contract, columns in (
        (rollouts, contracts.ROLLOUTS, ("text", "completion_token_ids", "behaviour_logps")),
        (verdicts, contracts.VERDICTS, ("score", "status", "extracted_answer", "grader")),
    ):
        tables = [contracts.read_table(store.path(n), contract).to_pylist() for n in store.planned]
        kept = {(r["prompt_id"], r["sample"]): r for table in tables for r in table}
        for row in rows:
            own = kept[row["prompt_id"], row["sample"]]
            assert [row[name] for name in columns] == [own[name] for name in columns]
    assert all(row["question"] and row["gold_answer"] for row in rows)
    card = hub.files["README.md"].decode()
    assert "- rollouts: 192" in card and "- with a verdict: 192" in card
    assert "2506.20520" in card and str(runs_dir) not in card


def test_rollouts_that_were_not_graded_go_without_verdicts(runs_dir: Path, tmp_path: Path) -> None:
    import shutil

    shutil.rmtree(runs_dir / "cups/verdicts")
    hub = FakeHub()
    push_rollouts(runs_dir / "cups", "me/rollouts", hub=hub)
    path = tmp_path / "part.parquet"
    path.write_bytes(hub.files["data/train-00000-of-00006.parquet"])
    rows = pq.read_table(path).to_pylist()
    assert rows and all(row["status"] is None and row["question"] for row in rows)


def test_a_public_repository_is_not_pushed_to_unasked(runs_dir: Path) -> None:
    hub = FakeHub("public")
    with pytest.raises(ConfigError, match="is already a public model"):
        push_checkpoint(runs_dir / "cups", "me/policy", hub=hub)
    assert not hub.files
    push_checkpoint(runs_dir / "cups", "me/policy", hub=hub, public=True)
    assert hub.files and not hub.created


def test_an_arm_or_a_step_that_is_not_there_is_refused_with_those_that_are(runs_dir: Path) -> None:
    (arm,) = arms_of(runs_dir / "cups")
    with pytest.raises(InputError, match=f"name one arm with --arm .*{arm.name}"):
        push_checkpoint(runs_dir / "cups", "me/policy", hub=None, arm="zz")
    with pytest.raises(InputError, match="no weights of step 3; steps with weights: 2, 4"):
        push_checkpoint(runs_dir / "cups", "me/policy", hub=None, step=3)
    with pytest.raises(InputError, match="no arm is complete"):
        push_checkpoint(runs_dir / "none", "me/policy", hub=None)


def test_a_dry_run_prints_the_card_and_sends_nothing(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing may be asked of the hub")

    monkeypatch.setattr("asymreinforce.hub.client.Hub._ask", never)
    outcome = asymrl("push", str(runs_dir / "cups"), "--to", "me/policy", "--dry-run")
    assert outcome.code == 0
    assert outcome.out.startswith("---\nlibrary_name") and "## Citation" in outcome.out
    assert "model.safetensors" in outcome.err
    assert re.search(r"would push model me/policy: \d+ files, .* nothing was sent", outcome.err)


def test_a_hub_that_refuses_is_one_message_without_a_token(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    class Api:
        def repo_exists(self, *_: Any, **__: Any) -> bool:
            raise RuntimeError(f"401 for 'Authorization: Bearer {TOKEN}'\nmore")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    outcome = asymrl("push", str(runs_dir / "cups"), "--to", "me/policy")
    message = refused(outcome, "me/policy: the hub did not take it", "hf auth login")
    assert TOKEN not in message + outcome.out + outcome.err


def test_options_of_the_other_kind_are_refused(runs_dir: Path) -> None:
    directory = str(runs_dir / "cups")
    refused(asymrl("push", directory, "--to", "a/b", "--rollouts", "--step", "2"), "--rollouts")
    refused(asymrl("push", directory, "--to", "a/b", "--grader", "math"), "add --rollouts")


def test_the_client_calls_the_hub_as_its_library_is_defined() -> None:
    """The stand-in refuses what the real methods would: their own signatures are asked."""
    from huggingface_hub import CommitOperationAdd, HfApi

    calls: dict[str, dict[str, Any]] = {}

    class Api:
        def __getattr__(self, name: str) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                bound = inspect.signature(getattr(HfApi, name)).bind(None, *arguments, **options)
                calls[name] = dict(bound.arguments)
                answers = {
                    "repo_exists": True,
                    "repo_info": type("Info", (), {"private": True}),
                    "create_commit": type("Info", (), {"commit_url": "https://hub.example/c"}),
                }
                return answers.get(name)

            return call

    client = Hub(Api())  # type: ignore[arg-type]
    assert client.visibility("a/b", kind="dataset") == "private"
    client.create("a/b", kind="dataset", private=True)
    address = client.commit("a/b", [Upload("x.txt", b"x")], kind="dataset", message="m")
    assert address == "https://hub.example/c"
    assert calls["create_repo"]["private"] is True
    assert {call["repo_type"] for call in calls.values()} == {"dataset"}
    (operation,) = calls["create_commit"]["operations"]
    assert isinstance(operation, CommitOperationAdd) and operation.path_in_repo == "x.txt"


def test_text_in_a_card_has_no_markup_and_no_place_of_this_machine(tmp_path: Path) -> None:
    card = cards.dataset_card(
        title="a\n# b [c](d) <img>",
        counts={},
        identities={"path": str(tmp_path / "secret" / "q.jsonl"), "text": "```\n# injected"},
    )
    assert "# a \\# b \\[c\\](d) \\<img\\>" in card
    assert str(tmp_path) not in card and '"q.jsonl"' in card
    assert card.count("\n````") == 2  # a longer fence


def test_credentials_are_blotted_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "0123456789")
    assert without_tokens(f"x 0123456789 y {TOKEN}") == "x *** y ***"
