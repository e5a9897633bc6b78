"""The engine of this process, which is kept running from stage to stage and from arm to arm."""

import contextlib

from asymreinforce.config import ExperimentConfig
from asymreinforce.engines import open_engine
from asymreinforce.engines.protocol import Engine


class Engines(contextlib.ExitStack):
    """At most one running engine, reused while architecture and engine settings stay the same.

    An engine starts at its first `load`; each later `load` swaps the weights.
    """

    _key = ""
    _engine: Engine | None = None

    def of(self, config: ExperimentConfig) -> Engine:
        """Return the engine for an arm: the running engine if it fits, else a new one."""
        # policies that differ only in their seed have the same architecture
        key = config.engine.model_dump_json() + config.policy.model_dump_json(exclude={"seed"})
        if self._engine is None or key != self._key:
            self.close()
            log = config.directory / "logs" / "engine.log"
            opened = open_engine(config.engine, config.policy, log=log)
            self._engine, self._key = self.enter_context(opened), key
        return self._engine

    def close(self) -> None:
        """Stop the engine, if one runs, and free its memory."""
        self._engine = None
        super().close()
