"""Users outside ask a model by a NATS, a worker of the job takes their questions to it. Run as a file.

python questions.py model PORT SEED         a model's server on loopback: HTTP, JSON, text after a while
python questions.py work URL PORT HOW KEEP  takes questions, answers `whole` or `streamed` as the words come,
                                            by one connection to the model (`keep`) or a new one each
python questions.py ask URL SEED USERS      so many users, each with pauses
"""

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_SYSTEM = "You are a helpful assistant. Answer in the language of the question, briefly and truly. " * 4
_SUBJECT = "questions"


def _text(rng: random.Random, n_words: int) -> str:
    return " ".join("".join(rng.choices("etaoinshrdlu", k=rng.randrange(2, 10))) for _ in range(n_words))


def model(port: str, seed: str) -> None:
    """Serves for ever: a line of JSON for every few words, then one that says so."""
    rng = random.Random(seed)
    word_s = rng.uniform(0.001, 0.01)

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            prompt = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(len(prompt) * 2e-5)
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            left = rng.randrange(20, 400)
            while left > 0:
                n_words = min(left, 8)
                left -= n_words
                time.sleep(n_words * word_s)
                self._line({"text": _text(rng, n_words), "done": left == 0})
            self.wfile.write(b"0\r\n\r\n")

        def _line(self, given: dict[str, object]) -> None:
            line = json.dumps(given).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: each answer is not worth a line."""

    ThreadingHTTPServer(("127.0.0.1", int(port)), Answer).serve_forever()


def _generate(server: HTTPConnection, question: str) -> HTTPResponse:
    body = {"system": _SYSTEM, "prompt": question, "stream": True, "temperature": 0.7}
    server.request("POST", "/generate", json.dumps(body), {"Content-Type": "application/json"})
    return server.getresponse()


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    while line := response.readline():
        yield line


async def work(url: str, port: str, how: str, keep: str) -> None:
    """Answers what the broker sends, one question after the other."""
    import nats

    kept = HTTPConnection("127.0.0.1", int(port), timeout=30)
    broker = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.3)
    questions = await broker.subscribe(_SUBJECT, queue="workers")
    async for message in questions.messages:
        server = kept if keep == "keep" else HTTPConnection("127.0.0.1", int(port), timeout=30)
        asked = json.loads(message.data)
        try:
            response = await asyncio.to_thread(_generate, server, asked["question"])
            parts: list[str] = []
            lines = _lines(response)
            while line := await asyncio.to_thread(next, lines, b""):
                part = json.loads(line)
                parts.append(part["text"])
                if how == "streamed" or part["done"]:
                    answer = {"id": asked["id"], "text": " ".join(parts), "done": part["done"]}
                    await broker.publish(message.reply, json.dumps(answer).encode())
                    parts = []
            with Path(os.environ["GUARD_USES"]).open("ab", 0) as uses:
                uses.write(b".")
        except (OSError, HTTPException):
            server.close()
            await asyncio.sleep(0.3)
        if keep != "keep":
            server.close()


async def ask(url: str, seed: str, users: str) -> None:
    """Users that ask and wait for the whole answer."""
    import nats

    while True:
        with contextlib.suppress(OSError, nats.errors.Error):
            broker = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.3)
            break
        await asyncio.sleep(0.3)

    async def user(rng: random.Random) -> None:
        for k in range(10**6):
            inbox = broker.new_inbox()
            answers = await broker.subscribe(inbox)
            question = {"id": k, "question": _text(rng, int(min(3000, rng.lognormvariate(4, 1.2))) + 1)}
            await broker.publish(_SUBJECT, json.dumps(question).encode(), reply=inbox)
            with contextlib.suppress(asyncio.TimeoutError, nats.errors.Error):
                # Without a word in it: the broker says that there is no worker.
                while (data := (await answers.next_msg(10)).data) and not json.loads(data)["done"]:
                    continue
            await answers.unsubscribe()
            await asyncio.sleep(rng.expovariate(1) + (rng.uniform(2, 5) if rng.random() < 0.1 else 0))

    await asyncio.gather(*(user(random.Random(f"{seed}/{k}")) for k in range(int(users))))


if __name__ == "__main__":
    if sys.argv[1] == "model":
        model(*sys.argv[2:])
    else:
        asyncio.run(work(*sys.argv[2:]) if sys.argv[1] == "work" else ask(*sys.argv[2:]))
