"""`asymrl bandit`: run the theory bench from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from asymreinforce import terminal
from asymreinforce.progress import bar

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

MOST_ROWS = 24
"""Chains in the printed table; the parquet table has all chains."""

# An exponent is shorter than the zeros, so that a row fits 80 columns.
SMALL = 1e-4

COLUMNS = {
    "V − V^µ": "offset",
    "V": "value",
    "reward": "reward",
    "limit": "limit_reward",
    "support": "limit_support",
    "TV to limit": "total_variation",
    "entropy": "entropy",
}


def hydra_overrides(arguments: list[str]) -> list[str]:
    """Rewrite arguments as Hydra overrides: the preset's group, and comma lists as lists.

    `experiment=stale_mu` chooses the preset. `seed=0,1,2` becomes `seed=[0,1,2]`, since a bench
    sweeps within one process and needs no multirun.
    """
    return [_hydra_override(argument) for argument in arguments]


def _hydra_override(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if name == "experiment" and equals:
        return f"bandit_experiment={value}"
    if equals and "," in value and value[0] not in "[{'\"":
        return f"{name}=[{value}]"
    return argument


def bandit_job(config: DictConfig) -> None:
    """Run a theory bench, draw its figures, print its chains, write the report of all benches.

    Raises `ConfigError` if a setting is wrong, and `StorageError` if nothing can be written.
    """
    import torch

    from asymreinforce.bandit.config import parse_settings
    from asymreinforce.bandit.run import chain_steps, run_bandit
    from asymreinforce.report.bandit.figures import publish_bench_figures
    from asymreinforce.report.write import write_report

    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    directory = Path(settings.pop("directory"))
    benches = Path(settings.pop("runs_dir", "runs")) / "bandit"
    bench = parse_settings(settings)
    # One thread: a step is five passes over an array that fits a core's cache.
    torch.set_num_threads(1)
    with bar(bench.experiment, total=chain_steps(bench), unit="steps") as advance:
        result = run_bandit(bench, directory=directory, progress=advance)
    drawings = publish_bench_figures(result.directory, bench.experiment)
    console = terminal.make_console()
    console.print(_chains_table(bench.experiment, result.chains))
    console.print(f"{len(result.chains)} chains  {result.directory}", soft_wrap=True)
    for drawing in drawings:
        console.print(f"figures/{drawing.name}.svg, .png  {drawing.title}", soft_wrap=True)
    # A bench in another directory gets its own page: the directories beside it are not ours.
    place = benches if directory.parent == benches else result.directory
    console.print(f"report: {write_report(place)}", soft_wrap=True)


def _chains_table(experiment: str, chains: "pa.Table") -> "Table":
    """Return the chains of the first seed as a table, without the columns in which all agree."""
    from rich.table import Table

    every = chains.drop_columns(["policy"]).to_pylist()
    rows = [row for row in every if row["seed"] == every[0]["seed"]]
    settings = ("update", "lr", "steps", "samples", "group_size", "sampling_seed")
    varied = [name for name in settings if len({row[name] for row in rows}) > 1]
    known = {
        heading: name
        for heading, name in COLUMNS.items()
        if any(row[name] is not None for row in rows)
    }
    first = rows[0]
    table = Table(
        title=f"{experiment}, seed {first['seed']}: V^µ = {first['behaviour_reward']:.5f}, "
        f"V₀,µ = {first['critical_value']:.5f}, best arm {first['best_reward']:.5f}",
        title_justify="left",
    )
    for heading in [*varied, *known]:
        table.add_column(heading, justify="right")
    for row in rows[:MOST_ROWS]:
        table.add_row(*(_cell_text(row[name]) for name in [*varied, *known.values()]))
    if len(rows) > MOST_ROWS:
        table.caption = f"the first {MOST_ROWS} of its {len(rows)} chains"
    return table


def _cell_text(value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0e}" if 0 < abs(value) < SMALL else f"{value:.5f}".rstrip("0").rstrip(".")
