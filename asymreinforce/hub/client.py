"""The few things that are asked of the hub, so that a stand-in can take its place."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from asymreinforce import credentials
from asymreinforce.errors import InputError
from asymreinforce.failures import first_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["model", "dataset"]
Visibility = Literal["absent", "private", "public"]


class Upload(NamedTuple):
    """A file as it is to lie in a repository: from a path, or from its bytes."""

    name: str
    content: Path | bytes


class Hub(Protocol):
    """What a push needs."""

    def visibility(self, repository: str, *, kind: Kind) -> Visibility:
        """Say whether a repository is there and who can see it."""

    def create(self, repository: str, *, kind: Kind, private: bool) -> None:
        """Create a repository."""

    def commit(
        self, repository: str, uploads: Iterable[Upload], *, kind: Kind, message: str
    ) -> str:
        """Upload files in one commit; return its address."""


class HubClient:
    """The hub by `huggingface_hub`, which finds the token itself (HF_TOKEN, 'hf auth login').

    Raises `InputError` for whatever goes wrong; its message holds no token.
    """

    def __init__(self, api: "HfApi | None" = None):
        self._api = api

    def visibility(self, repository: str, *, kind: Kind) -> Visibility:
        """Ask whether a repository is there and who can see it."""

        def ask(api: "HfApi") -> Visibility:
            if not api.repo_exists(repository, repo_type=kind):
                return "absent"
            return "private" if api.repo_info(repository, repo_type=kind).private else "public"

        visibility: Visibility = self._ask(repository, ask)
        return visibility

    def create(self, repository: str, *, kind: Kind, private: bool) -> None:
        """Create a repository; one that is there stays as it is."""
        self._ask(
            repository,
            lambda api: api.create_repo(repository, repo_type=kind, private=private, exist_ok=True),
        )

    def commit(
        self, repository: str, uploads: Iterable[Upload], *, kind: Kind, message: str
    ) -> str:
        """Upload files in one commit: all of them are there afterwards, or none."""
        from huggingface_hub import CommitOperationAdd

        operations = [CommitOperationAdd(upload.name, upload.content) for upload in uploads]
        done = self._ask(
            repository,
            lambda api: api.create_commit(
                repository, operations, commit_message=message, repo_type=kind
            ),
        )
        return str(done.commit_url)

    def _ask(self, repository: str, question: Any) -> Any:
        try:
            if self._api is None:
                from huggingface_hub import HfApi

                self._api = HfApi()
            return question(self._api)
        except ImportError:
            raise
        except Exception as error:  # of the network, the hub's answers, a name that is none
            words = f"{type(error).__name__}: {first_line(error, default='')}"
            reason = without_tokens(words[:500])
            raise InputError(
                f"{repository}: the hub did not take it ({reason}); log in by 'hf auth login' or "
                "HF_TOKEN, with a token that may write, and check the name and the network"
            ) from None  # the cause may hold the request, with its headers


def without_tokens(text: str) -> str:
    """Blot out what looks like a credential, and the values of variables that hold one."""
    for secret in credentials.secrets_in(os.environ).values():
        text = text.replace(secret, "***")
    return credentials.KNOWN_TOKENS.sub("***", text)
