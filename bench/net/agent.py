"""A language model outside uses tools on loopback, by an agent of the job's. Run as a file.

python agent.py model HOST PORT CERT SEED   an OpenAI-compatible service, over TLS: words after a while
python agent.py tools PORT SEED HOW         tools of the job's (MCP over HTTP), `events` or `json` as answers
python agent.py work URL PORT SEED N HOW KEEP   so many conversations at a time, the model's words `streamed`
                                            or `whole`, one session with the tools (`keep`) or one for each
"""

import asyncio
import contextlib
import json
import os
import random
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_SYSTEM = "You solve tasks step by step with the tools that you are given, and say so when you are done. " * 8
_ARGUMENT = {"run_python": "code", "read_file": "path", "search": "query"}


def _text(rng: random.Random, n_words: int) -> str:
    return " ".join("".join(rng.choices("etaoinshrdlu", k=rng.randrange(2, 10))) for _ in range(n_words))


def _length(rng: random.Random, size: float) -> int:
    return int(min(4000, rng.lognormvariate(size, 1.0))) + 1


def _call(rng: random.Random) -> dict[str, Any]:
    name = rng.choice(tuple(_ARGUMENT))
    text = _text(rng, _length(rng, 3.5) if name == "run_python" else rng.randrange(1, 8))
    function = {"name": name, "arguments": json.dumps({_ARGUMENT[name]: text})}
    return {"id": f"call_{rng.randrange(10**9)}", "type": "function", "function": function}


def _delta(message: dict[str, Any], rng: random.Random) -> list[dict[str, Any]]:
    """A message as the parts that it is streamed in."""
    words = [{"content": f"{word} "} for word in (message["content"] or "").split()]
    parts: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *words]
    for k, call in enumerate(message.get("tool_calls", ())):
        given, size = call["function"]["arguments"], rng.randrange(8, 40)
        parts.append(
            {"tool_calls": [{**call, "index": k, "function": {**call["function"], "arguments": ""}}]}
        )
        pieces = (given[at : at + size] for at in range(0, len(given), size))
        parts += [{"tool_calls": [{"index": k, "function": {"arguments": piece}}]} for piece in pieces]
    return parts


