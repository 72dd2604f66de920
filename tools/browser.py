"""Headless Chromium over its debugging pipe: a page at a width, light or dark, measured, shot, and asked.

The pipe needs no library: messages of JSON with a null byte behind each, on file descriptors 3 and 4.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
MOST_PX = 16_000  # higher than this no picture is taken whole
WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is shown."""

    width: int
    dark: bool = False
    media: str = ""  # "print"
    images: bool = True
    forced: bool = False  # in the dark Chromium turns the colours itself, as mail programs do to a light mail

    @property
    def forced_dark(self) -> bool:
        """Colours that are the browser's own."""
        return self.dark and self.forced


def find_browser() -> str | None:
    """The program; null: there is none on this machine."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One Chromium with one page. A context manager; ends its own process group and no other."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="guard-browser-", ignore_cleanup_errors=True)
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        self._rest, self._n, self._session = b"", 0, ""
        script = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        options = (*_QUIET, f"--user-data-dir={self._profile.name}", "--remote-debugging-pipe", "about:blank")
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", str(to_read), str(to_write), program, *options],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.send(f"{domain}.enable")
        self.send("Page.setBypassCSP", enabled=True)  # our own script measures; the page itself has none

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer. Raises RuntimeError with Chromium's own words."""
        self._n += 1
        message: dict[str, Any] = {"id": self._n, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            answer = self._read()
            if answer.get("id") == self._n:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
        raise RuntimeError(f"{method}: no answer within {WAIT_S:g} s")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._from, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def show(self, path: Path, look: Look) -> None:
        """A file at a width, loaded."""
        metrics = {"width": look.width, "height": 800, "deviceScaleFactor": 1, "mobile": look.width < 500}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if look.dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=look.media, features=[scheme])
        self.send("Emulation.setAutoDarkModeOverride", enabled=look.forced_dark)
        blocked = [] if look.images else ["*.png", "*.jpg", "*.svg", "cid:*", "data:image*"]
        self.send("Network.setBlockedURLs", urls=blocked)
        self.send("Page.navigate", url=path.resolve().as_uri())
        until = time.monotonic() + WAIT_S
        while self.ask("document.readyState") != "complete" and time.monotonic() < until:
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        """What a script's expression comes to; promises are waited for."""
        said = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in said:
            raise RuntimeError(said["exceptionDetails"].get("text", "the script failed"))
        return said["result"].get("value")

    def sideways_px(self, width: int) -> int:
        """How much wider than that the page is; 0: it needs no sideways scrolling. A phone's own window grows
        with the page, so that it cannot be asked."""
        return max(0, int(self.ask("document.documentElement.scrollWidth")) - width)

    def broken_words(self, selector: str) -> list[str]:
        """Words of these elements that go on in another line, with no hyphen or dash to break at."""
        script = """[...document.querySelectorAll(%s)].flatMap(element => {
          const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), found = [];
          for (let node; (node = walker.nextNode());)
            for (const match of node.data.matchAll(/[^\\s–-]+/gu)) {
              const range = document.createRange();
              range.setStart(node, match.index); range.setEnd(node, match.index + match[0].length);
              const tops = [...range.getClientRects()].filter(r => r.width > 0).map(r => Math.round(r.top));
              if (new Set(tops).size > 1) found.push(match[0]);
            }
          return found;
        })"""
        return [str(word) for word in self.ask(script % json.dumps(selector))]

    def overhanging_labels(self, selector: str) -> list[str]:
        """Heads before the cells of a stacked table (`data-head`) that are higher than their cell."""
        script = """[...document.querySelectorAll(%s)].filter(cell => cell.offsetHeight > 0).filter(cell =>
          parseFloat(getComputedStyle(cell, '::before').height) > cell.offsetHeight + 1
        ).map(cell => cell.dataset.head)"""
        return sorted({str(head) for head in self.ask(script % json.dumps(selector))})

    def top_px(self, selector: str) -> int:
        """Where the first such element begins."""
        script = "Math.floor(document.querySelector(%s).getBoundingClientRect().top + window.scrollY)"
        return int(self.ask(script % json.dumps(selector)))

    def height_px(self) -> int:
        """Of the whole page."""
        return int(self.ask("document.documentElement.scrollHeight"))

    def shoot(self, path: Path, width: int, from_px: int = 0, until_px: int = MOST_PX) -> None:
        """A picture of the page, or of a part of it."""
        height = max(1, min(self.height_px(), until_px) - from_px)
        clip = {"x": 0, "y": from_px, "width": width, "height": height, "scale": 1}
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def find_faults(self, axe: str) -> list[tuple[str, str, str, str]]:
        """axe-core's findings: (impact, rule, what it asks, the first element)."""
        self.ask(f"{axe};0")
        script = (
            "axe.run(document).then(r => r.violations.map("
            "v => [v.impact, v.id, v.help, v.nodes[0].html.slice(0, 200)]))"
        )
        return [tuple(found) for found in self.ask(script)]
