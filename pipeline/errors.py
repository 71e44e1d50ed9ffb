"""The errors that vemseg raises on purpose, each with the exit code of the process it ends.

A retry rule of a workflow reads nothing but the exit code, so each leaf says whether trying again can help:

====  ==================================================================  =======
code  meaning                                                             retry
====  ==================================================================  =======
2     the input, the configuration or the command line is wrong           never
74    the storage or the cluster did not answer, or refused (full disk)   yes
75    asked to stop (SIGTERM, SIGINT); a checkpoint was written           yes
====  ==================================================================  =======

Codes 64 and 65 are kept free: Argo's own executor uses 64.
"""

from __future__ import annotations

# Trying again brings no file where there is none, and opens none that is not to be opened.
MISPLACED = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)


class VemsegError(Exception):
    """Base of every error whose message is written for the user: what is wrong, where, what to do."""

    exit_code = 1


def told(error: VemsegError | OSError) -> tuple[str, int]:
    """What to say of an error that ends a process, and its exit code."""
    if isinstance(error, VemsegError):
        return str(error), error.exit_code
    reason = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
    return reason, 2 if isinstance(error, MISPLACED) else 74


class InputError(VemsegError, ValueError):
    """Something that the user gave cannot be used; trying again will not help."""

    exit_code = 2


class ConfigError(InputError):
    """The configuration is not valid; the message names the field."""


class SettingError(ConfigError):
    """A setting of a component is not valid; whoever put the settings together knows what stands above the key."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key, self.problem = key, problem


class DataError(InputError):
    """An image, a label volume or an archive cannot be used; the message names the file."""


class RunConflictError(InputError):
    """The run URL holds something that does not belong to this configuration."""


class CheckpointError(InputError):
    """A model or checkpoint file is damaged or belongs to another network."""


class WorkflowError(InputError):
    """A workflow file is not valid, or uses what the local runner does not support."""


class MissingLibraryError(InputError):
    """A library of the operating system is not installed; the message names its package."""


class StorageError(VemsegError, OSError):
    """Reading from or writing to the storage failed; the same call may succeed later."""

    exit_code = 74


class ClusterError(VemsegError, ConnectionError):
    """The API of the cluster did not answer, or failed; the same call may succeed later."""

    exit_code = 74


class Preempted(VemsegError):  # noqa: N818 - it reports a request, not a fault
    """The process was asked to stop and has saved what it needs to go on."""

    exit_code = 75
