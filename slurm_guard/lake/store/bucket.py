"""A bucket of an S3 server through boto3, which is imported here alone and only where [lake] store is set.

Credentials are the library's business (environment, ~/.aws, an instance's role); none pass through our
configuration, and none stand in what is said here: of an answer only its code is repeated.
"""

import base64
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from slurm_guard.configvalues import STORE
from slurm_guard.errors import EXIT_USAGE, GuardError

TRIES = 5  # of one request, with waits that double, at most 20 s: the library's `standard` mode
_MOST_EMPTY = 100  # pages of a listing, one after the other, without a name. Judgement
CONNECT_S, ANSWER_S = 10, 60  # judgements
MOST_B = 5 << 30  # S3's own bound for one request
MOST_KEYS = 5_000_000  # of one listing. Judgement: 13 days of 10,000 GPUs without compaction
_PIECE = 1 << 20
_LOGIN = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
    | {"RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "403", "401"}
)


class Thing(NamedTuple):
    """An object as a listing has it."""

    size: int
    etag: str


class Sent(NamedTuple):
    """A file as it was when it was sent, and what the server calls its content."""

    size: int
    mtime_ns: int
    etag: str


class Missing(Exception):  # an answer, not a failure
    """There is no such object, or no longer."""


class Damaged(Exception):
    """What came is not what was sent; its words say how."""


