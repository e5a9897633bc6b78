"""Read rollouts with their verdicts, chunk by chunk, in a seeded order.

A generated set is divided by samples and by prompts: shard `s003-p00012` holds block 3 of the
samples of chunk 12 of the prompts. A *chunk* (all blocks of the same prompts) is the unit of
reading: it holds whole groups, and one or two chunks are in memory at a time. An epoch permutes the
chunks and then the prompts of each chunk; every arm of a sweep reads the same order. Imported
rollouts have one block, with groups of any size.

Shapes: B sequences.
"""

import copy
import functools
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asymreinforce.data import contracts
from asymreinforce.data.order import epoch_order
from asymreinforce.data.rows import Behaviour, Judged, Rows, concatenate_rows
from asymreinforce.data.shard_names import first_shards, has_own_groups, rows_of_shard
from asymreinforce.data.store import Store
from asymreinforce.data.token_ids import ShardTokens, unread_tokens
from asymreinforce.data.verdict_sets import (
    KEYS,
    VerdictSets,
    read_verdicts,
    require_same_rows,
    scores_of,
)
from asymreinforce.errors import InputError

MOST_SHARDS = 8
"""Shards that are searched for rollouts with log-probabilities, at most."""


class ScoredRollouts:
    """A set of rollouts with verdicts, of which the first `samples` of each prompt are used.

    Imported rollouts come in groups of any size; all are used, and the attribute `samples` is None.
    `others` maps the names of further graders to their verdicts on the same rollouts. Raises
    `InputError` if a shard is missing or damaged, or if the verdicts are on other rollouts.
    """

    def __init__(
        self,
        rollouts: Store,
        verdicts: Store,
        *,
        samples: int,
        others: Mapping[str, Store] | None = None,
    ):
        self._rollouts, self._verdicts = rollouts, VerdictSets(verdicts, others or {})
        self._verdicts.require_on(rollouts)
        self.samples = None if has_own_groups(rollouts) else samples
        self._share: Literal["all", "checked", "unchecked"] = "all"
        self.shards = first_shards(rollouts, samples=samples)
        self.chunks = sorted({name.split("-p")[1] for name in self.shards})

    @property
    def is_imported(self) -> bool:
        """Whether the rollouts were imported, not drawn by the engine under these settings."""
        return self.samples is None

    def shared_out(self, *, checked: bool) -> "ScoredRollouts":
        """Return the same set for one of several processes, with `Unread` tokens in its rows.

        Every process gets all verdicts, and reads only the tokens that it uses. One process checks
        the checksums of whole files (`checked`), so that the other processes need not read them.
        """
        one = copy.copy(self)
        one._share = "checked" if checked else "unchecked"
        return one

    def fingerprint(self) -> dict[str, str]:
        """Return hashes of the shards in use; samples that are added later do not change them."""
        return {name: store.fingerprint(self.shards) for name, store in self._stores.items()}

    @property
    def names(self) -> dict[str, str]:
        """The names of the directories below `rollouts/` and `verdicts/`."""
        return {name: store.directory.name for name, store in self._stores.items()}

    @property
    def _stores(self) -> dict[str, Store]:
        return {"rollouts": self._rollouts, **self._verdicts.by_name}

    def prompts_in(self, chunk: str) -> int:
        """Return the number of prompts of a chunk, by its receipt."""
        receipt = self._rollouts.receipt(f"rollouts-s000-p{chunk}")
        if receipt is None:
            raise InputError(
                f"{self._rollouts.directory}: chunk {chunk} is not published; "
                "run 'asymrl generate' again"
            )
        return int(receipt.facts["prompts"])

    @property
    def prompts(self) -> int:
        """The number of prompts of the set."""
        return sum(self.prompts_in(chunk) for chunk in self.chunks)

    def prompts_per_step(self, trajectories: int) -> int:
        """Return how many whole groups make a step of `trajectories` sequences.

        If groups differ in size, the mean size counts: the number of prompts per step is fixed, and
        the number of sequences varies.
        """
        if self.samples is not None:
            return trajectories // self.samples
        rows = sum(rows_of_shard(self._rollouts, name) for name in self.shards)
        return max(1, round(trajectories * self.prompts / rows))

    def verdict_columns(self) -> Iterator[pa.Table]:
        """Yield the verdicts in use, a table per chunk, without reading rollouts."""
        return (self._verdicts_of(chunk) for chunk in self.chunks)

    def judged(self, *, with_lengths: bool) -> Iterator[Judged]:
        """Yield the inputs of rewards, chunk by chunk, without reading tokens."""
        for chunk in self.chunks:
            verdicts = self._verdicts_of(chunk)
            others = self._others_of(chunk, verdicts)
            yield Judged(
                scores_of(verdicts),
                _is_truncated(verdicts),
                {name: scores_of(table) for name, table in others.items()},
                self._lengths_of(chunk) if with_lengths else None,
            )

    def read(self, chunk: str, *, with_logps: bool = False) -> Rows:
        """Read a chunk's rollouts with their verdicts, by prompt and then by sample.

        Raises `InputError` if `with_logps` is set and a rollout has no log-probabilities.
        """
        lazily = self._share != "all"
        columns = [*KEYS]
        columns += [] if lazily else ["prompt_token_ids", "completion_token_ids"]
        columns += ["behaviour_logps"] * (with_logps and not lazily)
        paths = [self._path(self._rollouts, name) for name in self._of(chunk)]
        table = pa.concat_tables(
            contracts.read_table(path, contracts.ROLLOUTS, columns=columns) for path in paths
        )
        table = table.append_column("row", pa.array(np.arange(len(table))))
        table = self._first_samples(table)
        verdicts = self._verdicts_of(chunk)
        require_same_rows(self._verdicts.own, verdicts, self._rollouts, table)
        others = self._others_of(chunk, verdicts)
        group = _one_array(table.column("prompt_id")).dictionary_encode().indices
        table = table.append_column("group", group.cast(pa.int64()))
        order = pc.sort_indices(table, sort_keys=[("group", "ascending"), ("sample", "ascending")])
        table, verdicts = table.take(order), verdicts.take(order)
        row_B, group_B = (table.column(name).to_numpy() for name in ("row", "group"))
        prompts, completions, logps = (
            unread_tokens(paths, row_B=row_B, group_B=group_B, with_logps=with_logps)
            if lazily
            else (
                _token_lists(table.column("prompt_token_ids")),
                _token_lists(table.column("completion_token_ids")),
                self._logps_of(table) if with_logps else None,
            )
        )
        return Rows(
            table.column("prompt_id").to_numpy(zero_copy_only=False),
            table.column("sample").to_numpy(),
            group_B,
            prompts,
            completions,
            *scores_of(verdicts),
            _is_truncated(verdicts),
            logps,
            {name: scores_of(other.take(order)) for name, other in others.items()},
        )

    def texts(self) -> Iterator[pa.Table]:
        """Yield the texts of each chunk's completions with their verdicts, a table per chunk."""
        for chunk in self.chunks:
            text = contracts.read_shards(
                self._rollouts, self._of(chunk), contracts.ROLLOUTS, columns=[*KEYS, "text"]
            )
            verdicts = self._verdicts_of(chunk)
            table = self._first_samples(text).join(verdicts, [*KEYS], join_type="inner")
            yield table.sort_by([(key, "ascending") for key in KEYS])

    def _logps_of(self, table: pa.Table) -> list[np.ndarray]:
        column = table.column("behaviour_logps")
        if column.null_count:
            raise InputError(
                f"{self._rollouts.directory}: {column.null_count} of {len(table)} rollouts of a "
                "chunk have no log-probabilities, which this objective needs; use one that needs "
                "none (algorithm=asymre, rloo, positives_only), or rollouts that have them"
            )
        return _token_lists(column)

    def batches(
        self, *, prompts: int, seed: int | None, start: int = 0, with_logps: bool = False
    ) -> Iterator[Rows]:
        """Yield batches of `prompts` whole groups without end, from batch number `start` on.

        Each epoch has another random order, or the stored order if `seed` is None.
        """
        # Whole epochs and chunks before `start` are skipped without reading them.
        epoch, skip = divmod(start * prompts, self.prompts)
        pending: list[Rows] = []
        wanted = prompts
        while True:
            for part in self._read_epoch(seed=seed, epoch=epoch, skip=skip, with_logps=with_logps):
                starts = part.group_starts
                groups, done = len(starts) - 1, 0
                while groups - done >= wanted:
                    rows = np.arange(starts[done], starts[done + wanted])
                    yield concatenate_rows([*pending, part.take(rows)])
                    pending, done, wanted = [], done + wanted, prompts
                if done < groups:
                    pending.append(part.take(np.arange(starts[done], starts[groups])))
                    wanted -= groups - done
            epoch, skip = epoch + 1, 0

    def _read_epoch(
        self, *, seed: int | None, epoch: int, skip: int, with_logps: bool
    ) -> Iterator[Rows]:
        """Yield the chunks of an epoch in the epoch's order, each with its prompts permuted."""
        counts = [self.prompts_in(chunk) for chunk in self.chunks]
        for index, order in epoch_order(counts, seed=seed, epoch=epoch):
            if skip >= len(order):
                skip -= len(order)
                continue
            rows = self.read(self.chunks[index], with_logps=with_logps)
            starts, order, skip = rows.group_starts, order[skip:], 0
            yield rows.take(np.concatenate([np.arange(starts[g], starts[g + 1]) for g in order]))

    def _path(self, store: Store, name: str) -> Path:
        """Return the path of a shard; its checksum is compared here or by another process."""
        if self._share == "unchecked" and store.receipt(name):
            return store.directory / name
        return store.path(name)

    def _of(self, chunk: str) -> list[str]:
        return [name for name in self.shards if name.endswith(f"-p{chunk}")]

    def _verdicts_of(self, chunk: str, store: Store | None = None) -> pa.Table:
        """Read a grader's verdicts on a chunk (default: the grader that decides correctness)."""
        store, names = store or self._verdicts.own, self._of(chunk)
        table = read_verdicts(store, names, rollouts=self._rollouts, path_of=self._path)
        return self._first_samples(table)

    def _others_of(self, chunk: str, own: pa.Table) -> dict[str, pa.Table]:
        return self._verdicts.read_others(own, functools.partial(self._verdicts_of, chunk))

    def _lengths_of(self, chunk: str) -> np.ndarray:
        """Return the number of tokens of each completion, in the order of the verdicts."""
        tables = []
        for name in self._of(chunk):
            path = self._path(self._rollouts, name)
            sample = contracts.read_table(path, contracts.ROLLOUTS, columns=["sample"])
            tokens = pa.array(ShardTokens(path).lengths.completion_B)
            tables.append(sample.append_column("tokens", tokens))
        tokens_B: np.ndarray = self._first_samples(pa.concat_tables(tables))["tokens"].to_numpy()
        return tokens_B

    def behaviour(self, *, rollouts: int) -> Behaviour:
        """Return at most `rollouts` rollouts that have log-probabilities; there may be none."""
        parts: list[pa.Table] = []
        columns = ["prompt_token_ids", "completion_token_ids", "behaviour_logps"]
        for name in self.shards[:MOST_SHARDS]:
            path = self._path(self._rollouts, name)
            rows = contracts.read_table(path, contracts.ROLLOUTS, columns=columns)
            rows = rows.filter(pc.is_valid(rows.column("behaviour_logps")))
            parts.append(rows.slice(0, rollouts - sum(map(len, parts))))
            if sum(map(len, parts)) >= rollouts:
                break
        table = pa.concat_tables(parts).combine_chunks()
        return Behaviour(*(_token_lists(table.column(name)) for name in columns))

    def _first_samples(self, table: pa.Table) -> pa.Table:
        if self.samples is not None:
            table = table.filter(pc.less(table.column("sample"), self.samples))
        return table.combine_chunks()


def _is_truncated(verdicts: pa.Table) -> np.ndarray:
    is_truncated_B: np.ndarray = verdicts.column("truncated").to_numpy(zero_copy_only=False)
    return is_truncated_B.astype(bool)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _token_lists(column: pa.ChunkedArray) -> list[np.ndarray]:
    lists = _one_array(column)
    values, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
    return [values[start:end] for start, end in itertools.pairwise(offsets)]
