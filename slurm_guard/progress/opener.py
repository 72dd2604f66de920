"""Opens a job's files as the job's user and passes the descriptors; the parent touches none of the paths.

Root is often no one on a shared file system, and a user can only show what he may read himself. A path that
is no regular file of his own (FIFO, device, symbolic link, another's file, a sparse giant) is a problem.
"""

import contextlib
import json
import os
import socket
import stat
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from slurm_guard.progress import child
from slurm_guard.progress.birth import birth_of
from slurm_guard.progress.bracket import Frame
from slurm_guard.progress.checkpoints import Saved, parse_saved
from slurm_guard.progress.declared import NAME
from slurm_guard.progress.request import Request
from slurm_guard.progress.walk import changed_within, walk
from slurm_guard.progress.weights import Piece, pieces

FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
MAX_MESSAGE = 65_536
SAVED_AT_ONCE = 256  # checkpoints in one message, of some 80 bytes each
SUREST = ("guard", "fd", "stdout", "stderr", "declared", "walk")  # ways of knowing a file, best first
SPARSE_FROM_B = 64 << 20  # smaller files cost nothing even if they are holes
SPARSE_FACTOR = 64  # judgement: no compressing file system shrinks a log more


class Opened(NamedTuple):
    """A descriptor that passed every check, or why there is none."""

    path: str
    how: str
    nths: tuple[int, ...]  # places in the request's list; none: found by the walk
    fd: int | None
    size: int | None
    dev: int | None
    ino: int | None
    ctime_at: float | None
    problem: str | None
    born_at: float | None = None  # of the inode, where the file system says so
    saved: tuple[Saved, ...] = ()  # of a folder: the checkpoints in it
    model: tuple[str, int] | None = (
        None  # the folder with checkpoints whose model it is of, and which of them
    )


def open_files(request: Request, deadline_s: float) -> list[Opened]:
    """Every wanted file and every file that the walk found, in that order. `deadline_s`: monotonic."""
    owner = _owner(request)
    if owner is None:
        why = (
            "no-owner: the job's uid is unknown"
            if request.uid is None
            else "root-run: jobs of root are not read"
        )
        return [_refused(f.path, f.how, (i,), why) for i, f in enumerate(request.files)]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        helper = child.start(lambda: _serve(theirs, request, owner), {theirs.fileno()})
        theirs.close()
        try:
            return _receive(ours, request, owner, deadline_s)
        finally:
            helper.end()


def open_own(request: Request, deadline_s: float) -> list[Opened]:
    """As `open_files`, with our own rights and our own files, in this process: for a person's command."""
    out = []
    me = os.geteuid()
    for nth, wanted in enumerate(request.files):
        fd, problem = open_regular(wanted.path, me)
        names = (wanted.path, wanted.how, (nth,))
        out.append(_accepted(names, fd, me) if fd is not None else _refused(*names, problem or "not-opened"))
    if request.work_dir is not None:
        out += _own_folder(request.work_dir, request.frame, me)
    return _without_twins(out)


def _own_folder(root: str, frame: Frame, me: int) -> list[Opened]:
    """What the walk finds, with our own rights."""
    found = walk(root, frame.ticket_at, frame.read_at)
    out = [_refused(root, "walk", (), problem) for problem in found.problems]
    for hit in found.hits:
        fd, problem = open_regular(hit.path, me)
        names = (hit.path, "walk", ())
        out.append(_accepted(names, fd, me) if fd is not None else _refused(*names, problem or "not-opened"))
    for piece in pieces(found.newest, _freshness(frame.ticket_at, frame.read_at)):
        fd, problem = _open_piece(piece, me)
        named = (piece.path, "walk", ())
        one = _accepted(named, fd, me) if fd is not None else _refused(*named, problem or "not-opened")
        out.append(one._replace(model=(piece.folder, piece.nth)))
    return out + [
        _folder(_folder_message(path, [list(one) for one in saved])) for path, saved in found.saved.items()
    ]


def _freshness(from_at: float, until_at: float) -> Callable[[os.stat_result], bool]:
    """Whether a file was changed during the run."""
    return lambda seen: changed_within(seen, from_at, until_at)


def _open_piece(piece: Piece, owner: int) -> tuple[int | None, str | None]:
    """(descriptor, problem) of one file of a model."""
    return (None, piece.problem) if piece.problem is not None else open_regular(piece.path, owner)


