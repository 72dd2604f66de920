"""What the loop's rounds need: a schedule that does not drift, and where a fault was."""

import os


class Every:
    """A drift-free schedule on the monotonic clock: due times are multiples, missed ones are skipped."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.next_s: float | None = None

    def due(self, mono_s: float) -> bool:
        """Whether it is time; the first time is at once."""
        if self.next_s is None:
            self.next_s = mono_s
        if mono_s < self.next_s - 1e-6:
            return False
        missed = int((mono_s - self.next_s) / self.every_s)
        self.next_s += (missed + 1) * self.every_s
        return True


def place_of(error: BaseException) -> str:
    """The innermost file and line of an exception."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"
