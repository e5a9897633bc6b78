"""The page in headless Chromium, from the file system: it is quiet, fits, and does what it says."""

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asymreinforce.report.experiment import read_experiment
from asymreinforce.report.pair import pair_experiments
from asymreinforce.report.write import write_comparison, write_report
from tests.fixtures.made_up_experiment import make_experiment, sweep

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--hide-scrollbars", "--virtual-time-budget=2000",
    "--window-size=1280,900",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
SECONDS = 120
WIDTHS = (1280, 390)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"{CHROMIUM} is absent; 'make test-page' brings it"
    ),
]


def open_page(page: Path, profile: Path, *flags: str) -> tuple[str, list[str]]:
    """Return the document after its scripts ran, and the console's messages."""
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def ask(page: Path, place: Path, script: str, *flags: str, width: int = 1280) -> Any:
    """Return what a function body returns when it is run in the page, as JSON.

    The page is put into a frame: a window of Chromium is never narrower than 500 pixels.
    """
    program = (
        "<script>const asked = () => {" + script + "}; addEventListener('load', () => "
        "setTimeout(() => parent.postMessage(JSON.stringify(asked()), '*'), 300));</script></body>"
    )
    text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text()).replace("</body>", program)
    (place / "changed.html").write_text(text)
    frame = place / "frame.html"
    frame.write_text(
        f"<body style='margin: 0'><iframe src='changed.html' style='border: 0; width: {width}px; "
        "height: 844px'></iframe><pre id='told'></pre><script>addEventListener('message', (event) "
        "=> { document.getElementById('told').textContent = event.data; });</script></body>"
    )
    document, messages = open_page(frame, place / "profile", *flags)
    assert messages == []
    return json.loads(html.unescape(document.split('<pre id="told">')[1].split("</pre>")[0]))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "made-up"
    hostile = "</pre><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
    return write_report(make_experiment(directory, sweep(), text=hostile, metric_files=1))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    for name, baselines in (("one", [-0.3, 0.1]), ("two", [-0.3, 0.0])):
        make_experiment(runs / name, sweep(baselines), metric_files=1)
    return write_comparison(
        pair_experiments(read_experiment(runs / "one"), read_experiment(runs / "two"))
    )


def test_the_page_renders_without_a_message_on_the_console(page: Path, tmp_path: Path) -> None:
    document, messages = open_page(page, tmp_path)
    assert messages == []
    assert "<title>made-up: accuracy against baseline</title>" in document
    assert document.count("<figure") == 12
    assert document.count('<g class="line"') == 10 * 8


def test_the_page_of_two_experiments_renders_as_quietly(compared: Path, tmp_path: Path) -> None:
    document, messages = open_page(compared, tmp_path)
    assert messages == []
    assert document.count('<g class="line"') == 10 * 4


def test_a_script_that_is_not_the_page_s_own_is_refused_by_its_policy(
    page: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.html"
    changed.write_text(page.read_text().replace("</main>", "<script>1</script></main>"))
    _, messages = open_page(changed, tmp_path / "profile")
    assert len(messages) == 1
    assert "Content Security Policy" in messages[0]


FITS = """
const texts = [...document.querySelectorAll(".panels svg text")];
return {
  inner: innerWidth,
  wide: document.documentElement.scrollWidth,
  out: [...document.querySelectorAll("main *:not(.scroll *):not(pre *)")].filter((e) =>
    e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, svg, .spoken")).length,
  smallest: Math.min(...texts.map((e) => parseFloat(getComputedStyle(e).fontSize))),
  clipped: texts.filter((e) => { const [a, b] = [e, e.ownerSVGElement].map((x) =>
    x.getBoundingClientRect()); return a.right > b.right + 1 || a.bottom > b.bottom + 1; }).length,
  page: getComputedStyle(document.body).backgroundColor,
  ink: getComputedStyle(document.body).color,
};
"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("flags", [(), (DARK,)], ids=["light", "dark"])
def test_nothing_sticks_out_at_either_width_in_either_scheme(
    page: Path, tmp_path: Path, width: int, flags: tuple[str, ...]
) -> None:
    told = ask(page, tmp_path, FITS, *flags, width=width)
    assert told["inner"] == told["wide"] == width
    assert (told["out"], told["clipped"]) == (0, 0)
    assert told["smallest"] >= 11
    ink, ground = (sum(map(int, re.findall(r"\d+", told[name])[:3])) for name in ("ink", "page"))
    assert (ink > 600 > 100 > ground) if flags else (ground > 600 > 200 > ink)


def test_a_click_on_a_title_sorts_the_table_by_its_numbers(page: Path, tmp_path: Path) -> None:
    script = """
    const table = document.querySelector("[aria-label='Table of arms'] table");
    const heads = [...table.tHead.rows[0].cells];
    const place = heads.findIndex((head) => head.textContent.startsWith("accuracy"));
    heads[place].querySelector("button").click();
    return [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[place].textContent));
    """
    accuracies = ask(page, tmp_path, script)
    assert len(accuracies) == 24
    assert accuracies == sorted(accuracies) and accuracies[0] < 25 < 90 < accuracies[-1]


def test_a_click_on_a_number_shows_the_command_behind_it(page: Path, tmp_path: Path) -> None:
    script = """
    const bar = document.getElementById("behind");
    const before = bar.hidden;
    document.querySelector("[aria-label='Table of arms'] .number").click();
    const shown = [before, bar.hidden, bar.querySelector("code").textContent];
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    return [...shown, bar.hidden];
    """
    before, after, command, closed = ask(page, tmp_path, script)
    assert (before, after, closed) == (True, False, True)
    assert command.startswith(f"asymrl samples {page.parent} --arm asymre-group_mean--0.5-0")
    assert command.endswith("--step 300")


def test_lines_are_hidden_by_their_names_and_read_off_under_the_pointer(
    page: Path, tmp_path: Path
) -> None:
    script = """
    const names = [...document.querySelectorAll(".legend [data-group]")];
    const lines = () => document.querySelectorAll("[data-panel='0'] .line").length;
    const counts = [lines()];
    names[0].click();
    counts.push(lines());
    names[1].dispatchEvent(new MouseEvent("dblclick"));
    counts.push(lines());
    const svg = document.querySelector("[data-panel='0'] svg");
    const { left, top, width } = svg.getBoundingClientRect();
    const place = { clientX: left + width / 2, clientY: top + 40 };
    svg.dispatchEvent(new PointerEvent("pointermove", place));
    const tip = document.querySelector("[data-panel='0'] .tip");
    const told = [...tip.children].map((line) => line.textContent);
    svg.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    const next = tip.children[1].textContent;
    document.getElementById("show-all").click();
    counts.push(lines());
    const pressed = names.map((name) => name.getAttribute("aria-pressed"));
    return { counts, told, next, pressed };
    """
    told = ask(page, tmp_path, script)
    assert told["counts"] == [8, 7, 1, 8]
    assert told["pressed"] == ["true"] * 8
    name, value, seeds = told["told"]
    assert name == "−0.3"
    step = int(re.match(r"step (\d+): [\d.]+%$", value)[1])  # type: ignore[index]
    assert step % 30 == 0 and 90 <= step <= 210
    assert re.match(r"3 seeds: [\d.]+ to [\d.]+$", seeds)
    assert told["next"].startswith(f"step {step + 30}: ")
