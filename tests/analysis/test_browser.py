"""The page in headless Chromium, from the file system: no console message, and the table sorts."""

import re
import subprocess
from pathlib import Path

import pytest

from asymreinforce.analysis.report import write_report

from .made_up import make_experiment, sweep

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--window-size=1280,900",
)  # fmt: skip
SECONDS = 60

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent; 'apt-get install chromium' brings it"
    ),
]


def open_page(page: Path, profile: Path) -> tuple[str, list[str]]:
    """Return the document after its scripts ran, and the console's messages."""
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "made-up"
    hostile = "</pre><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
    return write_report(make_experiment(directory, sweep(), text=hostile, metric_files=1))


def test_the_page_renders_without_a_message_on_the_console(page: Path, tmp_path: Path) -> None:
    document, messages = open_page(page, tmp_path)
    assert messages == []
    assert "<title>made-up: accuracy against baseline</title>" in document
    assert document.count("<figure>") == 10


def test_a_script_that_is_not_the_page_s_own_is_refused_by_its_policy(
    page: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.html"
    changed.write_text(page.read_text().replace("</main>", "<script>1</script></main>"))
    _, messages = open_page(changed, tmp_path / "profile")
    assert len(messages) == 1
    assert "Content Security Policy" in messages[0]


def test_a_click_on_a_title_sorts_the_table_by_its_numbers(page: Path, tmp_path: Path) -> None:
    click = "<script>document.querySelectorAll('th button')[4].click()</script></body>"
    text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text()).replace("</body>", click)
    changed = tmp_path / "changed.html"
    changed.write_text(text)
    document, _ = open_page(changed, tmp_path / "profile")
    rows = re.findall(r"<tr>\s*(<td.*?)</tr>", document, re.DOTALL)
    accuracies = [float(re.findall(r">([\d.]+) ± ", row)[0]) for row in rows if " ± " in row]
    assert len(accuracies) == 24
    assert accuracies == sorted(accuracies) and accuracies[0] < 25 < 90 < accuracies[-1]
