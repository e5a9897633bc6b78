"""The documentation: generated pages are current, links hold, every page is in a menu."""

import subprocess
import sys
from pathlib import Path

import pytest

from asymreinforce.data.schemas import CONTRACTS
from scripts.column_meanings import MEANINGS
from scripts.write_reference import REFERENCE, pages

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["commands.md", "settings.md", "files.md"])
def test_a_generated_page_is_what_its_source_says(name: str) -> None:
    """'python -m scripts.write_reference' writes it anew."""
    assert (REFERENCE / name).read_text(encoding="utf-8") == pages()[name]


def test_every_column_has_a_meaning_and_no_other_name_has_one() -> None:
    columns = {field.name for contract in CONTRACTS for field in contract.schema}
    assert columns == MEANINGS.keys()


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Strict: a link to what is not there, or a page that the navigation lacks, fails the build."""
    mkdocs = Path(sys.executable).with_name("mkdocs")
    if not mkdocs.exists():
        pytest.skip("mkdocs is not in this environment; 'make install' puts it there")
    built = subprocess.run(
        [mkdocs, "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT, env={"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    index = (tmp_path / "site/index.html").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert f'href="{name}"' in index, f"{name} is in no menu"
