"""Where a situation plays: starts its programs as an ordinary user, here and elsewhere, and ends them."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from bench.net.hosts import LOGIN, NEAR, OUTSIDE, SSH_PORT, USER, Host, Hosts
from bench.net.programs import path_of

_PROGRAMS = (
    "talk.py",
    "pyssh.py",
    "far_end.py",
    "copier.py",
    "polled.py",
    "striped.py",
    "questions.py",
    "master.py",
    "remote_calls.py",
    "agent.py",
    "metrics.py",
    "between.py",
)
_SLOWEST_START_S = 3.0


class Stage:
    """One play. What `job*` starts, and its children, is the job."""

    def __init__(
        self, hosts: Hosts, rng: random.Random, account: str, first_port: int, seconds: float
    ) -> None:
        self.hosts, self.rng, self.account = hosts, rng, account
        self.seconds, self.seed = f"{seconds:.1f}", str(rng.randrange(10**9))
        self._port = first_port
        self.folder = hosts.folder / f"play{first_port}"
        self.folder.mkdir(mode=0o777)
        self.folder.chmod(0o777)
        self.home = hosts.folder / "home" / account
        for name in _PROGRAMS:
            shutil.copy(Path(__file__).with_name(name), self.folder / name)
        self._started: list[subprocess.Popen[bytes]] = []
        self.roots: list[int] = []
        self.key = self.folder / "key"
        shutil.copy(hosts.folder / "key", self.key)
        self.key.chmod(0o600)
        shutil.chown(self.key, account)
        self._uses = self.folder / "uses"
        self._uses.touch()
        self._uses.chmod(0o666)
        self._env = {
            **{k: v for k, v in os.environ.items() if k not in ("SSH_AUTH_SOCK", "PYTHONPATH")},
            "HOME": str(self.home),
            "GUARD_USES": str(self._uses),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    # -- words

    @property
    def options(self) -> list[str]:
        """An ssh client's options, without any user's own settings."""
        given = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        words = ["-F", "none", "-i", str(self.key)]
        return [*words, *(part for option in given for part in ("-o", option))]

    @property
    def ssh(self) -> list[str]:
        """An ssh client's words up to the far end."""
        return [*self.options, "-p", str(SSH_PORT), f"{USER}@{OUTSIDE}"]

    @property
    def ssh_login(self) -> list[str]:
        """The same to the login node."""
        return [*self.options, "-p", str(SSH_PORT), f"{USER}@{LOGIN}"]

    def a_while(self, least_s: float = 0.5) -> float:
        """Random seconds before something begins."""
        return self.rng.uniform(least_s, _SLOWEST_START_S)

    def port(self) -> int:
        """A port that no other play uses."""
        self._port += 2
        return self._port

    def file(self, name: str, text: str) -> str:
        """A file that the job may read."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return str(path)

    def renamed(self, program: str, name: str) -> str:
        """A copy of a program under another name."""
        path = self.folder / name
        shutil.copy(shutil.which(program) or program, path)
        return str(path)

    def talk(self, *words: str) -> list[str]:
        """One of our own programs, as words of a command."""
        return [*self.program("talk.py"), *words]

    def program(self, name: str) -> list[str]:
        """The words that begin one of our own programs."""
        return [sys.executable, "-I", str(self.folder / name)]

    def n_uses(self) -> int:
        """Exchanges and transfers that came to an end: what was played did happen."""
        return self._uses.stat().st_size

    def began(self) -> bool:
        """Whether the first exchange of one of our own programs has begun."""
        return Path(f"{self._uses}.began").exists()

    def began_s(self) -> float | None:
        """When it did, by the monotonic clock; null: no word of it."""
        try:
            return float(Path(f"{self._uses}.began").read_text())
        except (OSError, ValueError):
            return None

    # -- the job

    def job(self, *words: str) -> None:
        """A program of the job."""
        self.roots.append(self._start(list(words), delay_s=0.0, user=self.account))

    def job_later(self, *words: str) -> None:
        """A program of the job, after a random while."""
        self.roots.append(self._start(list(words), delay_s=self.a_while(), user=self.account))

    def shell(self, script: str) -> None:
        """A script of the job's, after a random while; `used` in it notes that something was done."""
        self.job_later("sh", "-c", f'used() {{ printf . >>"$GUARD_USES"; }}\n{script}')

    def job_talk(self, *words: str) -> None:
        """One of our own programs as the job's."""
        self.job(*self.talk(*words))

    def job_talk_later(self, *words: str) -> None:
        """The same after a random while."""
        self.job_later(*self.talk(*words))

    def service(self, least_s: float = 0.0, most_s: float = 0.0) -> int:
        """A service of the job on loopback, that answers after so long."""
        port = self.port()
        self.job_talk("service", "127.0.0.1", str(port), f"{least_s}", f"{most_s}")
        return port

    def contained(self, script: str) -> None:
        """A script of the job's in a network namespace of its own, with a rootless helper (pasta)."""
        used = 'used() { printf . >>"$GUARD_USES"; }\n'
        path = self.file("contained.sh", f"{used}sleep 0.5\n{script}\nsleep 60\n")
        words = ("--ipv4-only", "--config-net", "--no-map-gw", "-q", "-f")
        self.job_later(path_of("pasta"), *words, "--", "sh", path)

    # -- others

    def at(self, host: Host, *words: str, delay_s: float = 0.0) -> None:
        """A program on another host."""
        self._start(host.command(*words), delay_s=delay_s, user=None)

    def far(self, *words: str) -> None:
        """A program outside."""
        self.at(self.hosts.outside, *words)

    def far_talk(self, *words: str) -> None:
        """One of our own programs outside."""
        self.far(*self.talk(*words))

    def near_talk(self, *words: str) -> None:
        """One of our own programs on another node."""
        self.at(self.hosts.near, *self.talk(*words))

    def near_talk_later(self, *words: str) -> None:
        """The same after a random while."""
        self.at(self.hosts.near, *self.talk(*words), delay_s=self.a_while())

    def login_talk_later(self, *words: str) -> None:
        """One of our own programs on the login node, after a random while."""
        self.at(self.hosts.login, *self.talk(*words), delay_s=self.a_while(1.0))

    def far_service(self, address: str = OUTSIDE, least_s: float = 0.0, most_s: float = 0.0) -> int:
        """A service outside, that answers after so long."""
        port = self.port()
        self.far_talk("service", address, str(port), f"{least_s}", f"{most_s}")
        return port

    def far_queue(self, least_s: float, most_s: float) -> int:
        """A queue outside, that has tasks at once and thanks for results after so long."""
        port = self.port()
        self.far_talk("queue", OUTSIDE, str(port), f"{least_s}", f"{most_s}")
        return port

    def near_service(self) -> int:
        """A service on another node."""
        port = self.port()
        self.near_talk("service", NEAR, str(port))
        return port

    def use_outside(self, address: str, port: int, how: str = "") -> None:
        """Somebody outside asks what is behind a door there, after a random while."""
        words = ("use", address, str(port), self.seconds, self.seed, how or "keep")
        self.at(self.hosts.outside, *self.talk(*words), delay_s=self.a_while(1.0))

    # -- life

    def _start(self, words: list[str], *, delay_s: float, user: str | None) -> int:
        if delay_s > 0:
            words = ["sh", "-c", f'sleep {delay_s:.2f}; exec "$@"', "sh", *words]
        process = subprocess.Popen(
            words, user=user, group=user, extra_groups=[] if user else None, env=self._env, cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
            stderr=(self.folder / "errors").open("ab"),
        )  # fmt: skip
        self._started.append(process)
        return process.pid

    def _kill_rest(self) -> None:
        """What the account has left: sessions of their own. The accounts are this benchmark's alone."""
        uid = self.home.stat().st_uid
        for path in Path("/proc").iterdir():
            try:
                if path.name.isdecimal() and path.stat().st_uid == uid:
                    os.kill(int(path.name), signal.SIGKILL)
            except OSError:
                continue

    def end(self) -> str:
        """Kill everything that was started, with its children. Returns the last of their complaints."""
        for process in self._started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        self._kill_rest()
        said = (self.folder / "errors").read_bytes()[-600:].decode("utf-8", "replace")
        shutil.rmtree(self.folder, ignore_errors=True)
        return said
