"""Build the page that compares two experiments: settings, twins with intervals, curves."""

import shlex
from collections import Counter
from collections.abc import Sequence

from asymreinforce.report.commands import Commands
from asymreinforce.report.figures.curve_panels import Curves
from asymreinforce.report.figures.files import Drawn
from asymreinforce.report.groups import ArmGroup
from asymreinforce.report.page.cells import (
    Cell,
    Table,
    percent_cell,
    plain_text,
    setting_cell,
    setting_rows,
    text_cell,
)
from asymreinforce.report.page.experiment import results_and_curves, sample_columns
from asymreinforce.report.page.html import fill_template
from asymreinforce.report.page.result_table import (
    difference_cell,
    fate_counts,
    p_cell,
    samples_command,
)
from asymreinforce.report.page.samples import Samples
from asymreinforce.report.pair import ExperimentPair, Twin
from asymreinforce.report.results import compare_groups
from asymreinforce.report.setting import describe_experiment
from asymreinforce.report.words import count_words

SURE = 0.05
"""The largest Holm-corrected p at which a difference is reported."""


def render_comparison(
    compared: ExperimentPair, drawings: Drawn, curves: Sequence[Curves], samples: Samples
) -> str:
    """Return the page as HTML; all text from files is escaped and made visible."""
    first, second = compared.experiments
    results = compare_groups(compared.merged, compared.groups)
    directories = [str(experiment.directory) for experiment in compared.experiments]
    return fill_template(
        "compared.html.jinja",
        compared=compared,
        names=(first.name, second.name),
        experiment=compared.merged,
        setting=describe_experiment(compared.merged, compared.groups),
        differences=[(item.key, *map(plain_text, item[1:])) for item in compared.differences],
        answer=comparison_sentence(compared),
        findings=_comparison_sentences(compared),
        table=twin_table(compared),
        settings=setting_rows(compared.merged.shared),
        report_command=shlex.join(["asymrl", "report", *directories]),
        single_commands=[shlex.join(["asymrl", "report", place]) for place in directories],
        **sample_columns(samples, {each.name: Commands(each) for each in compared.experiments}),
        **results_and_curves(compared.merged, compared.groups, results, drawings, curves),
    )


def comparison_sentence(compared: ExperimentPair) -> str:
    """Say at how many settings the second experiment ends above and below the first."""
    first, second = (experiment.name for experiment in compared.experiments)
    if not compared.twins:
        return "No setting is in both experiments, so only their curves can be compared."
    tested, above, below = _sure_differences(compared)
    if not tested:
        return "No setting has enough seeds in both experiments to tell a difference from chance."
    if not above and not below:
        return (
            f"At no common setting ({tested} tested) do {second} and {first} differ by more than "
            "seeds explain."
        )
    return (
        f"{second} ends above {first} at {len(above)} and below it at {len(below)} of the common "
        f"settings ({tested} tested); at the others, seeds explain the difference."
    )


def _sure_differences(compared: ExperimentPair) -> tuple[int, list[str], list[str]]:
    """Return the number of tested settings, and the names where the second is above and below."""
    items = [(t.name, t.comparison) for t in compared.twins if t.comparison]
    tested = [(name, item, item.p_holm) for name, item in items if item.p_holm is not None]
    sure = [(name, item.difference > 0) for name, item, p in tested if p <= SURE]
    above, below = ([name for name, is_above in sure if is_above == side] for side in (True, False))
    return len(tested), above, below


def twin_table(compared: ExperimentPair) -> Table:
    """Make the table with one row per group that both experiments have."""
    first, second = (experiment.name for experiment in compared.experiments)
    commands = [Commands(experiment) for experiment in compared.experiments]
    columns = ("setting", f"{first}, %", f"{second}, %", "second minus first", "p", "ended")
    rows = [
        (
            setting_cell(twin.name, twin.first),
            _accuracy_cell(twin.accuracies[0], twin.first, commands[0]),
            _accuracy_cell(twin.accuracies[1], twin.second, commands[1]),
            difference_cell(twin.comparison),
            p_cell(twin.comparison),
            text_cell(_fate_text(twin)),
        )
        for twin in compared.twins
    ]
    return Table(columns, tuple(rows))


def _comparison_sentences(compared: ExperimentPair) -> list[str]:
    """Return the findings as sentences made of the table's numbers."""
    first, second = (experiment.name for experiment in compared.experiments)
    sentences = [
        f"{len(compared.twins)} settings are in both experiments."
        if compared.twins
        else "No setting is in both experiments, so only their curves can be compared."
    ]
    tested, above, below = _sure_differences(compared)
    sentences += [
        f"{second} ends {word} {first} at {', '.join(names)} (Holm-corrected p at most {SURE})."
        for word, names in (("above", above), ("below", below))
        if names
    ]
    if tested and not above and not below:
        sentences.append("At none of them is the difference larger than seeds explain.")
    if compared.twins and not compared.same_prompts:
        sentences.append(
            "The experiments were evaluated on different prompts or in different ways; the "
            "intervals do not account for that."
        )
    return sentences


def _accuracy_cell(value: float | None, group: ArmGroup, commands: Commands) -> Cell:
    under = count_words(len(group.accuracies), "seed")
    return percent_cell(value, command=samples_command(group, commands), under=under)


def _fate_text(twin: Twin) -> str:
    fates = (Counter(arm.fate for arm in group.arms) for group in (twin.first, twin.second))
    return " | ".join(fate_counts(list(counts.items())) for counts in fates)
