"""Report a failure: one line for the user, and a log with the traceback if it is unexpected.

Commands (`cli/asymrl/main.py`) and the processes that they start (`experiment/children.py`) pass
every exception that they did not handle to `failure_line`.
"""

import contextlib
import errno
import os
import re
import tempfile
import traceback

from asymreinforce.errors import AsymreinforceError

LONGEST = 500
"""Characters of an unexpected error's message that are shown."""
EXTRAS = {
    **dict.fromkeys(("torch", "transformers", "safetensors", "peft", "tokenizers"), "train"),
    **dict.fromkeys(("datasets", "huggingface_hub"), "data"),
    "wandb": "track",
    "trackio": "trackio",
    "tensorboard": "tensorboard",
    "vllm": "cpu' or 'gpu",
    "ray": "ray",
}
"""Package -> the extra of pyproject.toml that installs it."""

FULL = "free some space and run the same command again"
ADVICE = {
    errno.ENOSPC: f"the disk is full; {FULL}",
    errno.EDQUOT: f"the quota of this disk is used up; {FULL}, or set runs_dir=<another place>",
    errno.EFBIG: (
        "a file would be larger than this system allows; raise the limit ('ulimit -f') or set "
        "runs_dir=<another place>"
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "it cannot be written; change its permissions or set runs_dir=<another place>",
    ),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EEXIST),
        "a file stands where a directory is needed; move it or set runs_dir",
    ),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE),
        "too many files are open; raise the limit ('ulimit -n') and run the same command again",
    ),
    errno.ENAMETOOLONG: "the path is too long; use a shorter name, or set runs_dir",
}
"""Error number of the file system (`number_of`) -> what the user can do."""
OF_A_PATH = "check that path, its permissions and the free space, or set runs_dir elsewhere"
# Some libraries raise their own error class with the system's message and without its number.
WORDS = {"No space left": errno.ENOSPC, "Permission": errno.EACCES}
"""Words of a message -> error number."""
NUMBER = re.compile(r"\(os error (\d+)\)|\[?[Ee]rrno:? (\d+)")


def number_of(error: BaseException) -> int | None:
    """Return the operating system's number (`errno`) of an I/O error, None for any other error."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    # pyarrow raises `OSError` at times without a number, and safetensors its own error class, so
    # the number is searched in the message as well.
    is_io = isinstance(error, OSError) or type(error).__name__ == "SafetensorError"
    text = str(error)
    if is_io and (match := NUMBER.search(text)):
        return int(match[1] or match[2])
    for words, number in WORDS.items():
        # "Permission" alone may be about anything; "No space left" is about a disk.
        if words in text and (is_io or number == errno.ENOSPC):
            return number
    return None


def failure_line(error: Exception) -> str:
    """Return one line that reports an error; the traceback of an unexpected error goes to a log."""
    if isinstance(error, AsymreinforceError):
        return str(error)
    if package := _missing_package(error):
        return f"{package} is not installed; install the extra '{EXTRAS[package]}' (README.md)"
    advice = ADVICE.get(number_of(error) or 0)
    if isinstance(error, OSError) and (advice or error.filename):
        return f"{error}; {advice or OF_A_PATH}"
    first = first_line(error, default="")[:LONGEST]
    words = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return f"unexpected {words} ({_write_log(error)})"


def first_line(error: Exception, *, default: str | None = None) -> str:
    """Return the first line of an error's message, or `default` (the type's name) without one."""
    otherwise = type(error).__name__ if default is None else default
    return next(iter(str(error).strip().splitlines()), otherwise)


def _missing_package(error: BaseException | None) -> str | None:
    """Return the package of an extra whose absence caused an error, if there is such a package."""
    while error:
        if isinstance(error, ModuleNotFoundError):
            package = (error.name or "").partition(".")[0]
            if package in EXTRAS:
                return package
        error = error.__cause__ or error.__context__
    return None


def _write_log(error: Exception) -> str:
    """Write the traceback to a log that only this user can read; return words that name the log."""
    lines = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        # mkstemp creates the file with mode 0600: a traceback may quote data or paths
        descriptor, path = tempfile.mkstemp(prefix="asymrl-", suffix=".log")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(lines.encode(errors="backslashreplace"))
        return f"log: {path}"
    return "its log cannot be written; set TMPDIR to a writable directory"
