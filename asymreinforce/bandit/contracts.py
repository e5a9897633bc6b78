"""The tables of a theory bench: one versioned schema each.

| table         | one row is                                          | key           |
| ------------- | --------------------------------------------------- | ------------- |
| BANDIT_CHAINS | a chain: its settings, how it ended, its limit      | chain         |
| BANDIT_TRACES | a recorded moment of a chain                        | (chain, step) |
| BANDIT_LIMITS | the closed form of one draw at one V                | (seed, offset)|

Rewards and values are in units of reward, entropies in nats, `offset` is V - V^mu. A column is null
if theory gives no limit: updates other than AsymRE, several iterations, sampled V > V^mu.
"""

from asymreinforce.data.schemas import Contract, columns_of, make_schema

BANDIT_CHAINS = Contract(
    "bandit_chains",
    1,
    make_schema(
        columns_of(
            "chain int32, update text, baseline_reference text, baseline float64, seed int64, "
            "sampling_seed int64, lr float64, "
            "steps int32, "  # of one iteration: the refresh interval of mu
            "iterations int32, "
            "samples int32, "  # per step; 0 is the exact expectation
            "offset float64, "  # V - V^mu at the first step
            "value float64, "  # V at the first step
            "behaviour_reward float64, "  # V^mu of the first behaviour policy
            "best_reward float64, "
            "critical_value float64, "  # V_{0,mu} of the first behaviour policy
            "reward float64, entropy float64, top_arm int32, top_probability float64, "
            "policy float64[]"
        ),
        columns_of(
            "group_size int32, limit_reward float64, limit_entropy float64, limit_support int32, "
            "total_variation float64, "
            "noise float64"  # sqrt(E |a_hat/s - a|^2), with s such that E a_hat = s a
        ),
    ),
    ("chain",),
)

BANDIT_TRACES = Contract(
    "bandit_traces",
    1,
    make_schema(
        columns_of(
            "chain int32, step int64, iteration int32, "
            "behaviour_reward float64, reward float64, entropy float64"
        ),
        columns_of(
            "total_variation float64, "  # to the limit of the whole chain
            "limit_reward float64"  # of exact limits iterated as often, for constant V < V^mu
        ),
    ),
    ("chain", "step"),
)

BANDIT_LIMITS = Contract(
    "bandit_limits",
    1,
    make_schema(
        columns_of(
            "seed int64, offset float64, value float64, "
            "support int32, "  # V <= V^mu: arms of the limit; V > V^mu: arms that may be the limit
            "lowest_reward float64, "  # of the possible limits; equal to the highest if only one
            "highest_reward float64"
        ),
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
