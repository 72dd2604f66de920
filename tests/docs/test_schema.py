"""The published schemas are what the code says, and what comes out keeps to them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from slurm_guard import document
from slurm_guard.model import Audit
from slurm_guard.report import nights_data
from slurm_guard.report.narrow import parse_narrow
from slurm_guard.report.nights import Nights, read_parts
from slurm_guard.report.own import only_uid, uids_of
from tests.unit.report import builders, hostile
from tools import genschema

jsonschema = pytest.importorskip("jsonschema")
AUDIT, NIGHTS = f"audit-{document.FORMAT}.schema.json", f"nights-{nights_data.FORMAT}.schema.json"


MINE = uids_of(builders.night())[0]


def _validator(name: str) -> Any:
    schema = json.loads((genschema.FOLDER / name).read_text(encoding="utf-8"))
    kind = jsonschema.Draft202012Validator
    kind.check_schema(schema)
    return kind(schema)


def _wrong(name: str, text: str) -> list[str]:
    return [f"{e.json_path}: {e.message[:120]}" for e in _validator(name).iter_errors(json.loads(text))]


@pytest.mark.parametrize("name", sorted(genschema.SCHEMAS))
def test_a_schema_is_true(name: str) -> None:
    assert genschema.is_true(name), "run python -m tools.genschema"


@pytest.mark.parametrize(
    "audit",
    [builders.night(), builders.empty_night(), hostile.night("\x1b[31m"), only_uid(builders.night(), MINE)],
    ids=["night", "empty", "hostile", "own"],
)
def test_a_document_keeps_to_the_schema(audit: Audit) -> None:
    assert _wrong(AUDIT, document.to_json(audit)) == []


def test_an_older_document_of_the_same_format_does_too() -> None:
    data = json.loads(document.to_json(builders.night()))
    del data["site"]
    for judgement in data["judgements"]:
        for name in ("explained", "left", "again", "p_value"):
            del judgement[name]

    assert _wrong(AUDIT, json.dumps(data)) == []
    assert document.from_json(json.dumps(data)).site is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(format=document.FORMAT + 1),
        lambda d: d.update(kind="another"),
        lambda d: d.pop("judgements"),
        lambda d: d["judgements"][0].update(verdict="GUILTY"),
        lambda d: d["judgements"][0]["run"].update(n_gpus="8"),
        lambda d: d["judgements"][0]["unexplained"].update(lo_gpu_ms=None),
        lambda d: d["judgements"][0]["findings"][0]["evidence"][0].pop("unit"),
        lambda d: d["nodes"][0].update(n_gpus=1.5),
    ],
)
def test_what_the_reader_refuses_the_schema_refuses(spoil: Any) -> None:
    data = json.loads(document.to_json(builders.night()))
    spoil(data)

    assert _wrong(AUDIT, json.dumps(data)) != []
    with pytest.raises(Exception, match="document-"):
        document.from_json(json.dumps(data))


def test_several_nights_keep_to_theirs() -> None:
    night = builders.night()
    found = Nights("2026-09-20", parse_narrow(verdicts=["alert"]), missing=["2026-09-21"])
    found.failed.append(("2026-09-20", "document-syntax: no"))
    parts = read_parts(["2026-09-22", "2026-09-23"], found, lambda day: replace(night, cluster=day))

    text = "".join(nights_data.json_parts(parts, found))

    assert _wrong(NIGHTS, text) == []
    inner = json.loads(text)["nights"]
    assert [document.from_json(json.dumps(one["audit"])).cluster for one in inner] == [
        "2026-09-22",
        "2026-09-23",
    ]
    assert _wrong(NIGHTS, text.replace('"n_runs":', '"runs":')) != []
