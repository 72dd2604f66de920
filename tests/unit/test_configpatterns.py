"""Which of a site's patterns are refused, and in which words."""

from pathlib import Path

import pytest

from slurm_guard.config import load_config, to_toml
from slurm_guard.configpatterns import MAX_PATTERNS, hard_lines, is_slow, split_pattern, wrong_patterns
from slurm_guard.errors import GuardError

GOOD = r"mycode: ^cycle\s+(?P<step>\d+) of (?P<total>\d+)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"^cycle (?P<step>\d+)", "no `name: expression`"),
        (r"My Code: (?P<step>\d+)", "no `name: expression`"),
        (r"x: (?P<step>\d+)", "no `name: expression`"),
        ("mycode: " + "a" * 600, "at most 500 characters"),
        (r"mycode: cycle (?P<step>\d+", "'mycode' does not compile: missing )"),
        (r"mycode: cycle (?P<step>\d{1,99999999999})", "'mycode' does not compile: "),
        (r"mycode: cycle (\d+)", "'mycode' has no counter: name a group step, samples or tokens"),
        (r"mycode: cycle (?P<loss>\d+)", "'mycode' has no counter"),
        (r"mycode: cycle (?P<steps>\d+)", "has a group 'steps'; known are step, samples, tokens, total"),
    ],
)
def test_a_pattern_that_is_none_is_refused_in_words(text: str, words: str) -> None:
    assert words in wrong_patterns([text])


@pytest.mark.slow
@pytest.mark.parametrize(
    "regex",
    [
        r"(?P<step>\d+)+x$",
        r"(x+x+)+y(?P<step>\d+)",
        r"^(\w+\s?)+:(?P<step>\d+)$",
        r".*step.*?(?P<step>\d+).*?of.*?(?P<total>\d+).*?done",
        r"cycle.*(?P<step>\d+).*of.*(?P<total>\d+).*loss",
        r"(?P<step>\d+)\s*,\s*(?P<samples>\d+)\s*;",
        r"(cycle )*(cycle )*(cycle )*(?P<step>\d+)!",
        r"(?:a|a)*b(?P<step>\d)",
    ],
)
def test_a_pattern_that_backtracks_is_found_out(regex: str) -> None:
    assert "is slow: a line of 4096 characters" in wrong_patterns([f"mycode: {regex}"])


@pytest.mark.parametrize(
    "regex",
    [
        r"^cycle\s+(?P<step>\d+) of (?P<total>\d+)",
        r"^\[(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] sweep (?P<step>\d{1,12})\b",
        r"MD step *= *(?P<step>\d+), E *= *(?P<loss>[-+.\dEe]+)",
        r"^ *NSTEP = *(?P<step>\d+) +TIME\(PS\) = *[\d.]+",
        r"processed (?P<samples>[\d,]+) (?:images|frames)",
    ],
)
def test_an_honest_pattern_passes(regex: str) -> None:
    assert wrong_patterns([f"mycode: {regex}"]) == ""


def test_names_are_unique_and_the_list_is_bounded() -> None:
    assert wrong_patterns([GOOD, GOOD]) == "'mycode' comes twice"
    assert "at most 32" in wrong_patterns([GOOD] * (MAX_PATTERNS + 1))


def test_every_hard_line_has_the_length_that_readers_look_at() -> None:
    assert {len(line) for line in hard_lines(GOOD)} == {4096}


def test_a_trial_that_fails_for_any_reason_counts_as_slow() -> None:
    assert is_slow("(")


def test_a_name_may_be_followed_by_any_expression() -> None:
    assert split_pattern(r"ab: a: b") == ("ab", "a: b")


def test_the_configuration_refuses_a_slow_pattern_and_keeps_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_text("[progress]\npatterns = ['bad: (?P<step>[0-9]+)+x$']\n")
    with pytest.raises(GuardError) as refused:
        load_config(path)
    path.write_text(f"[progress]\npatterns = ['{GOOD}']\n")

    config = load_config(path)

    assert refused.value.slug == "config-value"
    assert "progress.patterns 'bad' is slow" in refused.value.sentence
    assert config.progress.patterns == [GOOD]
    path.write_text(to_toml(config))
    assert load_config(path) == config


