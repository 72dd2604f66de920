"""Takes tasks from a queue on the node, has each evaluated outside, stores the result. Run as a file.

python master.py serve manager|exchange PORT SEED         the queue, with tasks of its own
python master.py evaluate lines|web|web-sockets [PORT]    the evaluator outside; lines: by standard input
python master.py work QUEUE QUEUE_PORT FIRST SEED ssh WORDS… | tls|web|web-sockets HOST PORT
                                          QUEUE: redis, manager or exchange; FIRST: near or far, opened first
"""

import asyncio
import http.client
import json
import os
import queue
import random
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

_LEAST_S, _MOST_S = 0.3, 2.5  # that an evaluation takes
_JSON = {"Content-Type": "application/json"}
Evaluate = Callable[[str], str]
Store = Callable[[str | None], str]  # a result, null: none yet; the next task


def _task(rng: random.Random) -> str:
    return "".join(rng.choice("abcdefgh") for _ in range(rng.randrange(200, 6000)))


def _evaluated(text: str) -> str:
    time.sleep(random.uniform(_LEAST_S, _MOST_S))
    asked = json.loads(text)
    return json.dumps({"id": asked["id"], "status": "ok", "result": asked["params"][::-1]})


def _persist(open_one: Callable[[], Any]) -> Any:
    while True:
        try:
            return open_one()
        except (OSError, EOFError):
            time.sleep(0.3)


# -- queues


class _Manager(BaseManager):
    pass


def _redis(port: int, rng: random.Random) -> Store:
    def end() -> Any:
        return socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def answer(store: Any) -> Any:
        line = store.readline()
        if line[:1] == b"*":
            return [answer(store) for _ in range(int(line[1:]))]
        return store.read(int(line[1:]) + 2)[:-2] if line[:1] == b"$" else line

    def ask(store: Any, *words: bytes) -> Any:
        parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        store.write(b"*%d\r\n%s" % (len(words), parts))
        store.flush()
        return answer(store)

    kept, filler = _persist(end), _persist(end)
    for _ in range(200):
        ask(filler, b"RPUSH", b"tasks", _task(rng).encode())
    filler.close()

    def store(result: str | None) -> str:
        if result is not None:
            ask(kept, b"RPUSH", b"results", result.encode())
        return str(ask(kept, b"BLPOP", b"tasks", b"0")[1].decode())

    return store


def _manager(port: int, _rng: random.Random) -> Store:
    for name in ("tasks", "results"):
        _Manager.register(name)
    manager = _Manager(("127.0.0.1", port), b"x")
    _persist(manager.connect)
    tasks, results = manager.tasks(), manager.results()  # type: ignore[attr-defined]

    def store(result: str | None) -> str:
        if result is not None:
            results.put(result)
        return str(tasks.get())

    return store


def _exchange(port: int, _rng: random.Random) -> Store:
    """One request nearby for each outside: it stores a result and is answered with the next task."""
    kept = http.client.HTTPConnection("127.0.0.1", port)
    _persist(kept.connect)

    def store(result: str | None) -> str:
        kept.request("POST", "/next", json.dumps({"result": result}), _JSON)
        return str(json.loads(kept.getresponse().read())["task"])

    return store


_QUEUES: dict[str, Callable[[int, random.Random], Store]] = {
    "redis": _redis,
    "manager": _manager,
    "exchange": _exchange,
}


# -- evaluators


def _by_lines(end: Any) -> Evaluate:
    def evaluate(text: str) -> str:
        end[0].write(text.encode() + b"\n")
        end[0].flush()
        return str(end[1].readline().decode())

    return evaluate


def _ssh(*words: str) -> Evaluate:
    done = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return _by_lines((done.stdin, done.stdout))


def _tls(host: str, port: str) -> Evaluate:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ends = _persist(lambda: context.wrap_socket(socket.create_connection((host, int(port)))))
    kept = ends.makefile("rwb")
    return _by_lines((kept, kept))


def _web(host: str, port: str) -> Evaluate:
    kept = http.client.HTTPConnection(host, int(port))
    _persist(kept.connect)

    def evaluate(text: str) -> str:
        kept.request("POST", "/evaluate", text, _JSON)
        return kept.getresponse().read().decode()

    return evaluate


def _web_sockets(host: str, port: str) -> Evaluate:
    import websockets

    loop = asyncio.new_event_loop()

    async def opened() -> Any:
        return await websockets.connect(f"ws://{host}:{port}", compression=None)

    kept = _persist(lambda: loop.run_until_complete(opened()))

    async def exchange(text: str) -> str:
        await kept.send(text)
        return str(await kept.recv())

    return lambda text: loop.run_until_complete(exchange(text))


_EVALUATORS: dict[str, Callable[..., Evaluate]] = {
    "ssh": _ssh,
    "tls": _tls,
    "web": _web,
    "web-sockets": _web_sockets,
}


def work(kind: str, port: str, first: str, seed: str, how: str, *words: str) -> None:
    """Until it is ended; each evaluation is one byte in the file that GUARD_USES names."""
    rng, uses = random.Random(seed), Path(os.environ["GUARD_USES"])
    evaluate = _EVALUATORS[how](*words) if first == "far" else None
    store = _QUEUES[kind](int(port), rng)
    evaluate = evaluate or _EVALUATORS[how](*words)
    Path(f"{uses}.began").write_text(repr(time.monotonic()))
    task, n = store(None), 0
    while True:
        task = store(json.loads(evaluate(json.dumps({"id": n, "params": task})))["result"])
        n += 1
        with uses.open("ab", 0) as told:
            told.write(b".")


# -- what stands behind them


def serve(kind: str, port: str, seed: str) -> None:
    """A queue with tasks."""
    rng = random.Random(seed)
    if kind == "manager":
        tasks, results = queue.Queue[str](), queue.Queue[str]()
        for _ in range(200):
            tasks.put(_task(rng))
        _Manager.register("tasks", callable=lambda: tasks)
        _Manager.register("results", callable=lambda: results)
        _Manager(("127.0.0.1", int(port)), b"x").get_server().serve_forever()
    _answer("127.0.0.1", int(port), lambda _: json.dumps({"task": _task(rng)}))


def evaluate(how: str, port: str = "0") -> None:
    """What evaluates."""
    if how == "web":
        _answer("0.0.0.0", int(port), _evaluated)
    elif how == "web-sockets":
        asyncio.run(_answer_web_sockets(int(port)))
    for line in sys.stdin:
        sys.stdout.write(_evaluated(line) + "\n")
        sys.stdout.flush()


def _answer(host: str, port: int, say: Callable[[str], str]) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = say(self.rfile.read(int(self.headers["Content-Length"])).decode()).encode()
            self.send_response(200)
            for name, value in (*_JSON.items(), ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    ThreadingHTTPServer((host, port), Handler).serve_forever()


async def _answer_web_sockets(port: int) -> None:
    import websockets

    async def answer(end: Any) -> None:
        async for text in end:
            await end.send(await asyncio.to_thread(_evaluated, str(text)))

    async with websockets.serve(answer, "0.0.0.0", port):
        await asyncio.Future()


if __name__ == "__main__":
    doing: dict[str, Callable[..., None]] = {"work": work, "serve": serve, "evaluate": evaluate}
    doing[sys.argv[1]](*sys.argv[2:])
