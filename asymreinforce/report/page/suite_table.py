"""Make the table of benchmarks: mu before training, then each setting at its last step."""

from asymreinforce.report.page.cells import NOTHING, Cell, Table
from asymreinforce.report.suites import Benchmark, Score, SuiteResults


def suite_table(results: SuiteResults) -> Table:
    """Make the table: avg@k of each benchmark, with maj@k, pass@k and the gain over mu below."""
    titles = ("setting", "runs", *map(_title, results.benchmarks))
    rows = [
        (
            Cell(line.name, line.name if line.baseline is None else line.baseline),
            Cell(str(line.runs), line.runs),
            *map(_score_cell, line.scores, results.benchmarks),
        )
        for line in results.lines
    ]
    return Table(titles, tuple(rows))


def _title(benchmark: Benchmark) -> str:
    name = f"main: {benchmark.name}" if benchmark.is_main else benchmark.name
    return f"{name}, avg@{benchmark.k}, %"


def _score_cell(score: Score | None, benchmark: Benchmark) -> Cell:
    if score is None:
        return Cell(NOTHING, None)
    parts = [] if score.difference is None else [f"{100 * score.difference:+.1f}"]
    if benchmark.k > 1:
        parts += [f"maj {100 * score.majority:.1f}", f"pass {100 * score.pass_at_k:.1f}"]
    text = f"{100 * score.accuracy:.1f}"
    return Cell(text, score.accuracy, under=", ".join(parts).replace("-", "−"))
