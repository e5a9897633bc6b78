"""A rank reads the token ids of its own rows: the same rows, in fewer row groups."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymreinforce.data import contracts, token_ids
from asymreinforce.data.rollouts import ScoredRollouts
from asymreinforce.data.rows import Rows
from asymreinforce.data.shard_names import shard_name
from asymreinforce.data.store import Store
from asymreinforce.data.token_ids import ShardTokens, Unread, largest_token
from asymreinforce.errors import InputError
from asymreinforce.update.balance import Cost, rows_of_rank
from asymreinforce.update.packing import Sequences

PROMPTS, SAMPLES = 40, 4
COST = Cost(token=3.0, scored=2.0, pair=0.1)


def table(sizes: list[tuple[str, int, int]]) -> pa.Table:
    """Rollouts of prompts named, each with so many tokens in its prompt and in its completion."""
    columns = {
        "prompt_id": [name for name, _, _ in sizes],
        "sample": pa.array(range(len(sizes)), pa.int32()),
        "policy": ["mu"] * len(sizes),
        "prompt_token_ids": [list(range(prompt)) for _, prompt, _ in sizes],
        "completion_token_ids": [list(range(100, 100 + own)) for _, _, own in sizes],
        "finish_reason": ["stop"] * len(sizes),
        "text": [""] * len(sizes),
    }
    return contracts.make_table(contracts.ROLLOUTS, columns)


def test_row_groups_end_where_a_prompt_s_rows_do_and_hold_8192_tokens_or_more() -> None:
    rows = table([(f"q{n // 4}", 1000, 600) for n in range(24)])  # 6,400 tokens a prompt
    assert [len(part) for part in token_ids.row_groups(rows)] == [8, 8, 8]
    assert [len(part) for part in token_ids.row_groups(rows.slice(0, 10))] == [8, 2]
    assert [len(part) for part in token_ids.row_groups(rows.slice(0, 0))] == [0]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4000), st.integers(0, 4000))))
def test_cutting_loses_no_row_and_no_prompt_is_cut(sizes: list[tuple[int, int, int]]) -> None:
    rows = table([(f"q{name}", prompt, own) for name, prompt, own in sizes])
    parts = list(token_ids.row_groups(rows))
    assert pa.concat_tables(parts).equals(rows)
    for left, right in itertools.pairwise(parts):
        assert left.column("prompt_id")[-1] != right.column("prompt_id")[0]


def test_the_footer_says_how_many_tokens_each_row_has_and_an_older_file_is_counted(
    tmp_path: Path,
) -> None:
    rows = table([("a", 5, 3), ("a", 5, 0), ("b", 9000, 1), ("c", 2, 7)])
    contracts.write_table(tmp_path / "new", contracts.ROLLOUTS, rows, identity="x")
    labelled = rows.replace_schema_metadata({"contract": contracts.ROLLOUTS.label})
    pq.write_table(labelled, tmp_path / "old", row_group_size=2)
    for name in ("new", "old"):
        shard = ShardTokens(tmp_path / name)
        assert shard.lengths.prompt_B.tolist() == [5, 5, 9000, 2]
        assert shard.lengths.completion_B.tolist() == [3, 0, 1, 7]
        unread = Unread(shard, "completion_token_ids", 3, 7)
        assert np.array_equal(np.asarray(unread), np.arange(100, 107))
        assert unread[:-1].tolist() == [100, 101, 102, 103, 104, 105]
        assert largest_token([Unread(shard, "prompt_token_ids", 2, 9000), unread]) == 8999


def test_log_probabilities_that_are_not_there_are_refused(tmp_path: Path) -> None:
    contracts.write_table(tmp_path / "a", contracts.ROLLOUTS, table([("a", 1, 2)]), identity="x")
    with pytest.raises(InputError, match="1 of 1 rollouts of a row group have no behaviour_logps"):
        np.asarray(Unread(ShardTokens(tmp_path / "a"), "behaviour_logps", 0, 2))


def test_a_damaged_page_is_found_by_whoever_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    contracts.write_table(path, contracts.ROLLOUTS, table([("a", 900, 900)] * 3), identity="x")
    column = pq.read_metadata(path).row_group(0).column(4)
    assert column.path_in_schema.startswith("completion_token_ids")
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged parquet"):
        np.asarray(Unread(ShardTokens(path), "completion_token_ids", 0, 900))


def long_rollouts(directory: Path) -> ScoredRollouts:
    """Two blocks of 2 samples of 40 prompts, in two chunks; a prompt's part is a row group."""
    generator = np.random.default_rng(0)
    identity: dict[str, Any] = {"sampling": {"samples_per_block": 2, "prompts_per_shard": 20}}
    rollouts = Store(directory / "rollouts", identity)
    verdicts = Store(directory / "verdicts", {"rollouts": rollouts.hash})
    names = [(b, c) for b in range(2) for c in range(2)]
    for store in (rollouts, verdicts):
        store.plan([shard_name(block=b, chunk=c) for b, c in names])
    for block, chunk in names:
        keys = [(p, 2 * block + s) for p in range(20 * chunk, 20 * chunk + 20) for s in range(2)]
        columns: dict[str, Any] = {
            "prompt_id": [f"q{prompt:02d}" for prompt, _ in keys],
            "sample": [sample for _, sample in keys],
        }
        own = [generator.integers(1, 99, generator.integers(3000, 6000)) for _ in keys]
        tokens = {
            "policy": ["mu"] * len(keys),
            "prompt_token_ids": [np.arange(2000 + 13 * prompt) for prompt, _ in keys],
            "completion_token_ids": own,
            "finish_reason": ["stop"] * len(keys),
            "text": [""] * len(keys),
            "behaviour_logps": [-tokens / 10 for tokens in own],
        }
        judged = {
            "status": ["ok"] * len(keys),
            "truncated": [False] * len(keys),
            "grader": ["made-up"] * len(keys),
            "grader_version": ["1"] * len(keys),
            "score": [float(sample == 0) for _, sample in keys],
        }
        name = shard_name(block=block, chunk=chunk)
        put(rollouts, name, contracts.ROLLOUTS, columns | tokens, {"prompts": 20, "rows": 40})
        receipt = rollouts.receipt(name)
        assert receipt
        facts = {"rollouts_sha256": receipt.sha256}
        put(verdicts, name, contracts.VERDICTS, columns | judged, facts)
    return ScoredRollouts(rollouts, verdicts, samples=SAMPLES)


