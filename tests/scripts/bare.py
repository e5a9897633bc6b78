"""Run a script where torch, transformers and pyarrow are all there is: `bare.py SCRIPT ARGS...`."""

import runpy
import sys
from typing import Any

NOT_THERE = {
    *("pydantic", "hydra", "omegaconf", "typer", "rich", "trl", "vllm", "peft"),
    *("accelerate", "datasets", "pandas", "sklearn", "lm_eval", "evaluate"),
    *("matplotlib", "scipy", "jinja2", "wandb", "reasoning_gym", "math_verify", "antlr4"),
}


class Without:
    """A finder that knows nothing of the libraries that are not there."""

    def __init__(self, finder: Any):
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find_spec(self, name: str, *where: Any) -> Any:
        if name.partition(".")[0] in NOT_THERE:
            return None
        return self._finder.find_spec(name, *where)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
del sys.argv[0]
sys.path[0] = sys.argv[0].rpartition("/")[0]
runpy.run_path(sys.argv[0], run_name="__main__")
