import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymreinforce.data import contracts
from asymreinforce.report.write import write_report
from asymreinforce.untrusted import Shown, show_bytes, visible
from tests.fixtures.made_up_experiment import MadeUpArm, make_experiment, make_training, sweep
from tests.report.test_report import Elements

HOSTILE = (
    "<script>alert(1)</script>",
    "</pre></style></script><img src=x onerror=alert(1)>",
    "\x1b[2J\x1b]0;owned\x07",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "&lt;b&gt; &amp; \"quoted\" 'single'",
    "\x00\x08\x7f\x9b31m",
    "a\u0301\u0301\u0301 $\\frac{1}{2}$ ]]> <!-- -->",
)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("a\r\n\tb", "a\\x0d\n\tb"),
        ("\u202e\u200b", "\\u202e\\u200b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("Δ ≤ 4 ü", "Δ ≤ 4 ü"),
        ("\x9b", "\\x9b"),
    ],
)
def test_characters_that_do_not_show_themselves_are_spelled_out(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_text_is_cut_after_as_many_characters_and_the_rest_is_counted() -> None:
    assert show_bytes("äöü".encode(), longest=2) == Shown("äö", 2)
    assert show_bytes("äöü".encode(), longest=3) == Shown("äöü", 0)
    assert show_bytes(b"ok\xff\xfe", longest=9) == Shown("ok\\xff\\xfe", 0)


@given(st.text(), st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_what_is_shown_is_the_start_of_the_text(text: str, longest: int) -> None:
    content = text.encode(errors="surrogatepass")
    kept = text[:longest]
    if all(not 0xD800 <= ord(character) <= 0xDFFF for character in text):
        assert show_bytes(content, longest=longest).text == visible(kept)
        assert show_bytes(content, longest=longest).bytes_left_out == len(text[longest:].encode())


def test_ten_megabytes_are_shown_in_a_moment() -> None:
    content = b"\x1b" * 10_000_000
    start = time.perf_counter()
    assert show_bytes(content).text == "\\x1b" * 2000
    assert show_bytes(content).bytes_left_out == 9_998_000
    assert time.perf_counter() - start < 0.5


def scripts_of(elements: Elements) -> list[str | None]:
    """The types of the page's scripts: its data, which nothing runs, and its one own script."""
    return [attributes.get("type") for tag, attributes in elements.tags if tag == "script"]


def test_a_hostile_setting_in_the_data_of_the_curves_ends_no_script(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script><!--\u2028"
    arms = [MadeUpArm(-0.3, 0, overrides=(("optim.lr", value),)) for value in (1e-4, hostile)]
    make_experiment(tmp_path, arms, metric_files=1)
    page = write_report(tmp_path).read_text()
    assert scripts_of(Elements(page)) == ["application/json", None]
    data = page.split('id="curve-data">')[1].split("</script>")[0]
    assert not set("<>&\u2028") & set(data)
    names = [group["name"] for group in json.loads(data)["groups"]]
    assert f"−0.3, lr={visible(hostile)}" in names


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_samples_are_text_on_the_page(tmp_path: Path, text: str) -> None:
    make_experiment(tmp_path, sweep([-0.3, 0.3], seeds=[0]), text=text, metric_files=1)
    page = write_report(tmp_path).read_bytes().decode()
    elements = Elements(page)
    assert elements.text.count(visible(text)) >= 20 * 3
    assert scripts_of(elements) == ["application/json", None]
    assert not [tag for tag, attributes in elements.tags if tag == "img" or "onerror" in attributes]
    assert all(character.isprintable() or character in "\n\t" for character in page)


def test_hostile_settings_and_failures_are_text_on_the_page(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>$x_{1}$\x1b"
    make_experiment(
        tmp_path,
        [MadeUpArm(-0.3, 0), MadeUpArm(0.3, 0)],
        metric_files=1,
    )
    for arm in (MadeUpArm(-0.3, 0), MadeUpArm(0.3, 0)):
        path = tmp_path / "train" / arm.id / "config.json"
        config = json.loads(path.read_text())
        config["policy"]["source"] = name if arm.baseline < 0 else "embedded"
        config["task"]["name"] = name
        path.write_text(json.dumps(config))
    broken = MadeUpArm(0.4, 0)
    make_training(tmp_path, broken, metric_files=1)
    failure = tmp_path / "train" / broken.id / "failure.json"
    failure.write_text('{"error": "\\ud800 </pre><script>", "log": "\\u001b[31m\\udc00"}')
    elements = Elements(write_report(tmp_path).read_text())
    assert scripts_of(elements) == ["application/json", None]
    assert "\\ud800 </pre><script>" in elements.text
    assert "\\x1b[31m\\udc00" in elements.text


def test_a_sample_of_ten_megabytes_is_cut_and_the_page_stays_small(tmp_path: Path) -> None:
    make_experiment(tmp_path, sweep([-0.3], seeds=[0]), metric_files=1)
    path = tmp_path / "evaluations" / "feedfacefeedface" / "mu.parquet"
    rows = contracts.read_table(path, contracts.EVALUATIONS).to_pylist()
    shown_first = min(
        {row["prompt_id"] for row in rows}, key=lambda id_: hashlib.sha256(id_.encode()).digest()
    )
    for row in rows:
        if row["prompt_id"] == shown_first:
            row["text"] = "x" * 10_000_000
    columns: dict[str, Iterable[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    table = contracts.make_table(contracts.EVALUATIONS, columns)
    contracts.write_table(path, contracts.EVALUATIONS, table, identity="")
    page = write_report(tmp_path)
    text = Elements(page.read_text()).text
    assert "x" * 2000 in text and "x" * 2001 not in text
    assert "9,998,000 bytes more" in text
    assert page.stat().st_size < 1_000_000
