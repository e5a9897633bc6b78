"""Make the tables of settings, with results, aggregates, coverage, benchmarks, and of searches."""

from collections.abc import Sequence

from asymreinforce.report.commands import Commands
from asymreinforce.report.coverage import Coverage, Line
from asymreinforce.report.groups import ArmGroup
from asymreinforce.report.page.arm_table import VERDICT_MARKS
from asymreinforce.report.page.cells import (
    EMPTY,
    NOTHING,
    Cell,
    Table,
    bracket_interval,
    make_table,
    number_cell,
    percent_cell,
    setting_cell,
    text_cell,
)
from asymreinforce.report.results import GroupResults, Result
from asymreinforce.report.searches import SearchedMethod, accuracy_text, trials_text, values_text
from asymreinforce.report.statistics.aggregates import Aggregated, Improvement
from asymreinforce.report.statistics.comparison import Comparison
from asymreinforce.report.suites import Benchmark, Score, SuiteResults
from asymreinforce.report.words import points_text

SPLIT_MARK = "‡"


def result_table(results: GroupResults, commands: Commands | None) -> Table:
    """Make the table of results; the command of each number shows the group's lowest seed."""
    rows = []
    for row in results.rows:
        command = samples_command(row.group, commands)
        compared = {"µ": row.against_behaviour}
        if results.against is not None:
            compared[results.against] = row.against
        cells = {
            "setting": setting_cell(row.name, row.group),
            "seeds": number_cell(len(row.group.arms), "d"),
            "ended": _fate_cell(row),
            "accuracy, %": _mean_cell(row, command),
        }
        for base, comparison in compared.items():
            difference = difference_cell(comparison, command=command, is_split=row.is_split)
            cells[f"against {base}"] = difference
            cells["p" if base == "µ" else f"p, against {base}"] = p_cell(comparison)
        rows.append(cells)
    return make_table(rows)


def varied_text(comparison: Comparison) -> str:
    """Say what varied between the runs of an interval: "3 seeds: data order"."""
    if comparison.interval is None:
        return "one run: no interval"
    words = ", ".join(comparison.interval.varied) or "nothing"
    return f"{comparison.pairs} seeds: {words}"


def p_text(value: float | None) -> str:
    """Write a corrected p-value with three decimals, or "<0.001"."""
    if value is None:
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def fate_counts(fates: Sequence[tuple[str, int]]) -> str:
    """Count the verdicts of arms: "2 ↑ 1 ↓"."""
    return " ".join(f"{count} {VERDICT_MARKS.get(fate, fate)}" for fate, count in fates)


def samples_command(group: ArmGroup, commands: Commands | None) -> str | None:
    """Return the command that shows the samples of a group's lowest seed at its last step."""
    first = group.lowest_seed
    if not (commands and first and first.outcome):
        return None
    return commands.samples(first, step=first.outcome.step)


def _fate_cell(row: Result) -> Cell:
    under = f"{row.fallen} of {len(row.group.arms)} fell" if row.fallen else ""
    if len(row.fates) == 1:
        fate, count = row.fates[0]
        mark = VERDICT_MARKS.get(fate, "")
        return Cell(f"{mark} {fate}".strip(), f"{fate} {count}", verdict=fate, under=under)
    return text_cell(fate_counts(row.fates))._replace(under=under)


def _mean_cell(row: Result, command: str | None) -> Cell:
    values = row.group.accuracies
    span = f"{100 * min(values):.1f} to {100 * max(values):.1f}" if len(values) > 1 else ""
    return percent_cell(row.accuracy, command=command, under=span)


def difference_cell(
    comparison: Comparison | None, *, command: str | None = None, is_split: bool = False
) -> Cell:
    """Show a difference with its interval, and below it what varied between the runs."""
    if comparison is None:
        return EMPTY
    text = points_text(comparison.difference)
    if comparison.interval:
        text += f" {bracket_interval(comparison.interval, sign='+')}"
    if is_split:
        text += f" {SPLIT_MARK}"
    return Cell(text, comparison.difference, command=command, under=varied_text(comparison))


def p_cell(comparison: Comparison | None) -> Cell:
    """Show a corrected p-value."""
    value = comparison.p_holm if comparison else None
    return Cell(p_text(value), value)


