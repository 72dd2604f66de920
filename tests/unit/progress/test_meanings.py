"""Every flag and problem that a person may see has a sentence."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard.audit import neighbours, sharedlogs
from slurm_guard.progress.meanings import FLAGS, PROBLEMS, meaning_of, slug_of
from slurm_guard.progress.parser_child import _FLAGS

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "slurm_guard" / "progress").glob("*.py"))
SLUG = re.compile(r"([a-z]+(?:-[a-z]+)*): ?\S*")
COUNTED = re.compile(r'(?:_count\(|problems\[)\s*(?:f?"([a-z-]+)[":{])(?: if [^()]* else "([a-z-]+)")?')
# Begin alike and are none: what files say of themselves, what the command prints, names of rows and versions.
NO_PROBLEMS = {"names-job", "names-host", "progress", "wandb", "keywords", "eval"}


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
            yield str(node.values[0].value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _slugs() -> set[str]:
    found: set[str] = set()
    for path in FILES:
        if path.name == "meanings.py":
            continue
        source = path.read_text(encoding="utf-8")
        found.update(match[1] for text in _texts(ast.parse(source)) if (match := SLUG.match(text)))
        found.update(slug for match in COUNTED.finditer(source) for slug in match.groups() if slug)
    return found - NO_PROBLEMS


def test_every_problem_that_a_reader_can_tell_has_a_sentence() -> None:
    found = _slugs()

    assert len(found) > 50
    assert {slug for slug in found if meaning_of(slug) is None} == set()
    assert {"rewritten", "unreadable-mycode"} & {
        s for s in ("rewritten", "unreadable-mycode") if meaning_of(s)
    }


def test_no_sentence_stands_for_a_problem_that_nobody_tells() -> None:
    audit = {slug_of(neighbours.PROBLEM), slug_of(sharedlogs.PROBLEM)}

    assert audit <= set(PROBLEMS)
    assert set(PROBLEMS) - audit - _slugs() == set()


def test_flags_are_those_of_the_documentation_and_of_the_code() -> None:
    page = (ROOT / "docs" / "progress.md").read_text(encoding="utf-8")
    table = page.partition("| flag | meaning |")[2].partition("\n\n")[0]
    documented = set(re.findall(r"`([a-z-]+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:])))
    bracket = (ROOT / "slurm_guard" / "progress" / "bracket.py").read_text(encoding="utf-8")
    given = set(re.findall(r'"([a-z]+(?:-[a-z]+)?)"', bracket)) & {*FLAGS}

    assert documented == set(FLAGS)
    assert given | _FLAGS == set(FLAGS)


def test_the_documentation_lists_every_problem() -> None:
    page = (ROOT / "docs" / "progress.md").read_text(encoding="utf-8")

    assert {slug for slug in PROBLEMS if f"`{slug}`" not in page} == set()


@pytest.mark.parametrize(("slug", "sentence"), [*FLAGS.items(), *PROBLEMS.items()])
def test_a_sentence_is_short_plain_and_says_what_to_do(slug: str, sentence: str) -> None:
    """What it means, then what to do: behind a colon or a semicolon."""
    assert 30 < len(sentence) < 160
    assert sentence[0].islower()
    assert not sentence.endswith(".")
    assert re.search(r"[:;] ", sentence), slug
    assert not re.search(r"suspicious|cheat|fraud|forge|abuse|waste", sentence)