def model(host: str, port: str, cert: str, seed: str) -> None:
    """Serves for ever. The longer a conversation, the sooner it comes to an end."""
    rng = random.Random(seed)
    first_s, word_s = rng.uniform(0.1, 0.8), rng.uniform(0.002, 0.02)

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        n_results = sum(message["role"] == "tool" for message in asked["messages"])
        text = _text(rng, _length(rng, 2.5))
        if rng.random() < 0.12 * n_results:
            return {"role": "assistant", "content": text}
        calls = [_call(rng) for _ in range(rng.choice((1, 1, 1, 2)))]
        return {"role": "assistant", "content": text, "tool_calls": calls}

    class Completions(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = answer(asked)
            reason = "tool_calls" if message.get("tool_calls") else "stop"
            common = {"id": "chatcmpl-1", "created": int(time.time()), "model": asked["model"]}
            parts = _delta(message, rng)
            time.sleep(rng.uniform(0.5, 1.5) * first_s)
            self.send_response(200)
            if asked.get("stream"):
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                kind = {**common, "object": "chat.completion.chunk"}
                for part in parts:
                    self._event({**kind, "choices": [{"index": 0, "delta": part, "finish_reason": None}]})
                    time.sleep(word_s)
                self._event({**kind, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
                self._event(None)
                self.wfile.write(b"0\r\n\r\n")
            else:
                time.sleep(len(parts) * word_s)
                choice = {"index": 0, "message": message, "finish_reason": reason}
                body = json.dumps({**common, "object": "chat.completion", "choices": [choice]}).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def _event(self, given: dict[str, Any] | None) -> None:
            data = b"data: %s\n\n" % (json.dumps(given).encode() if given is not None else b"[DONE]")
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: each answer is not worth a line."""

    server = ThreadingHTTPServer((host, int(port)), Completions)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    # The handshake is its thread's: here it would hold up whoever comes next.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


def tools(port: str, seed: str, how: str) -> None:
    """A place to run code, files and a search, which each take their time."""
    import uvicorn
    from mcp.server.mcpserver import MCPServer

    rng, server = random.Random(seed), MCPServer("tools", log_level="ERROR")
    most_s = rng.uniform(0.05, 1.5)

    async def run_python(code: str) -> str:
        """Runs a program and returns what it prints."""
        await asyncio.sleep(rng.uniform(0, most_s))
        return _text(rng, _length(rng, 4))

    async def read_file(path: str) -> str:
        """Returns a file's text."""
        return _text(rng, _length(rng, 5.5))

    async def search(query: str) -> str:
        """Returns the passages nearest in meaning."""
        await asyncio.sleep(rng.uniform(0.02, 0.2))
        return "\n\n".join(_text(rng, rng.randrange(30, 120)) for _ in range(rng.randrange(1, 8)))

    for tool in (run_python, read_file, search):
        server.tool()(tool)
    # uvicorn by itself: with the websockets that aiowstunnel wants it cannot be started as the library does.
    app = server.streamable_http_app(json_response=how == "json")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", ws="none")


async def _ask(client: Any, how: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The model's next message."""
    if how == "whole":
        answer = await client.chat.completions.create(**asked)
        return dict(answer.choices[0].message.model_dump(exclude_none=True))
    text, calls = "", dict[int, dict[str, Any]]()
    async for chunk in await client.chat.completions.create(**asked, stream=True):
        delta = chunk.choices[0].delta
        text += delta.content or ""
        for part in delta.tool_calls or ():
            empty = {"id": part.id, "type": "function", "function": {"name": "", "arguments": ""}}
            function = calls.setdefault(part.index, empty)["function"]
            function["name"] += part.function.name or ""
            function["arguments"] += part.function.arguments or ""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    return {**message, "tool_calls": [calls[k] for k in sorted(calls)]} if calls else message


async def _talk(rng: random.Random, client: Any, toolbox: Any, how: str) -> None:
    """A task, from its words to the model's last ones."""
    listed = (await toolbox.list_tools()).tools
    offered = [
        {
            "type": "function",
            "function": {"name": t.name, "description": t.description, "parameters": t.input_schema},
        }
        for t in listed
    ]
    task = {"role": "user", "content": _text(rng, _length(rng, 4))}
    messages: list[dict[str, Any]] = [{"role": "system", "content": _SYSTEM}, task]
    while True:
        with contextlib.suppress(KeyError, OSError), Path(f"{os.environ['GUARD_USES']}.began").open("x") as b:
            b.write(repr(time.monotonic()))
        message = await _ask(client, how, {"model": "large", "messages": messages, "tools": offered})
        messages.append(message)
        if not message.get("tool_calls"):
            return
        for call in message["tool_calls"]:
            given = call["function"]
            result = await toolbox.call_tool(given["name"], json.loads(given["arguments"]))
            text = "\n".join(part.text for part in result.content)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
            with Path(os.environ["GUARD_USES"]).open("ab", 0) as uses:
                uses.write(b".")


async def work(url: str, port: str, seed: str, n: str, how: str, keep: str) -> None:
    """Tasks one after the other, so many at a time."""
    import httpx2
    import openai
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    web = httpx2.AsyncClient(verify=False, trust_env=False, timeout=60)
    client = openai.AsyncOpenAI(base_url=url, api_key="x", http_client=web, max_retries=20)

    def toolbox() -> Any:
        local = httpx2.AsyncClient(trust_env=False, timeout=60)
        return Client(streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=local))

    async def tasks(rng: random.Random, kept: Any) -> None:
        while True:
            if kept is not None:
                await _talk(rng, client, kept, how)
            else:
                async with toolbox() as own:
                    await _talk(rng, client, own, how)
            await asyncio.sleep(rng.expovariate(1) + (rng.uniform(2, 6) if rng.random() < 0.15 else 0))

    while True:
        with contextlib.suppress(Exception, asyncio.CancelledError):
            async with contextlib.AsyncExitStack() as stack:
                kept = await stack.enter_async_context(toolbox()) if keep == "keep" else None
                await asyncio.gather(*(tasks(random.Random(f"{seed}/{k}"), kept) for k in range(int(n))))
        # The tools' server is still starting.
        await asyncio.sleep(0.3)


if __name__ == "__main__":
    mode, words = sys.argv[1], sys.argv[2:]
    if mode == "work":
        asyncio.run(work(*words))
    elif mode == "model":
        model(*words)
    else:
        tools(*words)
