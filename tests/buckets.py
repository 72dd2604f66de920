"""A bucket in memory, with what a server can do wrong: for laws of sending and fetching without one."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from slurm_guard.errors import GuardError
from slurm_guard.lake.store.bucket import Bucket, Damaged, Missing, Sent, Thing


class MemoryBucket(Bucket):
    """Objects by name. `before` hears (verb, name) of each request first and may raise; `log` has them."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.url = "s3://memory/lake"
        self.objects = {} if objects is None else objects
        self.log: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda verb, name: None

    def _hear(self, verb: str, name: str) -> None:
        self.before(verb, name)
        self.log.append((verb, name))

    def folders(self, below: str = "") -> list[str]:
        """As S3's common prefixes."""
        self._hear("folders", below)
        rest = [name[len(below) :] for name in self.objects if name.startswith(below)]
        return sorted({name.split("/")[0] for name in rest if "/" in name})

    def list(self, below: str) -> Iterator[tuple[str, Thing]]:
        """In two pages, between which others may do something."""
        names = sorted(name for name in self.objects if name.startswith(below))
        half = names[len(names) // 2] if names else ""
        for is_first in (True, False):
            self._hear("list", below)
            for name, content in sorted(self.objects.items()):
                if name.startswith(below) and (name < half) == is_first:
                    yield name, Thing(len(content), etag_of(content))

    def put(self, name: str, path: Path) -> Sent:
        """A whole object or none."""
        content, about = path.read_bytes(), path.stat()
        self._hear("put", name)
        self.objects[name] = content
        return Sent(about.st_size, about.st_mtime_ns, etag_of(content))

    def put_bytes(self, name: str, content: bytes) -> None:
        """Likewise."""
        self._hear("put", name)
        self.objects[name] = content

    def get_bytes(self, name: str, most_b: int) -> bytes | None:
        """Null: there is none."""
        self._hear("get", name)
        content = self.objects.get(name)
        if content is not None and len(content) > most_b:
            raise Damaged("too large")
        return content

    def fetch(self, name: str, thing: Thing, out: BinaryIO) -> None:
        """As it was listed."""
        self._hear("get", name)
        content = self.objects.get(name)
        if content is None or Thing(len(content), etag_of(content)) != thing:
            raise Missing(name)
        out.write(content)

    def remove(self, name: str) -> None:
        """Whether or not it is there."""
        self._hear("remove", name)
        self.objects.pop(name, None)


def etag_of(content: bytes) -> str:
    """As S3 makes it of small objects."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def silent(verb: str, name: str) -> None:
    """For MemoryBucket.before: nobody answers."""
    raise GuardError("store-unreachable", f"{verb} {name}: nobody answers")