@pytest.mark.slow
@pytest.mark.parametrize(
    "regex", [r"^(?:[p-z]+)+!(?P<step>\d+)", r"^my (?:[%;]+)+!(?P<step>\d+)", r"^(?:[\]~]+)+!(?P<step>\d+)"]
)
def test_a_pattern_that_is_slow_on_its_own_classes_alone_is_refused(regex: str) -> None:
    assert "is slow" in wrong_patterns([f"mycode: {regex}"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "regex",
    [
        r"^(?:(?:ab)+c?)+!(?P<step>\d+)",
        r"^(?i:(?:xy)+z?)+!(?P<step>\d+)",
        r"^(?:\x7e+)+#(?P<step>\d+)",
        r"^(?:\u007e+)+#(?P<step>\d+)",
        r"^(?:\176+)+#(?P<step>\d+)",
        r"^(?:\N{TILDE}+)+#(?P<step>\d+)",
        r"^(?:[\x7e]+)+#(?P<step>\d+)",
        r"(?x) ^ (?: ~ + )+ \# (?P<step>\d+)  # sweeps",
    ],
)
def test_words_behind_a_groups_sign_and_escaped_characters_are_tried(regex: str) -> None:
    assert "is slow" in wrong_patterns([f"mycode: {regex}"])


def test_an_escape_that_stands_for_no_character_stays_what_it_is() -> None:
    for regex in (
        r"\\x41(?P<step>\d)",
        r"\N{NO SUCH NAME}(?P<step>\d)",
        r"\U00110000",
        r"\0",
        "(?x) [",
        "\\",
    ):
        assert {len(line) for line in hard_lines(regex)} == {4096}

    lines = list(hard_lines(r"\\x41(?P<step>\d)"))
    assert any(line.startswith("x41x41") for line in lines)


BEHIND = [
    (r"^\[INFO\] solver: (?:\w+\s*)+=(?P<step>\d+)", "[INFO] solver: "),
    (r"^\[(?:a+)+\] (?P<step>\d+)", "["),
    (r"^x(?:(?:foo)+)+ (?P<step>\d+)", "x"),
    (r"^(?:\*+)+ (?P<step>\d+)", "*"),
    (r"^(?:\$+)+%(?P<step>\d+)", "$"),
    (r"(?i)^\(STEP\)\.(?:[^=]+)+=(?P<step>\d+)", "(STEP)."),
    (r"^(?:ab|cd)\+(?:q|qq)+!(?P<step>\d+)", "cd+q"),
    (r"^(a)\1(?:\.+)+ (?P<step>\d+)", "aa."),
    (r"^at (?P<step>\d{4})(?=(?:-+)+$)", "at 0000-"),
    (r"(?x)^ \[ (?: (?:\#)+ )+ \] (?P<step>\d+)  # a comment", "[#"),
]


@pytest.mark.parametrize(("regex", "begin"), BEHIND)
def test_a_line_leads_into_a_repetition_behind_whatever_stands_before_it(regex: str, begin: str) -> None:
    assert any(line.startswith(begin) and line.count(line[len(begin)]) > 900 for line in hard_lines(regex))


@pytest.mark.slow
@pytest.mark.parametrize("regex", [regex for regex, _ in BEHIND])
def test_a_repetition_that_backtracks_is_found_wherever_it_stands(regex: str) -> None:
    assert is_slow(regex)


@pytest.mark.parametrize(
    "regex",
    [
        r"^(?:\w+ )+step (?P<step>\d+)",
        r"^iter\s*\[(?P<step>\d+)/(?P<total>\d+)\].*?loss[:=]\s*(?P<loss>[\d.]+)",
        r"^\[(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] sweep (?P<step>\d+) residual (?P<loss>\S+)",
        r"(?P<step>\d{1,12}) of (?P<total>\d{1,12}) done",
    ],
)
def test_a_repetition_that_ends_in_one_way_alone_passes(regex: str) -> None:
    assert not is_slow(regex)