def _owner(request: Request) -> int | None:
    """The uid whose files may be read: the job's, or our own where we are not root (demo, `show`)."""
    me = os.geteuid()
    if me != 0:
        return me
    return request.uid if request.uid else None


def _refused(path: str, how: str, nths: tuple[int, ...], problem: str) -> Opened:
    return Opened(path, how, nths, None, None, None, None, None, problem)


def _folder_message(path: str, saved: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """What the walk saw of the checkpoints in a folder, which is not opened."""
    try:
        ino = os.stat(path).st_ino
    except OSError:
        ino = None
    return {"path": path, "index": None, "problem": None, "ino": ino, "saved": saved}


def _folder(body: dict[str, Any]) -> Opened:
    """The same on the parent's side."""
    ino = body.get("ino")
    ino = ino if isinstance(ino, int) and 0 < ino < 1 << 64 else None
    path, saved = str(body["path"])[:4096], parse_saved(body.get("saved"))
    return Opened(path, "walk", (), None, None, None, ino, None, None, None, saved)


def _serve(sock: socket.socket, request: Request, owner: int) -> None:
    """The child: become the user, then open what was asked for and what the walk finds."""
    gid, groups = child.job_ids(owner, request.gid)
    child.become(owner, gid, groups)
    child.limit_memory()  # after the name service, whose maps are as large as the site
    for index, wanted in enumerate(request.files):
        _offer(sock, wanted.path, index, owner)
    frame = request.frame
    until = frame.ended_at if frame.ended_at is not None else frame.read_at
    if request.work_dir is not None:
        found = walk(request.work_dir, frame.ticket_at, until)
        for problem in found.problems:
            _send(sock, {"path": request.work_dir, "index": None, "problem": problem}, None)
        for hit in found.hits:
            _offer(sock, hit.path, None, owner)
        for folder, saved in found.saved.items():
            for begin in range(0, len(saved), SAVED_AT_ONCE):
                part = saved[begin : begin + SAVED_AT_ONCE]
                _send(sock, _folder_message(folder, part), None)
        for piece in pieces(found.newest, _freshness(frame.ticket_at, until)):
            fd, why = _open_piece(piece, owner)
            _hand_over(sock, {"path": piece.path, "index": None, "problem": why, "model": piece[:2]}, fd)
    _send(sock, {"end": True}, None)


def _offer(sock: socket.socket, path: str, index: int | None, owner: int) -> None:
    """Open one path and send it, or the reason."""
    fd, problem = open_regular(path, owner)
    _hand_over(sock, {"path": path, "index": index, "problem": problem}, fd)


def _hand_over(sock: socket.socket, body: dict[str, Any], fd: int | None) -> None:
    """Send a descriptor, or why there is none, and keep none."""
    try:
        _send(sock, body, fd)
    finally:
        if fd is not None:
            os.close(fd)


def _send(sock: socket.socket, body: dict[str, Any], fd: int | None) -> None:
    message = json.dumps(body).encode("ascii")[:MAX_MESSAGE]
    if fd is None:
        sock.send(message)
    else:
        socket.send_fds(sock, [message], [fd])


def open_regular(path: str, owner: int) -> tuple[int | None, str | None]:
    """(descriptor, null) of a regular file that `owner` owns, else (null, problem)."""
    if not os.path.isabs(path):
        return None, "no-path: not an absolute path"
    try:
        before = os.lstat(path)  # a device or FIFO is not even opened: opening can have effects
        problem = check(before, owner)
        if problem is not None:
            return None, problem
        fd = os.open(path, FLAGS)
    except (OSError, ValueError) as error:
        said = os.strerror(error.errno or 0) if isinstance(error, OSError) else "impossible name"
        return None, f"not-opened: {said}"
    problem = _check_open(fd, owner)[1]
    if problem is not None:
        _close(fd)
        return None, problem
    return fd, None


def _check_open(fd: int, owner: int) -> tuple[os.stat_result | None, str | None]:
    """(status, why an open file is not read): a file system may also say no to a descriptor that it gave."""
    try:
        status = os.fstat(fd)
    except OSError as error:
        return None, f"not-opened: {os.strerror(error.errno or 0)}"
    return status, check(status, owner)


def check(seen: os.stat_result, owner: int) -> str | None:
    """Why a file with this status is not read; null: it may be."""
    if stat.S_ISLNK(seen.st_mode):
        return "symlink: a symbolic link is not followed"
    if not stat.S_ISREG(seen.st_mode):
        return "not-regular: a FIFO, device, socket or folder"
    if seen.st_uid != owner:
        return "foreign-owner: the file belongs to another user"
    if seen.st_size > SPARSE_FROM_B and seen.st_blocks * 512 * SPARSE_FACTOR < seen.st_size:
        return "sparse: almost nothing of its size is on disk"
    return None


def _receive(sock: socket.socket, request: Request, owner: int, deadline_s: float) -> list[Opened]:
    """The parent: take descriptors until the child is done, dies or is late; check each again."""
    out: list[Opened] = []
    seen: set[int] = set()
    why = "opener-died: the child that opens files ended early"
    while True:
        sock.settimeout(max(0.01, deadline_s - time.monotonic()))
        try:
            message, fds, _, _ = socket.recv_fds(sock, MAX_MESSAGE, 1)
        except TimeoutError:
            why = "opener-timeout: a file system did not answer in time"
            break
        except OSError:
            break
        if not message:
            break
        opened = _taken(message, fds, request, owner)
        if opened is None:
            if b'"end"' in message[:16]:
                why = ""
            break
        out.append(opened)
        seen.update(opened.nths)
    if why:
        out.extend(_refused(f.path, f.how, (i,), why) for i, f in enumerate(request.files) if i not in seen)
    return _without_twins(out)


def _taken(message: bytes, fds: list[int], request: Request, owner: int) -> Opened | None:
    """One message of the child, as far as it is one; its descriptor's status is read here, not believed."""
    fd = fds[0] if fds else None
    try:
        body = json.loads(message)
        path, index, problem = body["path"], body["index"], body["problem"]
    except (ValueError, KeyError, TypeError, RecursionError):
        _close(fd)
        return None
    nths: tuple[int, ...]
    if isinstance(index, int) and 0 <= index < len(request.files):
        path, how, nths = request.files[index].path, request.files[index].how, (index,)
    else:
        path, how, nths = str(path)[:4096], "walk", ()
    if fd is None and problem is None:
        return _folder(body)
    if fd is None:
        opened = _refused(path, how, nths, str(problem)[:200])
    else:
        opened = _accepted((path, how, nths), fd, owner, request.frame)
    return opened._replace(model=_model_of(body))


def _model_of(body: dict[str, Any]) -> tuple[str, int] | None:
    """(folder with checkpoints, which of them) of a file of a model's weights; null: it is none."""
    said = body.get("model")
    if not isinstance(said, list) or len(said) != 2 or not isinstance(said[0], str):
        return None
    return said[0][:4096], 1 if said[1] else 0


def _accepted(
    names: tuple[str, str, tuple[int, ...]], fd: int, owner: int, frame: Frame | None = None
) -> Opened:
    """A descriptor whose status we read ourselves."""
    path, how, nths = names
    status, refusal = _check_open(fd, owner)
    if how == NAME and status is not None and refusal is None and frame is not None:
        until = frame.ended_at if frame.ended_at is not None else frame.read_at
        if not changed_within(status, frame.ticket_at, until):
            refusal = (
                "not-changed: nothing was written to it during the run"  # what is in it is not the run's
            )
    if status is None or refusal is not None:
        _close(fd)
        return _refused(path, how, nths, refusal or "not-opened")
    return Opened(
        path, how, nths, fd, status.st_size, status.st_dev, status.st_ino, status.st_ctime_ns / 1e9, None,
        birth_of(fd),
    )  # fmt: skip


def _close(fd: int | None) -> None:
    if fd is not None:
        with contextlib.suppress(OSError):
            os.close(fd)


def _without_twins(opened: list[Opened]) -> list[Opened]:
    """One row per file: stdout that was also seen as a descriptor is read once, under its surest name.
    Weights are no logs, whoever has them open."""
    kept: list[Opened] = []
    places: dict[tuple[int | None, int | None], int] = {}
    for one in opened:
        place = places.get((one.dev, one.ino)) if one.fd is not None and one.model is None else None
        if place is None:
            if one.fd is not None and one.model is None:
                places[one.dev, one.ino] = len(kept)
            kept.append(one)
            continue
        _close(one.fd)
        first = kept[place]
        how = min(first.how, one.how, key=lambda name: SUREST.index(name))
        kept[place] = first._replace(how=how, nths=first.nths + one.nths)
    return kept