def aggregate_table(rows: Sequence[Aggregated], *, against: str | None) -> Table | None:
    """Make the table of aggregates; None if no setting was evaluated."""
    if not rows:
        return None
    return make_table([_aggregate_cells(row, against) for row in rows])


def _aggregate_cells(row: Aggregated, against: str | None) -> dict[str, Cell]:
    runs, accuracy = len(row.group.accuracies), row.accuracy
    quartiles = f"[{100 * accuracy.low_quartile:.1f}, {100 * accuracy.high_quartile:.1f}]"
    cells = {
        "setting": setting_cell(row.name, row.group),
        "seeds": number_cell(runs, "d"),
        "median, %": percent_cell(accuracy.median),
        "quartiles, %": Cell(quartiles, accuracy.high_quartile - accuracy.low_quartile),
        "IQM, %": percent_cell(accuracy.interquartile_mean),
        "P(above µ)": _probability_cell(row.over_behaviour),
    }
    if against is not None:
        cells[f"P(above {against})"] = _probability_cell(row.over_against)
    return cells


def _probability_cell(improvement: Improvement | None) -> Cell:
    if improvement is None:
        return EMPTY
    text = f"{improvement.probability:.2f}"
    if improvement.interval:
        text += f" [{improvement.interval.low:.2f}, {improvement.interval.high:.2f}]"
    return Cell(text, improvement.probability)


def coverage_table(coverage: Coverage) -> Table:
    """Make the table: pass@1, pass@k, distinct answers and completions of k, and entropy."""
    mu, k = coverage.behaviour, coverage.k
    rows = [_line_cells(text_cell(mu.name), mu, k)] if mu else []
    rows += [
        _line_cells(setting_cell(item.line.name, item.group), item.line, k)
        for item in coverage.settings
    ]
    return make_table(rows)


def _line_cells(name: Cell, line: Line, k: int) -> dict[str, Cell]:
    cells = {
        "setting": name,
        "runs": number_cell(line.runs, "d"),
        "pass@1, %": percent_cell(line.accuracy),
    }
    if k > 1:
        cells |= {
            f"pass@{k}, %": percent_cell(line.covered),
            f"answers of {k}": number_cell(line.answers_at_K[-1], ".2f"),
            f"completions of {k}": number_cell(line.completions_at_K[-1], ".2f"),
        }
    return cells | {"entropy, nats": number_cell(line.entropy, ".2f")}


def suite_table(results: SuiteResults) -> Table:
    """Make the table: avg@k of each benchmark, with maj@k, pass@k and the gain over mu below."""
    titles = ("setting", "runs", *map(_benchmark_title, results.benchmarks))
    rows = [
        (
            Cell(line.name, line.name if line.baseline is None else line.baseline),
            Cell(str(line.runs), line.runs),
            *map(_score_cell, line.scores, results.benchmarks),
        )
        for line in results.lines
    ]
    return Table(titles, tuple(rows))


def _benchmark_title(benchmark: Benchmark) -> str:
    name = f"main: {benchmark.name}" if benchmark.is_main else benchmark.name
    return f"{name}, avg@{benchmark.k}, %"


def _score_cell(score: Score | None, benchmark: Benchmark) -> Cell:
    if score is None:
        return EMPTY
    parts = [] if score.difference is None else [f"{100 * score.difference:+.1f}"]
    if benchmark.k > 1:
        parts += [f"maj {100 * score.majority:.1f}", f"pass {100 * score.pass_at_k:.1f}"]
    text = f"{100 * score.accuracy:.1f}"
    return Cell(text, score.accuracy, under=", ".join(parts).replace("-", "−"))


def search_table(methods: Sequence[SearchedMethod]) -> Table | None:
    """Make the table of searches; None if there was no search."""
    return make_table([_search_cells(method) for method in methods]) if methods else None


def _search_cells(method: SearchedMethod) -> dict[str, Cell]:
    record, best = method.record, method.record.best
    done = len(record.trials)
    return {
        "method": text_cell(method.name),
        "trials": Cell(f"{done} of {record.budget}", done),
        "best": Cell(
            values_text(best) if best else "none",
            next(iter(best.values.values())) if best else None,
        ),
        "validation, %": Cell(accuracy_text(best), best.accuracy if best else None),
        "all trials": Cell(trials_text(record), None),
    }