def put(store: Store, name: str, contract: contracts.Contract, columns: Any, facts: Any) -> None:
    rows = contracts.make_table(contract, columns)
    store.publish(
        name,
        lambda path: contracts.write_table(path, contract, rows, identity=store.hash),
        facts=facts,
    )


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> ScoredRollouts:
    return long_rollouts(tmp_path_factory.mktemp("long"))


def first_step(scored: ScoredRollouts) -> Rows:
    """Sixteen prompts of four samples, with log mu."""
    return next(scored.batches(prompts=16, seed=3, with_logps=True))


def test_ranks_lay_out_the_rows_of_one_reader_and_each_reads_about_its_share(
    scored: ScoredRollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = first_step(scored)
    sequences = Sequences(whole.prompts, whole.completions)
    groups: list[int] = []
    read = pq.ParquetFile.read_row_group

    def counted(file: Any, group: int, **settings: Any) -> Any:
        groups.append(group)
        return read(file, group, **settings)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    counts = []
    for number in range(4):
        groups.clear()
        own = first_step(scored.shared_out(checked=number == 0))
        assert np.array_equal(own.score_B, whole.score_B)
        assert [len(tokens) for tokens in own.completions] == [len(t) for t in whole.completions]
        assert groups == []  # lengths and verdicts are all that is read so far
        settings: Any = {"number": number, "count": 4, "tokens": 16_384, "cost": COST}
        rows = rows_of_rank(Sequences(own.prompts, own.completions), **settings)
        expected = rows_of_rank(sequences, **settings)
        for found, row in zip(rows, expected, strict=True):
            assert found.members == row.members
            assert all((a == b).all() for a, b in zip(found[1:3], row[1:3], strict=True))
            assert (found.targets_C == row.targets_C).all()
        counts.append(len(groups))
        assert own.behaviour_logps and whole.behaviour_logps
        assert np.array_equal(np.asarray(own.behaviour_logps[5]), whole.behaviour_logps[5])
    # a prompt's tokens are two row groups of completions and one of its prompt: 48 in all
    assert sum(counts) <= 48 * 1.5 and max(counts) <= 48 / 2


def test_one_rank_compares_the_checksums_of_whole_files_for_all(
    scored: ScoredRollouts, tmp_path: Path
) -> None:
    again = long_rollouts(tmp_path)
    path = tmp_path / "rollouts" / again.names["rollouts"] / again.shards[0]
    path.write_bytes(path.read_bytes().replace(b"parquet-cpp-arrow", b"parquet-cpp-arroz"))
    chunk = again.chunks[0]
    assert len(again.shared_out(checked=False).read(chunk).prompts) == 80
    with pytest.raises(InputError, match="damaged"):
        again.shared_out(checked=True).read(chunk)
