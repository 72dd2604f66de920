"""Which open files are looked at, and where Slurm's patterns point."""

import time

import pytest

from slurm_guard.sampler.paths import (
    KNOWN,
    OTHER,
    SUFFIX,
    FdInfo,
    JobNames,
    expand,
    is_file_link,
    matcher,
    parse_fdinfo,
    rank,
)

NAMES = JobNames(44, "ann", "n1.cluster", "/home/ann")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/events.out.tfevents.1700000000.n1.50", KNOWN),
        ("/a/run-x.wandb", KNOWN),
        ("/a/checkpoint-5/trainer_state.json", KNOWN),
        ("/a/metrics.csv", KNOWN),
        ("/a/slurm-44.out", KNOWN),
        ("/a/whatever.log", SUFFIX),
        ("/a/out.TXT", SUFFIX),
        ("/a/model.safetensors", OTHER),
    ],
)
def test_a_name_says_how_likely_a_file_shows_progress(path: str, expected: int) -> None:
    assert rank(path) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("slurm-%j.out", "/home/ann/slurm-44.out"),
        ("/x/%u/%N-%8j.log", "/x/ann/n1-00000044.log"),
        ("/x/100%%.log", "/x/100%.log"),
        ("/x/%x-%j.log", None),
        ("/x/%A_%a.log", None),
        ("", None),
        (None, None),
    ],
)
def test_a_pattern_is_expanded_as_far_as_the_node_knows(pattern: str | None, expected: str | None) -> None:
    assert expand(pattern, NAMES) == expected


def test_an_unknown_field_still_recognises_the_open_file() -> None:
    pattern = matcher("/x/%x-%A_%a.log", NAMES)

    assert pattern is not None
    assert pattern.fits("/x/my-job-7_3.log")
    assert pattern.fits("/x/my-job-7_3.log.log")
    assert not pattern.fits("/x/y/my-job-7_3.log")
    assert not pattern.fits("/x/my-job-7-3.log")


def test_a_hostile_pattern_costs_nothing() -> None:
    begun = time.process_time()

    for text in ("%x" * 500, "%x-" * 4 + "a" * 3000, "%99j" * 100):
        found = matcher(text, NAMES)
        if found is not None:
            found.fits("/home/ann/" + "a-" * 2000)

    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/a/b", True),
        ("/a/b (deleted)", False),
        ("socket:[5]", False),
        ("pipe:[5]", False),
        ("/dev/nvidia0", False),
        ("/memfd:x", False),
        (None, False),
    ],
)
def test_only_named_files_are_looked_at(link: str | None, expected: bool) -> None:
    assert is_file_link(link) is expected


def test_fdinfo_says_who_writes() -> None:
    assert parse_fdinfo("pos:\t10\nflags:\t0100001\nmnt_id:\t5\nino:\t9\n") == FdInfo(True, 10, 5, 9)
    assert parse_fdinfo("pos:\t10\nflags:\t0100000\n") == FdInfo(False, 10, 0, 0)
    assert parse_fdinfo("garbage") is None
