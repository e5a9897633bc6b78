"""Write runs of TensorBoard: event files in `<experiment>/tensorboard/`, one folder per run.

tensorboard --logdir runs/<name>/tensorboard
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymreinforce.config import ExperimentConfig
from asymreinforce.config.settings import flatten_settings
from asymreinforce.data import files
from asymreinforce.tracking.protocol import About, Point, Results

if TYPE_CHECKING:
    import pyarrow as pa
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
HYPERPARAMETERS = ("algorithm.name", "baseline", "baseline_reference", "seed", "optim.lr")
"""Settings that TensorBoard's HParams view shows beside an arm's last accuracies."""


class TensorboardRun:
    """A folder of event files; a resumed run adds a file."""

    def __init__(self, directory: Path, settings: Mapping[str, Any]):
        self._directory, self._settings = directory, settings
        self._writer: SummaryWriter | None = None

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log the metrics of a training step."""
        # a resumed arm repeats steps: the purge drops what an earlier try wrote from here on
        writer = self._open(purge_step=step)
        for name, value in metrics.items():
            writer.add_scalar(f"training/{name}", value, step)

    def log_evaluation(self, points: Sequence[Point]) -> None:
        """Log accuracies at their steps, and the last accuracies with the settings (HParams)."""
        writer = self._open()
        for point in points:
            for name, value in point.numbers.items():
                writer.add_scalar(name, value, point.step)
        flat = flatten_settings(self._settings)
        known = {name: flat.get(name) for name in HYPERPARAMETERS}
        settings = {n: value for n, value in known.items() if isinstance(value, str | int | float)}
        last = {f"{name}/last": value for name, value in points[-1].numbers.items()}
        # "." is this folder; by default torch makes a new folder named by the time
        writer.add_hparams(settings, last, run_name=".", global_step=points[-1].step)

    def log_results(self, results: Results) -> None:
        """Log the summary as a table, and the figures; TensorBoard shows no pages."""
        from matplotlib.image import imread

        writer = self._open()
        if results.summary is not None:
            writer.add_text("summary", _markdown(results.summary))
        for path in results.figures:
            writer.add_image(f"figures/{path.stem}", imread(path), dataformats="HWC")

    def finish(self) -> None:
        """Write the remaining data, and close the files."""
        if self._writer:
            self._writer.close()

    def lost(self, reason: str) -> str:
        """Return the warning that names the folder."""
        return f"{self._directory}: not written ({reason}); the rest is only in the other files"

    def _open(self, *, purge_step: int | None = None) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter

        if self._writer is None:
            self._writer = SummaryWriter(str(self._directory), purge_step=purge_step)
        return self._writer


def open_run(config: ExperimentConfig, about: About) -> TensorboardRun:
    """Open the folder of a run."""
    readable = re.sub(r"[^\w.=+-]+", "_", about.name)
    parent = files.make_directory(config.directory / FOLDER)
    return TensorboardRun(parent / f"{readable}_{about.id[:8]}", about.settings)


def _markdown(table: "pa.Table") -> str:
    rows = [table.schema.names, ["---"] * table.num_columns]
    rows += [[_cell(value) for value in row.values()] for row in table.to_pylist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", r"\|").replace("\n", " ")
