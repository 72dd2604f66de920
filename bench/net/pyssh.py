"""Tunnels made of Python libraries: python pyssh.py NAME …, run by the interpreter that has them."""

import asyncio
import contextlib
import socket
import sys
import threading


def paramiko_reverse(key: str, user: str, host: str, port: str, door: str, inner: str) -> None:
    """A remote forward by paramiko, in threads."""
    import paramiko

    transport = paramiko.Transport((host, int(port)))
    transport.connect(username=user, pkey=paramiko.Ed25519Key.from_private_key_file(key))
    transport.set_keepalive(2)
    transport.request_port_forward("127.0.0.1", int(door))

    def pump(take: socket.socket, give: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := take.recv(1 << 15):
                give.sendall(data)
        give.close()

    while True:
        channel = transport.accept(1000)
        if channel is None:
            continue
        near = socket.create_connection(("127.0.0.1", int(inner)))
        for pair in ((channel, near), (near, channel)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


async def asyncssh_forward(
    way: str, key: str, user: str, host: str, port: str, listen: str, target: str
) -> None:
    """A remote (`R`) or local (`L`) forward by asyncssh."""
    import asyncssh

    async with asyncssh.connect(
        host, int(port), username=user, client_keys=[key], known_hosts=None, config=None
    ) as there:
        make = there.forward_remote_port if way == "R" else there.forward_local_port
        await make("127.0.0.1", int(listen), "127.0.0.1", int(target))
        await asyncio.Event().wait()


async def ws_server(port: str) -> None:
    """The far end of a tunnel in one WebSocket."""
    from aiowstunnel.server import Server

    Server("0.0.0.0", int(port)).start()
    await asyncio.Event().wait()


async def ws_client(host: str, port: str, door: str, inner: str) -> None:
    """The job's end: the far one listens."""
    from aiowstunnel import LISTEN
    from aiowstunnel.client import Client

    Client(
        LISTEN, host, int(port), "127.0.0.1", int(door), "127.0.0.1", int(inner), heartbeat_interval=2
    ).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    made = globals()[sys.argv[1]](*sys.argv[2:])
    if made is not None:
        with contextlib.suppress(OSError):
            asyncio.run(made)
