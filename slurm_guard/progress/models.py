"""How large the models are whose checkpoints the walk found: the parser is asked, one at a time."""

from collections.abc import Iterable

from slurm_guard.progress.opener import Opened
from slurm_guard.progress.parser_child import measure
from slurm_guard.progress.safetensors import MAX_HEADERS_B, KeptModel, ModelSize, Part
from slurm_guard.progress.weights import MAX_FOLDERS, TRIES

FROM = "header"  # what LogFile.params_from says of it
UNKNOWN = ModelSize(None, None, 0, [])
Sizes = dict[str, ModelSize]


def model_sizes(opened: Iterable[Opened], user: str, deadline_s: float) -> Sizes:
    """Folder with checkpoints -> the model of the newest that is whole; else why there is none.

    `opened`: files of models, those of one checkpoint together or a refusal in place of one.
    """
    models: dict[tuple[str, int], list[Opened]] = {}
    for one in opened:
        if one.model is not None:
            models.setdefault(one.model, []).append(one)
    found: Sizes = {}
    left_b = MAX_HEADERS_B
    n_left = MAX_FOLDERS * TRIES  # an honest opener sends no more
    for (folder, _), files in sorted(models.items()):
        before = found.get(folder)
        if before is not None and (before.params is not None or not before.problems):
            continue  # the newest tells, or is an adapter
        if all(one.fd is not None for one in files):
            n_left -= 1
        if n_left < 0:
            break
        size = _size_of(files, left_b, user, deadline_s)
        left_b -= size.read_b
        found[folder] = size if before is None or size.params is not None else before
    return found


def with_kept(sizes: Sizes, kept: Iterable[KeptModel]) -> Sizes:
    """The same with what an earlier reading told of folders whose model is not to be had any more."""
    out = dict(sizes)
    for one in kept:
        now = sizes.get(one.folder, UNKNOWN)
        if now.params is None:
            out[one.folder] = ModelSize(one.params, one.dense, now.read_b, [])
    return out


def _size_of(files: list[Opened], left_b: int, user: str, deadline_s: float) -> ModelSize:
    """The model in these files."""
    refusals = [one.problem for one in files if one.problem is not None]
    parts = [Part(one.path.rpartition("/")[2], one.fd) for one in files if one.fd is not None]
    if refusals or not parts:
        return ModelSize(None, None, 0, refusals[:1])
    return measure(parts, left_b, user, deadline_s)