class Bucket:
    """Objects below a prefix, named by what follows it."""

    def __init__(self, url: str, endpoint: str = "") -> None:
        """Raises GuardError store-library, store-login (no region, a profile that is not there)."""
        found = STORE.fullmatch(url)
        if found is None:
            raise GuardError("store-url", f"{url!a} is no s3://bucket/prefix", "see lake.store", EXIT_USAGE)
        self.url = url.rstrip("/")
        self._bucket, self._prefix = found[1], found[2].strip("/") + "/" if found[2].strip("/") else ""
        self._where = f"{self._bucket} at {endpoint}" if endpoint else self._bucket
        self._client = _client(endpoint)

    def folders(self, below: str = "") -> list[str]:
        """Names of the folders directly below one (`v1/`), without it."""
        start, found = self._prefix + below, list[str]()
        with self._answered():
            for page in self._pages(Prefix=start, Delimiter="/"):
                found += [one["Prefix"][len(start) :].rstrip("/") for one in page.get("CommonPrefixes", [])]
        return sorted(found)

    def list(self, below: str) -> Iterator[tuple[str, Thing]]:
        """Every object below a folder (`v1/windows/`), by name."""
        n = 0
        with self._answered():
            for page in self._pages(Prefix=self._prefix + below):
                for one in page.get("Contents", []):
                    n += 1
                    if n > MOST_KEYS:
                        raise GuardError(
                            "store-refused",
                            f"{self._where} has more than {MOST_KEYS:,} objects below {below}",
                            "name a prefix of the lake's own in lake.store",
                        )
                    yield (
                        one["Key"][len(self._prefix) :],
                        Thing(one["Size"], str(one.get("ETag", "")).strip('"')),
                    )

    def _pages(self, **what: str) -> Iterator[dict[str, Any]]:
        """Of a listing. One that goes on and on without a name in it would never end."""
        n_empty = 0
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **what):
            n_empty = 0 if page.get("Contents") or page.get("CommonPrefixes") else n_empty + 1
            if n_empty > _MOST_EMPTY:
                raise ValueError("pages without end")
            yield page

    def put(self, name: str, path: Path) -> Sent:
        """Send a file; the server refuses what arrives otherwise than it left. Raises OSError of the file."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_B:
                raise OSError(f"no regular file, or larger than {MOST_B >> 30} GiB")
            md5, sha = digests(file)
            file.seek(0)
            etag = self._put(name, file, about.st_size, md5, sha)
        return Sent(about.st_size, about.st_mtime_ns, etag)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Send a few bytes."""
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        self._put(name, content, len(content), md5, hashlib.sha256(content).hexdigest())

    def _put(self, name: str, body: BinaryIO | bytes, size: int, md5: bytes, sha: str) -> str:
        with self._answered():
            answer = self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=body,
                ContentLength=size,
                ContentMD5=base64.b64encode(md5).decode("ascii"),
                Metadata={"sha256": sha},
            )
            return str(answer["ETag"]).strip('"')

    def get_bytes(self, name: str, most_b: int) -> bytes | None:
        """A small object; null: there is none. Raises Damaged for one that is larger."""
        try:
            with self._said():
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
                content: bytes = answer["Body"].read(most_b + 1)
        except Missing:
            return None
        if len(content) > most_b:
            raise Damaged(f"more than {most_b} bytes")
        return content

    def fetch(self, name: str, thing: Thing, out: BinaryIO) -> None:
        """The object's bytes, as the listing said that they are: size, and digests where they are told.

        A connection that breaks off is tried again from the begin. Raises Missing, Damaged, OSError of `out`.
        """
        for n_try in range(TRIES):
            out.seek(0)
            out.truncate()
            try:
                self._fetch(name, thing, out)
                return
            except GuardError as error:
                if error.slug != "store-unreachable" or n_try == TRIES - 1:
                    raise
            except Damaged:
                if n_try:  # once more: it may have been the way
                    raise
            time.sleep(0.5 * 2**n_try)

    def _fetch(self, name: str, thing: Thing, out: BinaryIO) -> None:
        with self._said():
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        if answer.get("ETag", "").strip('"') != thing.etag or answer.get("ContentLength") != thing.size:
            raise Missing(name)  # replaced since it was listed
        n, md5, sha = 0, hashlib.md5(usedforsecurity=False), hashlib.sha256()
        pieces = answer["Body"].iter_chunks(_PIECE)
        while True:
            with self._said():
                piece = next(pieces, None)
            if piece is None:
                break
            n += len(piece)
            if n > thing.size:
                raise Damaged("more bytes than the listing says")
            md5.update(piece)
            sha.update(piece)
            out.write(piece)
        told = answer.get("Metadata", {}).get("sha256")
        if n != thing.size or (told is not None and told != sha.hexdigest()):
            raise Damaged(f"{n} bytes with another digest than they were sent with")
        plain = re.fullmatch("[0-9a-f]{32}", thing.etag) and "ServerSideEncryption" not in answer
        if told is None and plain and md5.hexdigest() != thing.etag:
            raise Damaged("another digest than the server's")

    def remove(self, name: str) -> None:
        """Away with it, whether or not it is there."""
        with suppress(Missing), self._said():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """As `_said`, of what each S3 server has an answer to: an address may be another server's."""
        try:
            with self._said():
                yield
        except (Missing, KeyError, TypeError, ValueError) as error:
            why = "404" if isinstance(error, Missing) else f"what is none of S3's ({type(error).__name__})"
            raise GuardError(
                "store-refused",
                f"{self._where} answers {why}",
                "look at lake.store_endpoint: is it the address of the S3 interface?",
            ) from None

    @contextmanager
    def _said(self) -> Iterator[None]:
        """The library's errors in our words. Raises GuardError store-…, Missing."""
        from botocore import exceptions as of

        login = (of.NoCredentialsError, of.PartialCredentialsError, of.CredentialRetrievalError)
        more = (of.TokenRetrievalError, of.SSOError, of.ProfileNotFound, of.MetadataRetrievalError)
        try:
            yield
        except of.ClientError as error:
            raise self._judge(error.response) from None
        except (*login, *more) as error:
            raise self._login(type(error).__name__) from None
        except of.BotoCoreError as error:
            why = f"{self._where} did not answer ({type(error).__name__})"
            hint = (
                "look at lake.store_endpoint and the way there; what is not there yet goes with the next call"
            )
            raise GuardError("store-unreachable", why, hint) from None

    def _judge(self, answer: dict[str, Any]) -> Exception:
        code = str(answer.get("Error", {}).get("Code", ""))[:60]
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "NoSuchBucket":
            hint = "make it, or mend lake.store; slurm-guard makes no buckets"
            return GuardError("store-bucket", f"there is no bucket {self._where}", hint)
        if status == 404:
            return Missing()
        if code in _LOGIN or status in (401, 403):
            return self._login(f"{status} {code!a}")
        if status >= 500 or status == 429 or code in ("SlowDown", "RequestTimeout", "BadDigest"):
            hint = "what is not there yet goes with the next call"
            return GuardError("store-unreachable", f"{self._where} answers {status} {code!a}", hint)
        return GuardError(
            "store-refused", f"{self._where} answers {status} {code!a}", "ask who runs that server"
        )

    def _login(self, why: str) -> GuardError:
        return GuardError(
            "store-login", f"{self._where} is not open to us: {why}",
            "look at AWS_ACCESS_KEY_ID, ~/.aws/credentials or the machine's role, at the bucket's policy, "
            "and at this machine's clock (docs/store.md)",
        )  # fmt: skip


def digests(file: BinaryIO) -> tuple[bytes, str]:
    """MD5, as servers name and check content, and SHA-256 in hexadecimal."""
    md5, sha = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    while piece := file.read(_PIECE):
        md5.update(piece)
        sha.update(piece)
    return md5.digest(), sha.hexdigest()


def _client(endpoint: str) -> Any:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise GuardError(
            "store-library", "[lake] store is set, and boto3 is not installed",
            "pip install 'slurm-guard[s3]', or leave lake.store empty", EXIT_USAGE,
        ) from None  # fmt: skip
    # Checksums of newer kinds are refused by older servers than Amazon's; MD5 and our own SHA-256 do.
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=ANSWER_S,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=16,
    )
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint or None, config=config)
    except (BotoCoreError, ValueError) as error:
        why = f"boto3 cannot begin: {type(error).__name__}"
        raise GuardError("store-login", why, "look at AWS_PROFILE, ~/.aws/config, AWS_ENDPOINT_URL") from None
