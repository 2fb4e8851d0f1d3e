"""Every error that mixmerge raises on purpose, sorted by what the reader can do about it.

A `UserError` ends a command with exit code 2, one message and no traceback. Everything else
that escapes is a fault of ours (exit code 1).
"""


class MixmergeError(Exception):
    """The root of the tree."""


class UserError(MixmergeError):
    """Something the user must change.

    The message names the item, what was required, what was seen, and what to do.
    """


class SpecError(UserError):
    """A study file, merge recipe or part specification is wrong."""


class DataError(UserError):
    """A row or a file of data is wrong."""


class ModelError(UserError):
    """A model folder is incomplete, or models do not fit together."""


class SampleError(UserError):
    """There are too few observations for the estimate that was asked."""


class ResourceError(UserError):
    """The machine lacks something: disk space, memory, a program, an optional package."""


class DeviceMemoryError(ResourceError):
    """The memory of a device was full in the middle of the work; less at once may fit."""


class HeldError(ResourceError):
    """Another process is at work in the same folder."""


class StepFailedError(MixmergeError):
    """One or more steps of a run failed; what does not depend on them was finished."""

    code = 1
    """Exit code: 2 when every failure is something the user must change."""
