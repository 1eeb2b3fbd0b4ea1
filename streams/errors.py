"""What can go wrong, grouped by what the caller does next.

* ``ChaintideError``
    * ``BadRecordError``: skip this one record, send it to the dead-letter topic
    * ``RetryableError``: wait ``retry_after_s``, then do the same thing again
    * ``FatalError``: stop the process; a supervisor restarts it
        * ``ConfigError``: stop and tell the person what to change
        * ``HaltedError``: stop this chain until a person decides, let others go on
        * ``ReplacedError``: somebody else does the work now; wait until they say they are done
"""


class ChaintideError(Exception):
    """Base of every error this package raises on purpose."""


class BadRecordError(ChaintideError):
    """One record cannot be understood; the stream goes on without it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryableError(ChaintideError):
    """The same call may succeed later."""

    def __init__(self, reason: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class FatalError(ChaintideError):
    """An invariant is broken; continuing would corrupt results."""


class ConfigError(FatalError):
    """A setting or the environment is wrong; the message says what to do about it."""


class HaltedError(FatalError):
    """A chain took back what was final; what was computed from it may be wrong for good."""


class ReplacedError(FatalError):
    """Another process has taken over what this one was doing."""
