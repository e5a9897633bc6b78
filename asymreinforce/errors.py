"""The failures that a user can mend, each with a message that says what, where and how."""


class AsymreinforceError(Exception):
    """Any failure that a user can mend; the command line prints its message and exits with 1."""


class ConfigError(AsymreinforceError):
    """A setting is unknown, out of range, or at odds with another."""


class InputError(AsymreinforceError):
    """A file or a row that a stage was given is missing, damaged or not what it claims to be."""


class StorageError(AsymreinforceError):
    """A directory cannot be written, a disk is full, or a published file no longer matches."""


class HeldError(StorageError):
    """Another process works on a stage directory; its message names that process."""


class EngineError(AsymreinforceError):
    """An inference engine could not start, load a checkpoint or answer."""


class GraderError(AsymreinforceError):
    """A grader failed on more rows than the settings allow."""


class TrainingError(AsymreinforceError):
    """Training met a loss or gradient that is not finite, or ran out of device memory."""


class DeviceMemoryError(TrainingError):
    """A step does not fit the device's memory; `rows` is the number of a row's tokens to try next.

    It is None if shorter rows would not help.
    """

    def __init__(self, message: str, *, rows: int | None = None):
        super().__init__(message)
        self.rows = rows
