"""Where a situation plays: starts its programs as an ordinary user, here and elsewhere, and ends them."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from bench.net.hosts import NEAR, OUTSIDE, SSH_PORT, USER, Host, Hosts

_TALK = Path(__file__).with_name("talk.py")
_SLOWEST_START_S = 3.0
# Accounts that every Debian has; a play's own, because a user with one run tells whose short connections are.
ACCOUNTS = ("games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "backup", "list", "irc")


class Stage:
    """One play. What `job*` starts, and its children, is the job."""

    def __init__(
        self, hosts: Hosts, rng: random.Random, account: str, first_port: int, seconds: float
    ) -> None:
        self.hosts, self.rng, self._account = hosts, rng, account
        self.seconds, self.seed = f"{seconds:.1f}", str(rng.randrange(10**9))
        self._port = first_port
        self._folder = hosts.folder / f"play{first_port}"
        self._folder.mkdir(mode=0o755)
        self._started: list[subprocess.Popen[bytes]] = []
        self.roots: list[int] = []
        self._key = self._folder / "key"
        shutil.copy(hosts.folder / "key", self._key)
        self._key.chmod(0o600)
        shutil.chown(self._key, account)

    @property
    def ssh(self) -> list[str]:
        """An ssh client's words up to the far end, without any user's own settings."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        words = ["-F", "none", "-i", str(self._key), "-p", str(SSH_PORT)]
        return [*words, *(part for option in options for part in ("-o", option)), f"{USER}@{OUTSIDE}"]

    def _while(self, least_s: float) -> float:
        return self.rng.uniform(least_s, _SLOWEST_START_S)

    def port(self) -> int:
        """A port that no other play uses."""
        self._port += 2
        return self._port

    def file(self, name: str, text: str) -> str:
        """A file that the job may read."""
        path = self._folder / name
        path.write_text(text)
        return str(path)

    def renamed(self, program: str, name: str) -> str:
        """A copy of a program under another name."""
        path = self._folder / name
        shutil.copy(shutil.which(program) or program, path)
        return str(path)

    # -- the job

    def job(self, *words: str) -> None:
        """A program of the job."""
        self.roots.append(self._start(list(words), delay_s=0.0, user=self._account))

    def job_later(self, *words: str) -> None:
        """A program of the job, after a random while."""
        self.roots.append(self._start(list(words), delay_s=self._while(0.5), user=self._account))

    def job_talk(self, *words: str) -> None:
        """One of our own programs as the job's."""
        self.job(sys.executable, "-I", str(_TALK), *words)

    def job_talk_later(self, *words: str) -> None:
        """The same after a random while."""
        self.job_later(sys.executable, "-I", str(_TALK), *words)

    def service(self) -> int:
        """A service of the job on loopback."""
        port = self.port()
        self.job_talk("service", "127.0.0.1", str(port))
        return port

    # -- others

    def _talk(self, host: Host, words: tuple[str, ...], delay_s: float = 0.0) -> None:
        self._start(host.command(sys.executable, "-I", str(_TALK), *words), delay_s=delay_s, user=None)

    def far(self, *words: str) -> None:
        """A program outside."""
        self._start(self.hosts.outside.command(*words), delay_s=0.0, user=None)

    def far_talk(self, *words: str) -> None:
        """One of our own programs outside."""
        self._talk(self.hosts.outside, words)

    def near_talk(self, *words: str) -> None:
        """One of our own programs on another node."""
        self._talk(self.hosts.near, words)

    def near_talk_later(self, *words: str) -> None:
        """The same after a random while."""
        self._talk(self.hosts.near, words, self._while(0.5))

    def far_service(self, address: str = OUTSIDE) -> int:
        """A service outside."""
        port = self.port()
        self.far_talk("service", address, str(port))
        return port

    def near_service(self) -> int:
        """A service on another node."""
        port = self.port()
        self.near_talk("service", NEAR, str(port))
        return port

    def use_outside(self, address: str, port: int, how: str = "keep") -> None:
        """Somebody outside asks what is behind a door there, after a random while."""
        words = ("use", address, str(port), self.seconds, self.seed, how)
        self._talk(self.hosts.outside, words, self._while(1.0))

    # -- life

    def _start(self, words: list[str], *, delay_s: float, user: str | None) -> int:
        if delay_s > 0:
            words = ["sh", "-c", f'sleep {delay_s:.2f}; exec "$@"', "sh", *words]
        process = subprocess.Popen(
            words, user=user, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/",
        )  # fmt: skip
        self._started.append(process)
        return process.pid

    def end(self) -> None:
        """Kill everything that was started, with its children."""
        for process in self._started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
