"""Which safetensors files hold the model of a folder's newest checkpoints. Runs in the opener, as the user.

Only names and times are looked at; the files are opened like any of the user's, and read without rights.
"""

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

MAX_FOLDERS = 8  # with checkpoints, whose model is measured in one reading (judgement)
MAX_SHARDS = 256  # of all of them: models of 1.6 TB have some 200
TRIES = 2  # checkpoints of a folder: of the newest, which may be half written, and of the one before
MAX_LISTED = 4_096  # entries of a checkpoint that are looked at; thousands of ranks write one each
MAX_S = 1.0  # beside the walk's own time (judgement)
SUFFIX = ".safetensors"
_SHARD = re.compile(r"\A(.{0,200})-(\d{1,6})-of-(\d{1,6})\.safetensors", re.DOTALL)
# What lies beside a model: its optimizer, its running mean.
_BESIDE = re.compile(r"^(?:optim|ema\b|ema[_-]|scheduler|rng|random|sampler|scaler)|[_-]ema\b", re.IGNORECASE)
_ADAPTER = re.compile(r"(?:^|[_.-])(?:adapters?|lora|ia3)(?:[_.-]|$)", re.IGNORECASE)

IsFresh = Callable[[os.stat_result], bool]


class Piece(NamedTuple):
    """One file of a model to open, or why there is none. `nth`: of its folder's checkpoints, newest first."""

    folder: str
    nth: int
    path: str
    problem: str | None


def pieces(newest: Mapping[str, Sequence[str]], is_fresh: IsFresh) -> Iterator[Piece]:
    """The files of each folder's model. `newest`: folder -> its newest checkpoints, the last one first."""
    until = time.monotonic() + MAX_S
    left = MAX_SHARDS
    for n, (folder, paths) in enumerate(newest.items()):
        if n >= MAX_FOLDERS or time.monotonic() > until:
            yield Piece(folder, 0, folder, "weights-unread: other folders' checkpoints came first")
            continue
        for nth, path in enumerate(paths[:TRIES]):
            names, problem = _files_of(path, is_fresh)
            if problem is None and len(names) > left:
                names, problem = [], f"weights-unread: more than {MAX_SHARDS} files"
            if problem is not None:
                yield Piece(folder, nth, path, problem)
            left -= len(names)
            yield from (Piece(folder, nth, name, None) for name in names)


def _files_of(path: str, is_fresh: IsFresh) -> tuple[list[str], str | None]:
    """(files of a checkpoint's model, problem). Neither: no safetensors file holds it."""
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            folder, _, name = path.rpartition("/")
            found = {folder: [name]} if _is_model(name) else {}
        else:
            found = _listed(path)
        chosen = [one for folder, names in sorted(found.items()) for one in _sets(folder, names)]
        if len(chosen) > 1:
            return [], f"several-models: {len(chosen)} models are in the checkpoint"
        if not chosen:
            return [], None
        files, wanted = chosen[0]
        if len(files) != wanted:
            return [], f"few-shards: {len(files)} of {wanted} files of the model are in the checkpoint"
        if not all(is_fresh(os.lstat(file)) for file in files):
            return [], "old-weights: files of the model were there before the run"
    except OSError as error:
        return [], f"not-opened: {os.strerror(error.errno or 0)}"
    return files, None


def _listed(path: str) -> dict[str, list[str]]:
    """Folder -> names of a model's files: the checkpoint's own, else its folders' (Diffusers: unet/)."""
    found: dict[str, list[str]] = {}
    below: list[str] = []
    with os.scandir(path) as listing:
        for entry in islice(listing, MAX_LISTED):
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
            elif _is_model(entry.name):
                found.setdefault(path, []).append(entry.name)
    if found:
        return found
    for folder in sorted(below)[:16]:
        if _BESIDE.search(folder.rpartition("/")[2]) is not None:
            continue
        with os.scandir(folder) as listing:
            names = [entry.name for entry in islice(listing, MAX_LISTED) if _is_model(entry.name)]
        if names:
            found[folder] = names
    return found


def _is_model(name: str) -> bool:
    """Whether a file's name is that of a model's weights, not of an adapter's or an optimizer's."""
    stem = name.removesuffix(SUFFIX)
    return stem != name and _BESIDE.search(stem) is None and _ADAPTER.search(stem) is None


def _sets(folder: str, names: Sequence[str]) -> list[tuple[list[str], int]]:
    """(files in order, how many there should be) of each model in a folder."""
    shards: dict[tuple[str, int], dict[int, str]] = {}
    out: list[tuple[list[str], int]] = []
    for name in sorted(names):
        match = _SHARD.fullmatch(name)
        if match is None:
            out.append(([f"{folder}/{name}"], 1))
        else:
            shards.setdefault((match[1], int(match[3])), {})[int(match[2])] = f"{folder}/{name}"
    for (_, of), files in sorted(shards.items()):
        first = min(files)  # most count from one, some from zero
        whole = {nth: file for nth, file in files.items() if first <= 1 and nth < first + of}
        out.append(([whole[nth] for nth in sorted(whole)], of))
    return out
