"""A service of the job's used from outside by remote calls (RPyC): python remote_calls.py job|far …

python remote_calls.py job HOST PORT             connects outwards and does what it is asked to
python remote_calls.py far HOST PORT DOOR INNER HOW   waits for it there, and opens a door to its port INNER;
                                                 what comes back is a call that is waited for (`call`) or is
                                                 not (`cast`)
"""

import contextlib
import socket
import sys
import threading
import time
from typing import Any

# Sent to the job and run there: RPyC's classic service gives either side the other's interpreter.
_THERE = """
import socket, threading

def open_near(port, give, closed):
    near = socket.create_connection(("127.0.0.1", port))

    def back():
        try:
            while data := near.recv(65536):
                give(data)
        except (OSError, EOFError):
            pass
        closed()

    threading.Thread(target=back, daemon=True).start()
    return near
"""


def job(host: str, port: str) -> None:
    """Connects, and again when that comes to an end. One thread: what is not waited for keeps its order."""
    import rpyc

    while True:
        with contextlib.suppress(OSError, EOFError):
            rpyc.classic.connect(host, int(port)).serve_all()
        time.sleep(0.3)


def _serve(connection: Any) -> None:
    with contextlib.suppress(EOFError, OSError):
        connection.serve_all()


def _join(user: socket.socket, connection: Any, inner: int, how: str) -> None:
    import rpyc

    def closed() -> None:
        with contextlib.suppress(OSError):
            user.shutdown(socket.SHUT_RDWR)

    wait = connection.namespace["open_near"]
    give = connection.namespace["rpyc"].async_(user.sendall) if how == "cast" else user.sendall
    near = wait(inner, give, closed)
    send = rpyc.async_(near.sendall) if how == "cast" else near.sendall
    with contextlib.suppress(OSError, EOFError):
        while data := user.recv(65536):
            send(data)
    with contextlib.suppress(OSError, EOFError):
        # Closed alone it would stay open: there is a thread that reads from it.
        near.shutdown(socket.SHUT_RDWR)
        near.close()
    user.close()


def far(host: str, port: str, door: str, inner: str, how: str) -> None:
    """One job, and whoever comes to the door."""
    import rpyc

    with socket.create_server((host, int(port))) as server:
        stream = rpyc.SocketStream(server.accept()[0])
    connection = rpyc.connect_stream(stream, rpyc.ClassicService, {"sync_request_timeout": None})
    connection.execute(_THERE)
    connection.execute("import rpyc")
    threading.Thread(target=_serve, args=(connection,), daemon=True).start()
    with socket.create_server(("127.0.0.1", int(door))) as users:
        while True:
            user = users.accept()[0]
            words = (user, connection, int(inner), how)
            threading.Thread(target=_join, args=words, daemon=True).start()


if __name__ == "__main__":
    if sys.argv[1] == "job":
        job(*sys.argv[2:])
    else:
        far(*sys.argv[2:])
