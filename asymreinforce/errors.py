"""The errors that a user can fix; each message says what failed, where, and what to do."""


class AsymreinforceError(Exception):
    """An error that a user can fix; the command line prints its message and exits with 1."""


class ConfigError(AsymreinforceError):
    """A setting is unknown, out of range, or contradicts another setting."""


class InputError(AsymreinforceError):
    """An input file or row is missing, damaged, or does not hold what it claims to hold."""


class StorageError(AsymreinforceError):
    """A directory cannot be written, a disk is full, or a published file changed."""


class HeldError(StorageError):
    """Another process works on a stage directory; the message names that process."""


class EngineError(AsymreinforceError):
    """An inference engine could not start, load a checkpoint or answer."""


class GraderError(AsymreinforceError):
    """A grader failed on more rows than the settings allow."""


class TrainingError(AsymreinforceError):
    """Training met a loss or gradient that is not finite, or ran out of device memory."""


class DeviceMemoryError(TrainingError):
    """A training step does not fit the device's memory.

    `rows` is the number of tokens per packed row to try next, None if shorter rows would not help.
    """

    def __init__(self, message: str, *, rows: int | None = None):
        super().__init__(message)
        self.rows = rows
