"""Each contract survives a round trip, and each violation is named."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asymreinforce.data import contracts
from asymreinforce.data.contracts import CONTRACTS, ROLLOUTS, Contract
from asymreinforce.errors import InputError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def values_of(type_: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_list(type_):
        return st.lists(values_of(type_.value_type), max_size=5)
    if pa.types.is_string(type_):
        return TEXT
    if pa.types.is_boolean(type_):
        return st.booleans()
    if pa.types.is_floating(type_):
        return st.floats(allow_nan=False, width=32 if type_ == pa.float32() else 64)
    return st.integers(-(2**31), 2**31 - 1)


@st.composite
def tables(draw: st.DrawFn, contract: Contract) -> pa.Table:
    rows = draw(st.integers(0, 5))
    columns = {}
    for field in contract.schema:
        values = values_of(field.type)
        columns[field.name] = draw(
            st.lists(values | st.none() if field.nullable else values, min_size=rows, max_size=rows)
        )
    key = contract.key[0]
    columns[key] = (
        [f"{index}" for index in range(rows)]
        if contract.schema.field(key).type == pa.string()
        else list(range(rows))
    )
    return contracts.make_table(contract, columns)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.label)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_table_comes_back_as_it_was_written(
    contract: Contract, data: st.DataObject, tmp_path: Path
) -> None:
    rows = data.draw(tables(contract))
    contracts.write_table(tmp_path / "t.parquet", contract, rows, identity="x")
    assert contracts.read_table(tmp_path / "t.parquet", contract).equals(rows)


def rollouts(**changes: list[Any]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "prompt_id": ["a", "a"],
        "sample": [0, 1],
        "policy": ["mu", "mu"],
        "prompt_token_ids": [[1], [1]],
        "completion_token_ids": [[2], [3, 4]],
        "finish_reason": ["stop", "stop"],
        "text": ["x", "y"],
    }
    return contracts.make_table(ROLLOUTS, columns | changes)


def test_a_nullable_column_that_is_not_given_is_all_null() -> None:
    assert rollouts().column("behaviour_logps").null_count == 2


def test_a_repeated_key_is_named() -> None:
    with pytest.raises(InputError, match=r"1 rows repeat a key .* prompt_id=a, sample=0"):
        rollouts(sample=[0, 0])


def test_a_null_that_the_contract_forbids_is_counted() -> None:
    with pytest.raises(InputError, match="1 of 2 rows have no text"):
        rollouts(text=["x", None])


def test_a_value_that_does_not_fit_is_an_input_error() -> None:
    with pytest.raises(InputError, match="rollouts/1"):
        rollouts(sample=[0, 2**40])


def test_a_missing_file_says_which_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.parquet: no such file"):
        contracts.read_table(tmp_path / "absent.parquet", ROLLOUTS)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "t.parquet"
    contracts.write_table(path, ROLLOUTS, rollouts(), identity="x")
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(InputError, match=r"t\.parquet: not readable as parquet"):
        contracts.read_table(path, ROLLOUTS)


def test_a_file_of_another_contract_or_version_says_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    contracts.write_table(path, ROLLOUTS._replace(version=2), rollouts(), identity="x")
    with pytest.raises(InputError, match="holds rollouts/2, not rollouts/1"):
        contracts.read_table(path, ROLLOUTS)
    pq.write_table(rollouts(), path)
    with pytest.raises(InputError, match="holds no contract of this software"):
        contracts.read_table(path, ROLLOUTS)


def test_a_column_that_is_gone_or_of_another_type_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    metadata = {"contract": ROLLOUTS.label}
    pq.write_table(rollouts().drop_columns(["text"]).replace_schema_metadata(metadata), path)
    with pytest.raises(InputError, match="lacks the column text"):
        contracts.read_table(path, ROLLOUTS)
    other = rollouts().set_column(1, "sample", pa.array([0.0, 1.0]))
    pq.write_table(other.replace_schema_metadata(metadata), path)
    with pytest.raises(InputError, match="column sample is double, not int32"):
        contracts.read_table(path, ROLLOUTS)
