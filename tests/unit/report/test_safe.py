"""Cleaning, fitting and guarding of text."""

import pytest

from slurm_guard.report import safe


def test_a_plain_text_in_any_script_stays_as_it_is() -> None:
    for text in ("llama-ft", "Überprüfung 2", "学習ジョブ", "día 3 – ok", "θ ± 2 %"):
        assert safe.clean(text) == text


def test_what_steers_is_shown_as_an_escape() -> None:
    assert safe.clean("a\x1b[31m\r\n\u202eb\x00") == "a\\x1b[31m\\x0d\\x0a\\u202eb\\x00"


def test_characters_that_show_nothing_are_shown_as_escapes_whatever_their_category() -> None:
    unseen = (0x034F, 0x115F, 0x1160, 0x17B4, 0x180B, 0x2800, 0x3164, 0xFE0F, 0xFFA0, 0xE0100, 0x200B, 0xAD)

    for code in unseen:
        shown = safe.clean(f"a{chr(code)}b")

        assert chr(code) not in shown
        assert f"{code:x}" in shown
    assert safe.clean("z" + "\u0335" * 9 + "\ufe0f") == "z" + "\u0335" * 4 + "\\ufe0f"


def test_a_long_text_says_how_much_was_cut() -> None:
    shown = safe.clean("x" * 1000, 100)

    assert shown == "x" * 100 + "… (+900 characters)"


def test_escapes_do_not_make_a_text_longer_than_its_bound() -> None:
    shown = safe.clean("\x1b" * 10_000, 200)

    assert len(shown) < 240
    assert "characters)" in shown


def test_a_shortened_text_ends_between_words_and_says_that_it_goes_on() -> None:
    assert safe.shorten("one two three four", 12) == "one two…"
    assert safe.shorten("x" * 30, 12) == "x" * 12 + "…"
    assert safe.shorten("one two", 12) == "one two"
    assert len(safe.shorten("\x1b" * 500, 40)) <= 41


def test_stacked_marks_are_bounded() -> None:
    assert len(safe.clean("z" + "\u0335" * 500)) == 5


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", " =1", "\u00a0=1", "＝1"])
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert safe.formula_safe(text) == "'" + text


@pytest.mark.parametrize("text", ["", "plain", "a=b", "48112"])
def test_what_is_no_formula_stays(text: str) -> None:
    assert safe.formula_safe(text) == text


@pytest.mark.parametrize("text", ["abc", "漢字漢字漢字", "e\u0301" * 30, ""])
@pytest.mark.parametrize("width", [4, 7, 20])
def test_a_fitted_text_has_exactly_its_width(text: str, width: int) -> None:
    assert safe.display_width(safe.fit(text, width)) == width


def test_null_and_blank_are_a_dash() -> None:
    assert safe.clean_or_dash(None) == safe.clean_or_dash("  ") == "–"
    assert safe.clean_or_dash("0") == "0"
