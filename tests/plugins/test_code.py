"""A plugin counts in every identity by its code, what it imports, and the data that it declares."""

from pathlib import Path

import pytest

from asymreinforce import plugins
from asymreinforce.errors import ConfigError, InputError
from tests.fixtures.plugin_files import write


def changes(name: str, path: Path, text: str) -> bool:
    """Tell whether the identity of a plugin is another one once a file has another text."""
    before = plugins.plugin_identity(name)
    assert plugins.plugin_identity(name) == before
    write(path, text)
    return plugins.plugin_identity(name) != before


@pytest.mark.parametrize(
    "statement",
    [
        "import plugin_lib.deep",
        "import plugin_lib.deep as other",
        "from plugin_lib import deep",
        "from plugin_lib.deep import VALUE",
        "def later():\n    from plugin_lib import deep",
        "if True:\n    try:\n        import plugin_lib.deep\n    except ImportError:\n        pass",
        "import importlib\nimportlib.import_module('plugin_lib.deep')",
        "from plugin_lib import *",
        "import plugin_between",
        "import plugin_lib.package.inner",
    ],
)
def test_a_module_that_is_imported_in_any_way_counts(here: Path, statement: str) -> None:
    write(here / "plugin.py", f"{statement}\ndef f(): pass\n")
    write(here / "plugin_between.py", "from plugin_lib.package import inner\n")
    write(here / "plugin_lib/__init__.py", "__all__ = ['deep']\n")
    write(here / "plugin_lib/deep.py", "VALUE = 1\n")
    write(here / "plugin_lib/package/__init__.py", "")
    write(here / "plugin_lib/package/inner.py", "from .. import deep\nfrom . import *\n")
    assert changes("plugin:f", here / "plugin_lib/deep.py", "VALUE = 2\n")
    assert changes("plugin:f", here / "plugin_lib/__init__.py", "__all__ = ['deep', 'other']\n")
    assert changes("plugin:f", here / "plugin.py", f"{statement}\ndef f(): return 1\n")


def test_a_plugin_in_a_package_counts_its_package_and_its_neighbours(here: Path) -> None:
    write(here / "plugins_mine/__init__.py", "")
    write(here / "plugins_mine/tasks.py", "from .words import WORDS\nfrom . import words\n")
    write(here / "plugins_mine/words.py", "WORDS = 1\n")
    assert changes("plugins_mine.tasks:f", here / "plugins_mine/words.py", "WORDS = 2\n")
    assert changes("plugins_mine.tasks:f", here / "plugins_mine/__init__.py", "FIRST = 1\n")
    assert not changes("plugins_mine.tasks:f", here / "plugins_mine/unused.py", "")


def test_modules_that_import_each_other_in_a_circle_are_read_once(here: Path) -> None:
    write(here / "plugin.py", "import plugin_other\n")
    write(here / "plugin_other.py", "import plugin\n")
    assert changes("plugin:f", here / "plugin_other.py", "import plugin\nVALUE = 2\n")


def test_installed_packages_and_this_one_do_not_count(here: Path) -> None:
    write(
        here / "plugin.py", "import json, numpy, yaml\nfrom asymreinforce.tasks import Question\n"
    )
    found = plugins.code.read_code("plugin")
    assert found
    assert [*found.sums] == ["plugin"]


def test_a_plugin_of_an_installed_package_counts_with_that_package(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = here / "lib/site-packages"
    monkeypatch.syspath_prepend(str(installed))
    write(installed / "plugin_dist/__init__.py", "")
    write(installed / "plugin_dist/graders.py", "from plugin_dist import words\n")
    write(installed / "plugin_dist/words.py", "WORDS = 1\n")
    write(here / "plugin.py", "import plugin_dist.words\n")
    assert not changes("plugin:f", installed / "plugin_dist/words.py", "WORDS = 2\n")
    assert changes("plugin_dist.graders:f", installed / "plugin_dist/words.py", "WORDS = 3\n")


def test_nothing_is_run_to_name_a_plugin_without_a_fingerprint(here: Path) -> None:
    write(here / "plugin.py", "import plugin_lib\nraise SystemExit('run')\n")
    write(here / "plugin_lib.py", "raise SystemExit('run')\n")
    assert changes("plugin:f", here / "plugin_lib.py", "this is no Python\n")


@pytest.mark.parametrize(
    "definition",
    [
        "def fingerprint(): return {text}.read_text()",
        "if True:\n    fingerprint = lambda: {text}.read_text()",
        "from plugin_lib import fingerprint",
    ],
)
def test_data_counts_by_the_fingerprint_that_a_plugin_declares(here: Path, definition: str) -> None:
    path = f"__import__('pathlib').Path({str(here / 'data.txt')!r})"
    write(here / "plugin_lib.py", f"def fingerprint(): return {path}.read_text()\n")
    write(here / "plugin.py", definition.format(text=path))
    write(here / "data.txt", "one")
    assert changes("plugin:f", here / "data.txt", "two")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return open('absent.json').read()", "fingerprint fails.*absent.json"),
        ("return None", "names no data"),
        ("return float('nan')", "no JSON value"),
        ("return object()", "no JSON value"),
    ],
)
def test_a_fingerprint_that_names_nothing_is_refused(here: Path, body: str, message: str) -> None:
    write(here / "plugin.py", f"def fingerprint():\n    {body}\n")
    with pytest.raises(InputError, match=message):
        plugins.plugin_identity("plugin:f")


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("import importlib, os\nimportlib.import_module(os.environ['X'])", "2: import_module"),
        ("import sys\nsys.path.insert(0, 'elsewhere')", "2: sys.path"),
        ("exec(open('other.py').read())", "1: exec"),
        ("import importlib.util as u\nu.spec_from_file_location('a', 'a.py')", "2: spec_from"),
        ("from importlib import import_module as load\nload('plugin')", "1: import_module"),
    ],
)
def test_code_that_cannot_be_followed_is_warned_of_once(
    here: Path,
    statement: str,
    place: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugins, "_WARNED", set())
    write(here / "plugin.py", "import plugin_lib\n")
    write(here / "plugin_lib.py", statement)
    plugins.plugin_identity("plugin:f")
    plugins.plugin_identity("plugin:f")
    said = capsys.readouterr().err
    assert said.count(f"warning: plugin:f: plugin_lib, line {place}") == 1
    assert said.count("warning") == 1


def test_a_plugin_that_is_not_there_is_named(here: Path) -> None:
    with pytest.raises(ConfigError, match="there is no module plugin_absent"):
        plugins.plugin_identity("plugin_absent:f")
