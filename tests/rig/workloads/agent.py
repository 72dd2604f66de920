"""A service of the job on loopback: answers requests, and starts hold.py when one asks for work. Stdlib only.

agent.py FILE   writes its port into FILE. A request says how many bytes follow, how many it wants back, and
whether work is wanted (guest.py); what the work is stands in $RIG_HOLD.
"""

import os
import signal
import socketserver
import struct
import subprocess
import sys
from pathlib import Path

ASK = struct.Struct("!II?")
_work: list[subprocess.Popen[bytes]] = []


class Answer(socketserver.StreamRequestHandler):
    """One connection, any number of requests."""

    def handle(self) -> None:
        while len(head := self.rfile.read(ASK.size)) == ASK.size:
            follows, wanted, work = ASK.unpack(head)
            self.rfile.read(follows)
            if work and not _work:
                hold = Path(__file__).resolve().parent / "hold.py"
                _work.append(subprocess.Popen([sys.executable, str(hold)]))
            self.wfile.write(os.urandom(wanted))


class Server(socketserver.ThreadingTCPServer):
    """Its threads do not keep it alive."""

    daemon_threads = True


def _end(number: int, frame: object) -> None:
    for child in _work:
        child.terminate()
    sys.exit(0)


def main() -> None:
    """Until it is ended, and what it started with it."""
    signal.signal(signal.SIGTERM, _end)
    with Server(("127.0.0.1", 0), Answer) as server:
        fresh = Path(f"{sys.argv[1]}.new")
        fresh.write_text(str(server.server_address[1]), "ascii")
        fresh.replace(sys.argv[1])
        server.serve_forever()


if __name__ == "__main__":
    main()
