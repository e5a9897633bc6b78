"""The table of answer styles in a sweep: one row for each way of an arm, key (arm, way).

Drifts are in units of reward.
"""

import pyarrow as pa

from asymreinforce.data.schemas import ARM_COLUMNS, Contract, make_schema

WAYS = Contract(
    "ways",
    1,
    make_schema(
        {
            **ARM_COLUMNS,
            "way": pa.string(),
            "behaviour_share": pa.float64(),  # of mu's rollouts
            "drift": pa.float64(),  # a = E_mu[1{way} A], in units of reward
            "share": pa.float64(),  # of the samples of the arm's last evaluation
        },
        {
            "behaviour_accuracy": pa.float64(),  # of mu's answers; null if it has none
            "accuracy": pa.float64(),
            "predicted_share": pa.float64(),  # null if Theorem 4.2 leaves the limit open
        },
    ),
    ("arm", "way"),
)
