"""One line to syslog."""

import socket
from pathlib import Path

import pytest

from slurm_guard.hooks.settings import Settings, parse_settings
from slurm_guard.hooks.trace import MAX_LINE, format_line, plain, send_trace


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "é😀", "\udcff", "<0>x", "x" * 10_000, "\r\0"])
def test_line_is_one_printable_bounded_line(text: str) -> None:
    line = format_line("prolog", text).decode("ascii")

    assert line.isprintable()
    assert line.startswith("<28>")
    assert len(line) < MAX_LINE + 100


def test_words_arrive_unchanged() -> None:
    assert plain("tickets x.json not written: No space left on device").endswith("left on device")


def test_nobody_there_is_false_and_no_error(tmp_path: Path) -> None:
    for address in (str(tmp_path / "none"), str(tmp_path), "x" * 500, "a\0b"):
        assert send_trace("prolog", "text", address) is False


def test_full_log_does_not_block(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(path)
        sent = [send_trace("prolog", "text", path) for _ in range(2000)]

    assert sent[0] is True
    assert sent[-1] is False


def test_settings_are_words_and_empty_ones_keep_the_default() -> None:
    settings = parse_settings(["run_dir=/r", "config=", "lib=/a=b"])

    assert settings == Settings(run_dir="/r", lib="/a=b")


@pytest.mark.parametrize("word", ["run_dir", "", "=x"])
def test_a_word_that_is_no_setting_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="no setting"):
        parse_settings([word])


def test_a_setting_that_the_shim_of_another_release_names_is_passed_over() -> None:
    assert parse_settings(["next_release=1", "run_dir=/r", "_fields=x"]) == Settings(run_dir="/r")
