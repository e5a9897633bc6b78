"""The tables of a theory bench: one versioned schema each.

| table         | one row is                                          | key           |
| ------------- | --------------------------------------------------- | ------------- |
| BANDIT_CHAINS | a chain: its settings, how it ended, its limit      | chain         |
| BANDIT_TRACES | a recorded moment of a chain                        | (chain, step) |
| BANDIT_LIMITS | the closed form of one draw at one V                | (seed, offset)|

Rewards and values are in units of reward, entropies in nats, `offset` is V - V^mu. A column is null
if theory gives no limit: updates other than AsymRE, several iterations, sampled V > V^mu.
"""

import pyarrow as pa

from asymreinforce.data.schemas import Contract, list_of, make_schema

_FLOAT, _INT, _TEXT = pa.float64(), pa.int32(), pa.string()
_POLICY = list_of(pa.float64())


BANDIT_CHAINS = Contract(
    "bandit_chains",
    1,
    make_schema(
        {
            "chain": _INT,
            "update": _TEXT,
            "baseline_reference": _TEXT,
            "baseline": _FLOAT,
            "seed": pa.int64(),
            "sampling_seed": pa.int64(),
            "lr": _FLOAT,
            "steps": _INT,  # of one iteration: the refresh interval of mu
            "iterations": _INT,
            "samples": _INT,  # per step; 0 is the exact expectation
            "offset": _FLOAT,  # V - V^mu at the first step
            "value": _FLOAT,  # V at the first step
            "behaviour_reward": _FLOAT,  # V^mu of the first behaviour policy
            "best_reward": _FLOAT,
            "critical_value": _FLOAT,  # V_{0,mu} of the first behaviour policy
            "reward": _FLOAT,
            "entropy": _FLOAT,
            "top_arm": _INT,
            "top_probability": _FLOAT,
            "policy": _POLICY,
        },
        {
            "group_size": _INT,
            "limit_reward": _FLOAT,
            "limit_entropy": _FLOAT,
            "limit_support": _INT,
            "total_variation": _FLOAT,
            "noise": _FLOAT,  # sqrt(E |a_hat/s - a|^2), with s such that E a_hat = s a
        },
    ),
    ("chain",),
)

BANDIT_TRACES = Contract(
    "bandit_traces",
    1,
    make_schema(
        {
            "chain": _INT,
            "step": pa.int64(),
            "iteration": _INT,
            "behaviour_reward": _FLOAT,
            "reward": _FLOAT,
            "entropy": _FLOAT,
        },
        {
            "total_variation": _FLOAT,  # to the limit of the whole chain
            "limit_reward": _FLOAT,  # of exact limits iterated as often, for constant V < V^mu
        },
    ),
    ("chain", "step"),
)

BANDIT_LIMITS = Contract(
    "bandit_limits",
    1,
    make_schema(
        {
            "seed": pa.int64(),
            "offset": _FLOAT,
            "value": _FLOAT,
            "support": _INT,  # V <= V^mu: arms of the limit; V > V^mu: arms that may be the limit
            "lowest_reward": _FLOAT,  # of the possible limits; equal to the highest if only one
            "highest_reward": _FLOAT,
        },
        {},
    ),
    ("seed", "offset"),
)

TABLES = {
    "chains.parquet": BANDIT_CHAINS,
    "traces.parquet": BANDIT_TRACES,
    "limits.parquet": BANDIT_LIMITS,
}
"""The tables of a bench, and the contract of each in this version."""
