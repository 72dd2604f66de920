"""`slurm-guard declare`: what is printed can be pasted, what is wrong is told with what was meant."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from slurm_guard.cli import app as cli
from slurm_guard.cli.claimwords import nearest, problems_of
from slurm_guard.cli.sbatchline import quote_word, split_words
from slurm_guard.declaration import MAX_FIELD, fold, read_lines
from slurm_guard.errors import GuardError
from slurm_guard.intent import parse_intent

RUN = CliRunner()
cli._register()


def _declare(*words: str) -> list[str]:
    done = RUN.invoke(cli.app, ["declare", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout.splitlines()


@pytest.mark.parametrize("progress", ["logs/m.jsonl", "my logs/it's; here", '"quoted"', "ä=1"])
def test_each_of_the_three_ways_declares_the_same(progress: str) -> None:
    lines = _declare(
        "--kind", "pretrain", "--target", "steps:20k", "--egress", "none", "--progress", progress
    )

    (sbatch,) = [split_words(line.removeprefix("#SBATCH")) for line in lines if line.startswith("#SBATCH ")]
    script = "\n".join(line for line in lines if line.startswith("#GUARD")).encode()
    command = shlex.split(lines[-1])[0]
    folded = fold(None, None, script)
    for text in (
        folded.comment or "",
        command.removeprefix("--comment="),
        sbatch[0].removeprefix("--comment="),
    ):
        intent = parse_intent(text, None)
        assert intent.problems == ()
        assert (intent.kind, intent.target) == ("pretrain", ("steps", 20_000.0))
        assert (intent.egress, intent.progress) == ((), progress)


def test_without_an_option_nothing_is_asked_and_an_example_is_shown() -> None:
    assert _declare()[0].startswith("Say what the job is for")


def test_extra_is_named_where_it_is_asked_for() -> None:
    assert "#SBATCH --extra=guard:kind=sft" in _declare("--kind", "sft", "--in", "extra")


def test_a_word_that_nearly_is_a_known_kind_is_told_and_not_changed() -> None:
    lines = _declare("--kind", "pretain")

    assert "pretrain" in lines[0]
    assert "#GUARD kind=pretain" in lines


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("target", "20000", "steps:20000"),
        ("target", "1,000,000 token", "tokens:1000000"),
        ("target", "2.5e12 tokens", "tokens:2.5e12"),
        ("target", "epoch=3", "epochs:3"),
        ("target", "stpes:20K", "steps:20k"),
        ("target", "lots", None),
        ("kind", "pre train", "pretrain"),
        ("kind", "two/words", "two-words"),
        ("kind", "7", None),
        ("budget", "400 GPU hours", "400"),
        ("budget", "1,200h", "1200"),
        ("egress", "https://s3.example.org:443/bucket, 10.0.0.0/8", "s3.example.org:443,10.0.0.0/8"),
        ("egress", "http://x", "x"),
        ("egress", "none,foo", None),
        ("egress", "a:70000", None),
        ("egress", "10.0.0.0/40", None),
        ("egress", "300.1.2.3", None),
        ("progress", "a\x07b", "ab"),
    ],
)
def test_what_is_wrong_is_told_with_the_nearest_that_is_right(
    key: str, value: str, meant: str | None
) -> None:
    with pytest.raises(GuardError) as caught:
        RUN.invoke(cli.app, ["declare", f"--{key}", value], catch_exceptions=False)

    assert (caught.value.slug, caught.value.exit_code) == ("intent-wrong", 2)
    assert nearest(key, value) == meant
    if meant is not None:
        assert shlex.quote(meant) in caught.value.hint
        assert problems_of(key, meant) == []


def test_what_slurm_would_not_keep_is_refused() -> None:
    with pytest.raises(GuardError) as caught:
        RUN.invoke(cli.app, ["declare", "--progress", "x" * 1020], catch_exceptions=False)

    assert caught.value.slug == "intent-long"


def _check(path: Path, text: str, rc: int = 0) -> tuple[str, str]:
    path.write_text(text, "utf-8")
    done = RUN.invoke(cli.app, ["declare", "--check", str(path)], catch_exceptions=False)
    assert done.exit_code == rc
    return done.stdout, done.stderr


def test_a_script_is_told_what_the_cluster_would_record_of_it(tmp_path: Path) -> None:
    options = "#SBATCH --gres=gpu:1 --comment='my note' # why\n"
    text = f"#!/bin/sh\n{options}#GUARD kind=sft\n#GUARD target=steps:2k\ntrue\n"

    out, err = _check(tmp_path / "job.sh", text)

    assert out.splitlines() == [
        "comment: my note guard:kind=sft;target=steps:2k", "  kind: sft", "  target: 2,000 steps"
    ]  # fmt: skip
    assert "2 #GUARD lines count where" in err


def test_a_script_is_told_what_nobody_would_read_and_what_was_meant(tmp_path: Path) -> None:
    text = "#!/bin/sh\n#GUARD taget=20000\n#GUARD kind=a b\nsleep 1\n#GUARD budget=5\n"

    _, err = _check(tmp_path / "job.sh", text, 1)

    for words in (
        "line 2: no claim is called 'taget'", "line 2: did you mean #GUARD target=steps:20000?",
        "line 3: kind: must be one word", "line 3: did you mean #GUARD kind=a-b?",
        "line 5: below the first command",
    ):  # fmt: skip
        assert words in err


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("# GUARD kind=sft", "#GUARD kind=sft?"),
        ("#GUARD:kind=sft", "#GUARD kind=sft?"),
        ("#GUARD: kind=sft", "#GUARD kind=sft?"),
        ("#guard kind=sft", "#GUARD kind=sft?"),
        ("##GUARD kind: sft", "#GUARD kind=sft?"),
        ("  #GUARD taget=steps:5", "#GUARD target=steps:5?"),
        ("#GUARDkind=\x1b[31m", "'#GUARD kind=\\x1b[31m'?"),
    ],
)
def test_a_line_that_is_nearly_one_of_ours_is_told(tmp_path: Path, line: str, meant: str) -> None:
    _, above = _check(tmp_path / "job.sh", f"#!/bin/sh\n{line}\ntrue\n", 1)
    _, below = _check(tmp_path / "job.sh", f"#!/bin/sh\ntrue\n{line}\n", 1)

    assert f"warning: line 2: nobody reads it; did you mean {meant}" in above
    assert f"line 3: nobody reads it; did you mean {meant.rstrip('?')} above the first command?" in below


@pytest.mark.parametrize(
    "line", ["# Guard against OOM", "# guard threshold = 5", "# guard: see the wiki: x", "#SBATCH -J guard"]
)
def test_other_comments_are_nobodys_lines(tmp_path: Path, line: str) -> None:
    _check(tmp_path / "job.sh", f"#!/bin/sh\n{line}\ntrue\n")


@pytest.mark.parametrize(
    "places", ["none", "a", "a.b-c.org:443", "*.x.org", "10.0.0.0/8:443", "[::1]:5", "fd00::/8", "3com.com"]
)
def test_every_form_of_a_destination_is_taken(places: str) -> None:
    assert problems_of("egress", places) == []


def test_a_script_is_told_of_destinations_that_no_connection_can_have(tmp_path: Path) -> None:
    _, line = _check(tmp_path / "job.sh", "#!/bin/sh\n#GUARD egress=http://x,y\ntrue\n", 1)
    _, option = _check(tmp_path / "job.sh", "#!/bin/sh\n#SBATCH --comment=guard:egress=none,y\ntrue\n", 1)

    assert "warning: egress: 'http://x' is no host, host:port or network" in line
    assert "warning: egress: none stands alone, or not at all" in option


def test_a_comment_is_shown_without_what_a_terminal_obeys(tmp_path: Path) -> None:
    out, _ = _check(tmp_path / "job.sh", "#!/bin/sh\n#SBATCH --comment='a\x1b[31mb' --extra guard:kind=x\n")

    assert "\x1b" not in out
    assert "extra: guard:kind=x" in out


@pytest.mark.parametrize("name", [".", "none", "fifo"])
def test_what_is_no_file_is_said(tmp_path: Path, name: str) -> None:
    import os

    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(GuardError) as caught:
        RUN.invoke(cli.app, ["declare", "--check", str(tmp_path / name)], catch_exceptions=False)

    assert caught.value.slug == "script-unreadable"


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        (None, "guard:kind=a"),
        ("my note", "my note guard:kind=a"),
        ("guard:budget=5 more", "guard:budget=5;kind=a more"),
        ("guard:kind=z", "guard:kind=z"),
        ('{"team":"nlp"}', '{"guard":{"kind":"a"},"team":"nlp"}'),
        ('note guard={"budget":5}', 'note guard={"kind":"a","budget":5}'),
        ("x" * 1020, "x" * 1020),
        ('guard={"broken', 'guard={"broken'),
    ],
)
def test_folding_takes_nothing_of_what_stood_there(comment: str | None, expected: str) -> None:
    folded = fold(comment, None, b"#GUARD kind=a\n")

    assert folded.comment == expected
    assert len(expected) <= MAX_FIELD
    assert bool(folded.problems) == (comment in ("x" * 1020, 'guard={"broken'))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (" --comment='a b' -n1 # why", ["--comment=a b", "-n1"]),
        (r" --comment='it\'s' x\ y", ["--comment=it's", "x y"]),
        (' "a\'b"#c', ["a'b"]),
        (r" 'a\\b'", [r"a\b"]),
        ("", []),
    ],
)
def test_an_sbatch_line_is_read_as_sbatch_reads_it(line: str, words: list[str]) -> None:
    assert split_words(line) == words


@given(st.text(st.characters(blacklist_characters="\0\n"), min_size=1))
def test_a_quoted_word_comes_back_as_it_was(text: str) -> None:
    assert split_words(quote_word(text)) == [text]


def test_lines_are_read_above_the_first_command_alone() -> None:
    assert read_lines(b"#!/bin/sh\n\n# x\n#GUARD kind=a\ntrue\n#GUARD budget=1\n") == ({"kind": "a"}, [])


def test_declare_loads_nothing_heavy() -> None:
    code = (
        "import sys, json\nfrom slurm_guard.cli import app\napp._register()\n"
        "try: app.app(['declare', '--kind', 'sft'])\nexcept SystemExit: pass\n"
        "print(json.dumps([m for m in ('polars', 'jinja2', 'slurm_guard.config') if m in sys.modules]))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout.splitlines()[-1]) == []
