"""Passwords and tokens: never among the settings, which are written down, shown and uploaded.

Settings reach `config.json`, the report page and the tracker. Libraries that need a credential read
it from the environment (HF_TOKEN, WANDB_API_KEY) or from a file of their own.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from asymreinforce.errors import ConfigError

NAMES = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_KEY)", re.I)
"""What environment variables that hold a credential are called."""
IN_A_URL = re.compile(r"[a-z0-9+.-]://[^/\s@:]*:[^/\s@]+@", re.I)
"""Written so that no text is gone over twice: settings may be megabytes of anything."""
KNOWN_TOKENS = re.compile(r"\b(hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|sk-[\w-]{20,})")
DOORS = {"SSH_AUTH_SOCK", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS"}
"""No credential themselves, but the way to an agent that has some."""
SHORTEST = 8
"""Shorter values of such variables are flags more often than credentials."""


def of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that hold a credential."""
    return {
        name: value
        for name, value in environment.items()
        if NAMES.search(name) and len(value) >= SHORTEST
    }


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for processes that run what comes from data: no credential in it."""
    secrets = of(environment).keys() | DOORS
    return {
        name: value
        for name, value in environment.items()
        if name not in secrets and not IN_A_URL.search(value) and not KNOWN_TOKENS.search(value)
    }


def require_none(settings: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Raise `ConfigError` where a setting holds a credential; the message does not repeat it."""
    secrets = of(environment).values()
    for key, text in _texts(settings):
        if (
            IN_A_URL.search(text)
            or KNOWN_TOKENS.search(text)
            or any(secret in text for secret in secrets)
        ):
            raise ConfigError(
                f"{key}: holds a password or a token, and settings are written to config.json and "
                "reports; leave it out, and give it by the environment (HF_TOKEN, WANDB_API_KEY) "
                "or by 'hf auth login', 'wandb login'"
            )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, key)
    elif isinstance(value, str):
        yield key, value
