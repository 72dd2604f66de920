"""A syslog of the rig's own: datagrams from a socket to a file, one line each."""

import contextlib
import signal
import socket
import sys
import time
from pathlib import Path

DEV_LOG = Path("/dev/log")


def main(path: Path, out: Path) -> None:
    """Listen until TERM. /dev/log points here while it points nowhere else."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        with contextlib.suppress(OSError):
            DEV_LOG.symlink_to(path)
        try:
            with out.open("a", encoding="utf-8") as file:
                while True:
                    text = listener.recv(8192).decode("utf-8", "backslashreplace").rstrip("\n\0")
                    file.write(f"{time.time():.3f} {text!r}\n")
                    file.flush()
        finally:
            give_back(path)


def give_back(path: Path) -> None:
    """Take /dev/log away if it is ours."""
    with contextlib.suppress(OSError):
        if DEV_LOG.is_symlink() and DEV_LOG.readlink() == path:
            DEV_LOG.unlink()
    with contextlib.suppress(OSError):
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
