"""An unexpected error becomes a file that can be sent to us, not a screen of traceback."""

import os
import platform
import sys
import tempfile
import traceback

from slurm_guard import __version__


def write_crash_report(error: BaseException) -> str | None:
    """Versions, command and traceback in a new private file; its path, null when none could be written."""
    words = [
        f"slurm-guard {__version__}",
        f"python {platform.python_version()} on {platform.platform()}",
        f"command: {sys.argv!r}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    try:
        handle, path = tempfile.mkstemp(prefix="slurm-guard-crash-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write("\n".join(words))
    except OSError:
        return None
    return path
