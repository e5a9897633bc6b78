"""Keep passwords and tokens out of the settings and away from graders.

Settings reach `config.json`, the report page and the tracker. Libraries that need a credential read
the environment (HF_TOKEN, WANDB_API_KEY) or their login file.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from asymreinforce.errors import ConfigError

NAMES = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_KEY)", re.I)
"""Matches the names of environment variables that hold a credential."""
# The pattern never backtracks over the same text: settings may be megabytes of anything.
IN_A_URL = re.compile(r"[a-z0-9+.-]://[^/\s@:]*:[^/\s@]+@", re.I)
"""Matches `scheme://user:password@`."""
KNOWN_TOKENS = re.compile(
    r"\b("
    r"hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|sk-[\w-]{20,}|xox[a-z]-[\w-]{10,}|xapp-[\w-]{10,}|(AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}"
    r"|ya29\.[\w-]{10,}|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}|nvapi-[\w-]{20,}|gsk_[A-Za-z0-9]{20,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,})"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY"
    r"|\b(access_token|auth_token|api_?key|client_secret|password|passwd)=[^\s&]{6,}"
    r"|\bBearer [\w.~+/-]{16,}",
    re.I,
)
"""Matches the token formats of known services, and credentials in URLs, headers and key files."""
SHOWN_TO_SETTINGS = re.compile(
    r"HOME|USER|LOGNAME|HOSTNAME|PWD|TMPDIR|SCRATCH|WORK|PROJECT|HF_HOME|HF_HUB_CACHE|XDG_\w+_HOME"
    r"|CUDA_VISIBLE_DEVICES|RANK|LOCAL_RANK|WORLD_SIZE|SLURM_\w+|PBS_\w+|ASYMRL_\w+"
)
"""Environment variables that a setting may take, as in runs_dir='${oc.env:SCRATCH}/runs'."""
SHOWN_TO_GRADERS = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TERM|TZ|LANG|LC_\w+|TMPDIR|PWD|PYTHON\w*|LD_LIBRARY_PATH"
    r"|VIRTUAL_ENV|CONDA_PREFIX|CONDA_DEFAULT_ENV|XDG_CACHE_HOME|HF_HOME|HF_HUB_OFFLINE"
    r"|(OMP|MKL|OPENBLAS)_NUM_THREADS|TOKENIZERS_PARALLELISM|CUDA_VISIBLE_DEVICES"
)
"""Environment variables that an interpreter and its libraries need, or that hold no secret."""
MORE_FOR_GRADERS = "ASYMRL_GRADER_ENVIRONMENT"
"""The variable that lists further variables for a user's grader, separated by commas."""
SHORTEST = 8
"""Characters of a credential, at least; shorter values of such variables are usually flags."""


def secrets_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that hold a credential."""
    return {
        name: value
        for name, value in environment.items()
        if NAMES.search(name) and len(value) >= SHORTEST
    }


def for_graders(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a grader's process, which runs code and text that came from data.

    Only listed variables pass. A value that looks like a credential is left out unless the user
    named its variable.
    """
    named = set(re.split(r"[\s,]+", environment.get(MORE_FOR_GRADERS, "")))
    return {
        name: value
        for name, value in environment.items()
        if name in named or (SHOWN_TO_GRADERS.fullmatch(name) and not _looks_secret(value))
    }


def _looks_secret(text: str) -> bool:
    return bool(IN_A_URL.search(text) or KNOWN_TOKENS.search(text))


def of_environment(name: str, *default: str | None) -> str | None:
    """Return the value of `${oc.env:NAME}` or `${oc.env:NAME,default}` in a setting.

    Raises `ConfigError` if the variable is not in `SHOWN_TO_SETTINGS`, or if it is not set and has
    no default.
    """
    # Settings are written to files and reports, so only variables without secrets may enter them.
    if not SHOWN_TO_SETTINGS.fullmatch(name):
        raise ConfigError(
            f"${{oc.env:{name}}}: settings are written to config.json and reports, so they take "
            "only HOME, USER, SCRATCH, TMPDIR, HF_HOME, SLURM_*, PBS_*, ASYMRL_* and the like from "
            "the environment; write the value itself, or let the shell do it"
        )
    if name not in os.environ and not default:
        raise ConfigError(f"${{oc.env:{name}}}: {name} is not set, and no default is given")
    return os.environ.get(name, *default)


def require_none(settings: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Raise `ConfigError` if a setting holds a credential; the message does not repeat it."""
    secrets = secrets_in(environment).values()
    for key, text in setting_texts(settings):
        if _looks_secret(text) or any(secret in text for secret in secrets):
            raise ConfigError(
                f"{key}: holds a password or a token, and settings are written to config.json and "
                "reports; leave it out, and give it by the environment (HF_TOKEN, WANDB_API_KEY) "
                "or by 'hf auth login', 'wandb login'"
            )


def setting_texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text of nested settings with its dotted key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from setting_texts(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from setting_texts(inner, key)
    elif isinstance(value, str):
        yield key, value
