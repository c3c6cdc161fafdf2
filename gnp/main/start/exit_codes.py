"""What the exit code of a command means; docs/runs.md says it to users."""

import enum


class Exit(enum.IntEnum):
    """Other codes are 0, and 128 + the number of a signal."""

    SKIPPED = 1  # a part of what it was given
    BAD_INPUT = 2  # or a folder that another process has
    TRAINING_FAILED = 3  # it cannot continue
    NOT_SAVED = 4  # it came to its end, but a file is missing
    PROCESS_LOST = 5  # another one of the same training
    INTERRUPTED = 130
    PIPE_CLOSED = 141
