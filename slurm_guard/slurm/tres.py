"""Trackable resources as Slurm writes them: `cpu=8,gres/gpu:h100=4,gres/gpu=4,mem=100G`."""

from dataclasses import dataclass

GPU = "gres/gpu"
# A GPU can also be handed out in parts; these never add up to whole GPUs by counting.
PARTS = ("gres/shard", "gres/mps")


@dataclass(frozen=True, slots=True)
class Gpus:
    """GPUs in one TRES string."""

    n: int  # whole GPUs (or MIG instances); 0: none among the resources
    type: str | None  # null: untyped; several types joined by "+"
    parts: tuple[str, ...]  # shards and MPS shares as written, not counted in n


def parse_tres(text: str) -> dict[str, str]:
    """Name to amount as written. Raises ValueError for text that is no TRES list."""
    found: dict[str, str] = {}
    for item in text.split(",") if text.strip() else ():
        name, equals, amount = item.strip().partition("=")
        if not equals or not name:
            raise ValueError(f"not a resource: {item!r}")
        found[name] = amount
    return found


def count_gpus(text: str) -> Gpus:
    """`gres/gpu` if present, else the sum of `gres/gpu:<type>`: both name the same GPUs (never add them).

    Raises ValueError for a count that is no whole number.
    """
    tres = parse_tres(text)
    typed = {
        name[len(GPU) + 1 :]: _count(amount) for name, amount in tres.items() if name.startswith(GPU + ":")
    }
    n = _count(tres[GPU]) if GPU in tres else sum(typed.values())
    types = sorted(name for name, amount in typed.items() if amount > 0)
    parts = tuple(
        f"{name}={amount}" for name, amount in sorted(tres.items()) if name.partition(":")[0] in PARTS
    )
    return Gpus(n, "+".join(types) if types and n > 0 else None, parts)


def _count(amount: str) -> int:
    if not amount.isascii() or not amount.isdigit() or len(amount) > 6:  # six digits: judgement
        raise ValueError(f"not a count of GPUs: {amount!r}")
    return int(amount)
