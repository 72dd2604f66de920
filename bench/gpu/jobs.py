"""The jobs of a recorded night: what each runs, what its owner declares, and which other work it hides."""

from typing import NamedTuple


class Job(NamedTuple):
    """One job of the night, in words of work.py. `beside`: a second process of it, from a third of the time
    on; {unit} is the unit's time alone, in ms."""

    name: str
    words: list[str]
    beside: list[str] | None = None
    task: str = "pretrain"

    @property
    def unit(self) -> str | None:
        """Kind of the other work; null: there is none."""
        for words in (self.beside or [], self.words):
            if "--extra-kind" in words:
                return words[words.index("--extra-kind") + 1]
        return None


def make_jobs(name: str, seconds: float) -> list[Job]:
    """The set of that name, in the order of the night: `seconds` of each from its first step on."""
    return {"first": _first, "second": _second}[name](seconds)


def _beside(seconds: float, duty: float, kind: str) -> list[str]:
    words = ["neighbour", "--duty", str(duty), "--unit-ms", "{" + kind + "}", "--extra-kind", kind]
    return [*words, "--seconds", str(seconds - seconds / 3)]


def _inside(seconds: float, share: float, kind: str) -> list[str]:
    return ["--extra", str(share), "--extra-after", str(seconds / 2), "--extra-kind", kind]


def _first(seconds: float) -> list[Job]:
    """What the audit's first real night had; the check `no-arithmetic` was made from it."""
    s = str(seconds)
    train = ["train", "--seconds", s]
    return [
        Job("honest", train),
        Job("honest-trainer", ["trainer", "--seconds", s, "--folder", "{home}/hf"]),
        Job("cotenant-10", train, _beside(seconds, 0.10, "hashing")),
        Job("cotenant-25", train, _beside(seconds, 0.25, "hashing")),
        Job("cotenant-50", train, _beside(seconds, 0.5, "products")),
        Job("in-process-25", [*train, *_inside(seconds, 0.25, "hashing")]),
        Job("printer-busy", ["printer", "--seconds", s, "--extra-kind", "hashing"]),
        Job("honest-stalls", [*train, "--stall", "0.4", "--batch", "4"]),
    ]


def _second(seconds: float) -> list[Job]:
    """What the first had not: other numbers, shapes and phases of honest work; other work that is bound by
    memory or is a training itself. The likeliest to be cut off come last."""
    s, short = str(seconds), str(0.75 * seconds)
    train = ["train", "--seconds", s]
    small = ["--batch", "1", "--width", "512", "--layers", "6", "--length", "256", "--every", "50"]
    return [
        Job("honest-fp32", [*train, "--dtype", "float32", "--batch", "2", "--every", "5"]),
        Job("cotenant-25-memory", train, _beside(seconds, 0.25, "gathers")),
        Job("in-process-30-memory", [*train, *_inside(seconds, 0.30, "gathers")]),
        Job("honest-rl", ["rollouts", "--seconds", s, "--batch", "16", "--length", "256"], task="rl"),
        Job("cotenant-30-training", train, _beside(seconds, 0.30, "updates")),
        Job("printer-products", ["printer", "--seconds", short, "--extra-kind", "products"]),
        Job("honest-evaluates", [*train, "--evaluate", "12"]),
        Job("printer-memory", ["printer", "--seconds", short, "--extra-kind", "gathers"]),
        Job("honest-small", [*train, *small]),
    ]
