"""The rows of the campaign of faults name tests that exist."""

from pathlib import Path

import pytest

from scripts.chaos import ROWS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_names_files_that_are_there(name: str) -> None:
    files = [word for word in ROWS[name].tests if word.startswith("tests/")]
    assert files and " | " not in f"{name} {ROWS[name].fault}"  # which would end a table's cell
    assert [word for word in files if not (ROOT / word).exists()] == []


def test_every_test_of_the_campaign_s_own_folder_is_in_a_row() -> None:
    named = {word for row in ROWS.values() for word in row.tests}
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/faults").glob("test_*.py")}
    assert there - named == set()
