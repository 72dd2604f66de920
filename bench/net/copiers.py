"""Honest programs that ask outside and nearby in turn and hand on what they got, request by request."""

from bench.net.hosts import OUTSIDE
from bench.net.shape import NONE, REVIEW, Situation
from bench.net.stage import Stage

_SOON = (0.002, 0.06)  # seconds that a service takes to answer


def _copy(stage: Stage, mode: str, pauses: tuple[float, ...] = (0.0, 0.02, 0.3), *how: str) -> None:
    _copy_between(stage, mode, (stage.service(), stage.far_service(OUTSIDE, *_SOON)), pauses, *how)


def _copy_between(
    stage: Stage, mode: str, between: tuple[int, int], pauses: tuple[float, ...], *how: str
) -> None:
    inner, far = between
    words = (mode, OUTSIDE, str(far), str(inner), stage.seconds, stage.seed, str(stage.rng.choice(pauses)))
    stage.job_later(*stage.program("copier.py"), *words, *how)


def mirror(stage: Stage) -> None:
    """A mirror: GET outside, PUT to an object store nearby."""
    _copy(stage, "mirror")


def mirror_slow(stage: Stage) -> None:
    """The same from a store outside that takes its time to answer, and no pause between objects."""
    _copy_between(stage, "mirror", (stage.service(), stage.far_service(OUTSIDE, 0.1, 0.8)), (0.0, 0.02))


def etl(stage: Stage) -> None:
    """Rows fetched outside, batch by batch, and inserted into a local database."""
    _copy(stage, "etl")


def cachewarm(stage: Stage) -> None:
    """A cache that is filled: asked nearby, fetched outside, put nearby."""
    _copy(stage, "cachewarm")


def uplink(stage: Stage) -> None:
    """Objects got from a store nearby and put outside, request by request."""
    _copy(stage, "uplink", (0.0, 0.02, 0.3, 1.0))


def uplink_slow(stage: Stage) -> None:
    """The same with a store outside that takes its time to say thanks, and no pause between objects."""
    _copy_between(stage, "uplink", (stage.service(), stage.far_service(OUTSIDE, 0.2, 1.2)), (0.0, 0.02))


def uplink_thanked(stage: Stage) -> None:
    """The same, its requests alike, and the thanks longer than these."""
    _copy_between(stage, "thanked", (stage.service(), stage.far_service(OUTSIDE, 0.2, 1.2)), (0.0, 0.02))


def batch_slow(stage: Stage) -> None:
    """Prompts and answers as below, from and to a service that takes its time."""
    between = stage.service(0.02, 0.5), stage.far_service(OUTSIDE, 0.2, 1.2)
    _copy_between(stage, "batch", between, (0.0, 0.02))


def batch(stage: Stage) -> None:
    """Prompts from outside to a local model server by HTTP, word for word, and the answers back."""
    between = stage.service(0.2, 0.8), stage.far_service(OUTSIDE, *_SOON)
    _copy_between(stage, "batch", between, (0.0, 0.02, 0.5))


def batch_quick(stage: Stage) -> None:
    """The same with a model that answers at once."""
    _copy(stage, "batch", (0.0, 0.1, 0.6))


def batch_waits(stage: Stage) -> None:
    """The same, whose queue answers only once it has a prompt (long polls)."""
    between = stage.service(0.05, 0.5), stage.far_service(OUTSIDE, 0.1, 1.5)
    _copy_between(stage, "batch", between, (0.0, 0.02))


def batch_fresh(stage: Stage) -> None:
    """The same with a connection for each request, on both sides."""
    between = stage.service(0.02, 0.5), stage.far_service(OUTSIDE, *_SOON)
    _copy_between(stage, "batch", between, (0.0, 0.1, 0.5), "fresh")


def batch_late(stage: Stage) -> None:
    """The same from a queue that has tasks at once and takes its time to thank for results."""
    _copy_between(stage, "batch", (stage.service(0.02, 0.5), stage.far_queue(0.5, 2.5)), (0.0, 0.02))


def batch_later(stage: Stage) -> None:
    """The same, and more time."""
    _copy_between(stage, "batch", (stage.service(0.02, 0.5), stage.far_queue(2.0, 5.0)), (0.0, 0.02))


def batch_late_lean(stage: Stage) -> None:
    """The same by a binary protocol, in which a request and its thanks are some 50 bytes each."""
    _copy_between(stage, "lean", (stage.service(0.02, 0.5), stage.far_queue(0.5, 2.5)), (0.0, 0.02))


def batch_late_web(stage: Stage) -> None:
    """The same by a Python web client, whose heads are longer than its servers' and sent apart."""
    _copy_between(stage, "web", (stage.service(0.02, 0.5), stage.far_queue(0.5, 2.5)), (0.0, 0.02))


def batch_late_fresh(stage: Stage) -> None:
    """The same whose local service is asked by a new connection each time."""
    between = stage.service(0.02, 0.5), stage.far_queue(0.5, 2.5)
    _copy_between(stage, "batch", between, (0.0, 0.02), "fresh_near")


def polled(stage: Stage) -> None:
    """A tunnel that polls by HTTP: built as the workers are, so that it is for a person to look at."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    stage.far(*stage.program("polled.py"), "far", str(up), str(door))
    stage.job_later(*stage.program("polled.py"), "job", OUTSIDE, str(up), str(inner), stage.seed)
    stage.use_outside("127.0.0.1", door)


SITUATIONS = (
    *(
        Situation(build, NONE)
        for build in (
            mirror,
            mirror_slow,
            etl,
            cachewarm,
            uplink,
            uplink_slow,
            uplink_thanked,
            batch,
            batch_slow,
            batch_quick,
            batch_waits,
            batch_fresh,
            batch_late,
            batch_later,
            batch_late_web,
            batch_late_lean,
            batch_late_fresh,
        )
    ),
    Situation(polled, REVIEW),
)
