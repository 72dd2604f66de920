"""The metrics as a collector reads them: by a parser of its own, after the format's documentation."""

import re
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.sampler.textfile import Metric, render
from tests.unit.sampler.fakes import Node

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})\{{(.*)\}} (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(,|$)')


def parse(text: str) -> tuple[Samples, dict[str, str]]:
    """(samples, kind by metric). Fails on whatever the format does not allow."""
    samples: Samples = {}
    kinds: dict[str, str] = {}
    helped: set[str] = set()
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in helped
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helped
            assert name not in kinds
            kinds[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            assert match[1] in kinds
            key = (match[1], tuple(_labels(match[2])))
            assert key not in samples
            samples[key] = float(match[3])
    return samples, kinds


def _labels(text: str) -> Iterable[tuple[str, str]]:
    place = 0
    while place < len(text):
        match = LABEL.match(text, place)
        assert match is not None, text[place:]
        plain = re.sub(r"\\(.)", lambda m: {"n": "\n", '"': '"', "\\": "\\"}[m[1]], match[2])
        yield match[1], plain
        place = match.end()


@given(st.text(st.characters(codec="utf-8")), st.integers() | st.floats(allow_nan=False))
def test_a_label_comes_back_as_it_was(value: str, number: float) -> None:
    """Law: parse(render(x)) == x for every text a label may hold."""
    text = render(
        [Metric("m_total", "counter", "Help\nof \\ two.", [({"name": value}, number)])], {"node": value}
    )

    samples, kinds = parse(text)

    assert samples == {("m_total", (("node", value), ("name", value))): float(number)}
    assert kinds == {"m_total": "counter"}


def test_the_file_says_how_the_sampler_is(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "guard_n1.prom"
    path.parent.mkdir()
    node = Node(tmp_path, window_s=10, textfile=str(tmp_path / "metrics" / "guard_%n.prom"))
    node.ticket(7, 1000, [1])
    node.turn(62)

    samples, kinds = parse(path.read_text())

    def value(metric: str, **labels: str) -> float:
        return samples[(f"slurm_guard_{metric}", (("node", "n1"), *labels.items()))]

    assert (value("up"), value("off"), value("runs"), value("gpus")) == (1, 0, 1, 2)
    assert value("windows_total") > 0
    assert value("events_total", name="sampler-started") == 1
    assert value("truncated", table="processes") == 0
    assert value("last_tick_seconds") > 1e9
    assert min(value(name) for name in ("spool_bytes", "rss_bytes", "cpu_seconds_total")) > 0
    assert (value("dropped_total"), value("nvml_hung_total")) == (0, 0)
    assert all(("_total" in name) == (kind == "counter") for name, kind in kinds.items())
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_no_job_and_no_user_stands_in_it(tmp_path: Path) -> None:
    path = tmp_path / "guard.prom"
    node = Node(tmp_path, textfile=str(path))
    node.ticket(778899, 54321, [1])
    node.turn(30)

    text = path.read_text()

    assert "778899" not in text
    assert "54321" not in text


def test_goodbye_is_up_zero(tmp_path: Path) -> None:
    path = tmp_path / "guard.prom"
    node = Node(tmp_path, textfile=str(path))
    node.turn(2)

    node.loop.stop("SIGTERM")

    samples, _ = parse(path.read_text())
    assert samples["slurm_guard_up", (("node", "n1"),)] == 0


def test_an_absent_folder_is_counted_and_not_made(tmp_path: Path) -> None:
    node = Node(tmp_path, textfile=str(tmp_path / "none" / "guard.prom"))

    node.turn(31)

    (told,) = [part.tell() for part in node.loop.parts if type(part).__name__ == "Textfile"]
    assert told["n_failed"] == 3
    assert not (tmp_path / "none").exists()
    assert node.events("sampler-error") == []


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    node = Node(tmp_path)

    node.turn(31)

    assert list(tmp_path.rglob("*.prom")) == []
