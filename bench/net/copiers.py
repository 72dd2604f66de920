"""Honest programs that ask outside and hand what they got to a service nearby, request by request."""

from bench.net.hosts import OUTSIDE
from bench.net.shape import NONE, Situation
from bench.net.stage import Stage


def _copy(stage: Stage, mode: str) -> None:
    inner, far = stage.service(), stage.far_service()
    stage.job_later(
        *stage.program("copier.py"), mode, OUTSIDE, str(far), str(inner), stage.seconds, stage.seed
    )


def mirror(stage: Stage) -> None:
    """A mirror: GET outside, PUT to an object store nearby."""
    _copy(stage, "mirror")


def etl(stage: Stage) -> None:
    """Rows fetched outside, batch by batch, and inserted into a local database."""
    _copy(stage, "etl")


def cachewarm(stage: Stage) -> None:
    """A cache that is filled: asked nearby, fetched outside, put nearby."""
    _copy(stage, "cachewarm")


def batch(stage: Stage) -> None:
    """Prompts from outside to a local model server by HTTP, word for word, and the answers back."""
    _copy(stage, "batch")


SITUATIONS = tuple(Situation(build, NONE) for build in (mirror, etl, cachewarm, batch))
