"""The head reads what nodes of the release before and after wrote; the committed spool is what they write."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slurm_guard import wire
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.ingest import CollectReport, collect
from slurm_guard.lake.places import SpoolFile
from slurm_guard.lake.shapes import BadRecord
from slurm_guard.lake.spoolfile import parse_file
from tests.formats import apart
from tests.formats.lake1 import DOCUMENT, FIXTURE, FROM_AT, UNTIL_AT, Site, copy

# Columns that are made of a file's digest, which another release's bytes do not share.
_OF_BYTES = ("sha256", "prev_sha256", "segments", "n")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The committed spool, and no lake yet."""
    made = copy(tmp_path / "site")
    shutil.rmtree(made.lake)
    return made


def _collected(site: Site) -> tuple[CollectReport, dict[str, pl.DataFrame]]:
    report = collect([site.home / "spool"], site.lake)
    return report, read_frames(site.lake, "", FROM_AT, UNTIL_AT)[0]


def _plain(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    of_bytes = _OF_BYTES if table in ("segments", "seals") else ()
    return frame.select(pl.all().exclude(*of_bytes)) if of_bytes else frame


def test_rows_of_a_later_release_are_those_that_this_one_knows(site: Site) -> None:
    apart.rewrite(site.home / "spool", apart.later, more=True)
    (site.home / "spool" / "gpu11" / "next").mkdir()
    (site.home / "spool" / "gpu11" / "next" / "x.json").write_text("{}")

    report, now = _collected(site)

    was = read_frames(FIXTURE / "lake", "", FROM_AT, UNTIL_AT)[0]
    assert report.refused == ()
    assert [kind for kind, n in report.left_out if n > 20] == list(apart.KINDS)
    assert [name for name in was if not _plain(now[name], name).equals(_plain(was[name], name))] == []


def test_a_later_releases_night_is_audited_to_the_same_document(site: Site) -> None:
    apart.rewrite(site.home / "spool", apart.later, more=True)

    site.run("collect")
    site.audit("--no-remember")

    assert (site.night / "audit.json").read_text("utf-8") == DOCUMENT.read_text("utf-8")


def test_rows_of_an_earlier_release_lack_what_came_later_and_nothing_else(site: Site) -> None:
    apart.rewrite(site.home / "spool", apart.earlier)

    report, now = _collected(site)

    was = read_frames(FIXTURE / "lake", "", FROM_AT, UNTIL_AT)[0]
    assert (report.refused, report.left_out) == ((), ())
    assert {name: (now[name].height, now[name].schema) for name in now if name != "held"} == {
        name: (was[name].height, was[name].schema) for name in was if name != "held"
    }
    late = apart.came_later(wire.Window) | {"n_held"}
    kept = pl.all().exclude(*late)
    assert now["windows"].select(kept).equals(was["windows"].select(kept))
    shown = [
        name for name in now["windows"].columns if now["windows"][name].null_count() < now["windows"].height
    ]
    assert set(shown) & late == set()
    assert now["held"].height == 0


def test_an_earlier_releases_night_is_audited_and_no_check_fails(site: Site) -> None:
    apart.rewrite(site.home / "spool", apart.earlier)

    site.run("collect")
    done = site.audit("--no-remember")

    assert [skip for skip in done["skips"] if skip["reason"] in ("check-failed", "run-failed")] == []
    verdicts = {one["run"]["name"]: one["verdict"] for one in done["judgements"]}
    assert verdicts == {"pretrain": "CLEAR", "agent": "ALERT", "jupyter": "NOTE"}


def _files() -> list[Path]:
    return sorted(path for path in (FIXTURE / "spool" / "n1").rglob("*.json*"))


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.parent.name)
def test_each_field_that_may_be_null_may_be_missing_and_no_other(path: Path, tmp_path: Path) -> None:
    """Field by field; the file holds a record of each of its kinds."""
    file = tmp_path / "n1" / path.parent.name / path.name
    file.parent.mkdir(parents=True)
    for shape, name, may_miss in _fields_in(path):
        shutil.copy(path, file)
        apart.rewrite(tmp_path, _without(shape, name))
        # Without its run a segment is one of the node's own stream, which has another name.
        wanted = "name" if (shape, name) == (wire.SegmentHead, "run") else "" if may_miss else "record-shape"
        assert (shape.__name__, name, _said(file)) == (shape.__name__, name, wanted)


def _said(file: Path) -> str:
    try:
        parse_file(SpoolFile(str(file), "n1", file.parent.name, file.name))
    except BadRecord as bad:
        return bad.slug
    return ""


def _fields_in(path: Path) -> list[tuple[Any, str, bool]]:
    kinds = {json.loads(line)["k"] for line in path.read_text("utf-8").splitlines()}
    found = {}

    def note(_kind: str, shape: Any, fields: apart.Body) -> apart.Body:
        found[shape.__name__] = shape
        return fields

    for line in path.read_text("utf-8").splitlines():
        apart.changed(json.loads(line), note)
    assert kinds
    return [
        (shape, name, name in shape._field_defaults or "None" in str(shape.__annotations__[name]))
        for shape in found.values()
        for name in shape._fields
    ]


def _without(shape: Any, gone: str) -> Callable[[str, Any, apart.Body], apart.Body]:
    def change(_kind: str, of: Any, fields: apart.Body) -> apart.Body:
        return {name: value for name, value in fields.items() if of is not shape or name != gone}

    return change


# Text fields whose words a later release may add to. Of each it says one that this release does not know.
WORDS = {
    "end": ("exit_code",),
    "seal": ("ended_by",),
    "tail": ("reason",),
    "window": ("map", "model", "mig"),
    "process": ("how", "flags"),
    "file": ("how",),
    "flow": ("how", "state", "proto"),
    "brief": ("how",),
    "event": ("name",),
    "log": ("how", "source", "params_from"),
    "point": ("phase", "flags"),
}


def test_words_that_only_a_later_release_knows_stop_no_audit(site: Site) -> None:
    def change(kind: str, _shape: Any, fields: apart.Body) -> apart.Body:
        new = {name: fields[name] for name in WORDS.get(kind, ()) if fields.get(name) is not None}
        return {
            **fields,
            **{name: ["next-word"] if type(was) is list else "next-word" for name, was in new.items()},
        }

    apart.rewrite(site.home / "spool", change)

    said = site.run("collect")
    done = site.audit("--no-remember")

    assert "0 in quarantine" in said
    assert [skip for skip in done["skips"] if skip["reason"] in ("check-failed", "run-failed")] == []
    assert len(done["judgements"]) == 3
    for form in ("text", "html"):
        assert "agent" in site.run("report", "--format", form)
