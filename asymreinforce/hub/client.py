"""The operations of the hub that a push needs."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from asymreinforce import credentials
from asymreinforce.errors import InputError
from asymreinforce.failures import first_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["model", "dataset"]
Visibility = Literal["absent", "private", "public"]


class Upload(NamedTuple):
    """A file for a repository: its name there, and a local path or bytes as its content."""

    name: str
    content: Path | bytes


class Hub:
    """The hub by `huggingface_hub`, which finds the token itself (HF_TOKEN, 'hf auth login').

    Every failure raises `InputError`, whose message holds no token.
    """

    def __init__(self, api: "HfApi | None" = None):
        self._api = api

    def visibility(self, repository: str, *, kind: Kind) -> Visibility:
        """Ask the hub whether a repository is absent, private or public."""

        def ask(api: "HfApi") -> Visibility:
            if not api.repo_exists(repository, repo_type=kind):
                return "absent"
            return "private" if api.repo_info(repository, repo_type=kind).private else "public"

        visibility: Visibility = self._ask(repository, ask)
        return visibility

    def create(self, repository: str, *, kind: Kind, private: bool) -> None:
        """Create a repository; an existing repository stays unchanged."""
        self._ask(
            repository,
            lambda api: api.create_repo(repository, repo_type=kind, private=private, exist_ok=True),
        )

    def commit(
        self, repository: str, uploads: Iterable[Upload], *, kind: Kind, message: str
    ) -> str:
        """Upload files in one commit, so that either all files arrive or none."""
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
        # any exception: of the network, of the hub's answers, or of an invalid name
        except Exception as error:
            words = f"{type(error).__name__}: {first_line(error, default='')}"
            reason = without_tokens(words[:500])
            raise InputError(
                f"{repository}: the hub did not take it ({reason}); log in by 'hf auth login' or "
                "HF_TOKEN, with a token that may write, and check the name and the network"
            ) from None  # the cause may hold the request, whose headers hold the token


def without_tokens(text: str) -> str:
    """Replace known forms of credentials, and the values of secret variables, by `***`."""
    for secret in credentials.secrets_in(os.environ).values():
        text = text.replace(secret, "***")
    return credentials.KNOWN_TOKENS.sub("***", text)
