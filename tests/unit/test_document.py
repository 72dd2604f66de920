"""The audit document's codec."""

import ast
import gc
import json
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard import document, model
from slurm_guard.errors import GuardError
from slurm_guard.report.archive import read_document
from tests.unit.report import builders


def _audit() -> model.Audit:
    run = model.Run(
        id="c/7/100",
        cluster="c",
        job_id=7,
        job="7",
        user="ann",
        uid=1000,
        account="a",
        partition="gpu",
        qos="normal",
        name="train",
        state="COMPLETED",
        submit_at=None,
        start_at=100.0,
        end_at=None,
        from_at=100.0,
        until_at=160.0,
        suspended_s=0,
        nodes=("n1", "n2"),
        n_gpus=2,
        gpu_type=None,
        comment=None,
        work_dir=None,
        stdout=None,
    )
    evidence = model.Evidence("idle", 1.5, "GPU-h", "windows", "look", "nothing")
    finding = model.Finding(
        "parked",
        run.id,
        model.Family.G,
        model.Severity.LOW,
        0.9,
        1.0,
        False,
        model.Audience.OWNER,
        "It idled.",
        (evidence,),
    )
    judgement = model.Judgement(
        run,
        model.Verdict.NOTE,
        ("parked",),
        "It idled.",
        {"idle": 120_000},
        model.Bounds(0, 0, 1),
        None,
        model.Cost(None, "mJ/step", "energy", "none", None, 0),
        -1.0,
        (finding,),
        model.ProgressSummary((), 0, 0, None, None, None, None, "none"),
        model.Timeline(
            100.0,
            60.0,
            {"idle": [1, None]},
            [None, 0.0],
            [0.0, None],
            [model.TimelineEvent(101.0, None, "run", "start")],
        ),
        100.0,
    )
    return model.Audit("c", 0.0, 200.0, "0.1.0", {"least": 1.0}, (judgement,), (), (), ())


def test_a_document_read_back_is_the_same_audit() -> None:
    audit = _audit()

    text = document.to_json(audit)

    assert document.from_json(text) == audit
    assert document.to_json(document.from_json(text)) == text


def test_zero_and_null_stay_apart() -> None:
    timeline = document.from_json(document.to_json(_audit())).judgements[0].timeline

    assert timeline is not None
    assert timeline.power_w == [None, 0.0]
    assert timeline.accounts["idle"] == [1, None]


def test_a_timeline_that_nobody_watched_is_left_out() -> None:
    audit = _audit()
    (judgement,) = audit.judgements
    blind = model.Timeline(100.0, 60.0, {"idle": [None, None], "unobserved": [7, 7]}, [None] * 2, [None] * 2)
    unseen = replace(audit, judgements=(replace(judgement, timeline=blind),))

    text = document.to_json(unseen)

    assert document.from_json(text).judgements[0].timeline is None
    assert document.to_json(document.from_json(text)) == text


def test_each_run_has_a_line_of_its_own_and_no_blank_in_it() -> None:
    audit = _audit()
    (judgement,) = audit.judgements
    text = document.to_json(replace(audit, judgements=(judgement, judgement)))

    lines = [line.rstrip(",") for line in text.splitlines() if line.startswith('{"run":')]

    assert len(lines) == 2
    assert [json.loads(line)["run"]["id"] for line in lines] == ["c/7/100"] * 2
    assert len(lines[0]) < 0.7 * len(json.dumps(json.loads(lines[0]), indent=2))


@pytest.mark.parametrize("bad", ["1", True, 1.5, {}])
def test_one_wrong_number_in_a_timeline_is_named(bad: object) -> None:
    data = json.loads(document.to_json(_audit()))
    data["judgements"][0]["timeline"]["accounts"]["idle"] = [1, None, bad]

    with pytest.raises(GuardError, match="document-shape") as caught:
        document.from_json(json.dumps(data))

    assert "audit.judgements[0].timeline.accounts.idle[2] must be" in caught.value.sentence


def test_a_document_written_before_the_sites_word_is_read_with_its_defaults() -> None:
    data = json.loads(document.to_json(_audit()))
    del data["site"]
    for name in ("explained", "left", "again", "p_value"):
        del data["judgements"][0][name]

    assert document.from_json(json.dumps(data)) == _audit()


def test_a_field_without_a_default_must_be_there() -> None:
    data = json.loads(document.to_json(_audit()))
    del data["judgements"][0]["score"]

    with pytest.raises(GuardError, match="'score'"):
        document.from_json(json.dumps(data))


def test_a_newer_format_is_refused_by_name() -> None:
    data = json.loads(document.to_json(_audit()))
    data["format"] = document.FORMAT + 1

    with pytest.raises(GuardError) as caught:
        document.from_json(json.dumps(data))

    assert caught.value.slug == "document-newer"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"cluster": 5}, "audit.cluster"),
        ({"judgements": [{}]}, "audit.judgements[0]"),
        ({"from_at": True}, "audit.from_at"),
        ({"skips": {}}, "audit.skips"),
        ({"format": True}, "format must be a whole number"),
        ({"format": "1"}, "format must be a whole number"),
        ({"format": 1.5}, "format must be a whole number"),
    ],
)
def test_a_wrong_shape_names_the_place(change: dict[str, object], where: str) -> None:
    data = {**json.loads(document.to_json(_audit())), **change}

    with pytest.raises(GuardError, match="document-shape") as caught:
        document.from_json(json.dumps(data))

    assert where in caught.value.sentence


@pytest.mark.parametrize(
    ("field", "value"),
    [("unexplained", {"lo_gpu_ms": 2, "mid_gpu_ms": 1, "hi_gpu_ms": 1}), ("ledger_gpu_ms", {"idle": -1})],
)
def test_amounts_that_cannot_be_clear_nobody(field: str, value: object) -> None:
    data = json.loads(document.to_json(_audit()))
    data["judgements"][0][field] = value

    with pytest.raises(GuardError, match="document-shape") as caught:
        document.from_json(json.dumps(data))

    assert "wrong order" in caught.value.sentence


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, "not json"])
def test_what_is_no_document_is_said_plainly(text: str) -> None:
    with pytest.raises(GuardError, match="document-syntax"):
        document.from_json(text)


@pytest.mark.parametrize(
    ("was", "now", "slug"),
    [
        ('"n_gpus":2', f'"n_gpus":1{"0" * 400}', "document-shape"),
        ('"start_at":100.0', '"start_at":1e999', "document-shape"),
        ('"start_at":100.0', '"start_at":NaN', "document-syntax"),
    ],
)
def test_what_no_machine_can_hold_is_refused(was: str, now: str, slug: str) -> None:
    text = document.to_json(_audit())
    assert was in text

    with pytest.raises(GuardError) as caught:
        document.from_json(text.replace(was, now, 1))
    assert caught.value.slug == slug


def test_no_annotation_of_the_model_is_quoted() -> None:
    """Python 3.10 leaves `list["X"]` unresolved, and the codec then cannot read what it wrote."""
    tree = ast.parse(Path(model.__file__).read_text(encoding="utf-8"))
    annotations = [node.annotation for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]

    quoted = [
        ast.unparse(annotation)
        for annotation in annotations
        if any(isinstance(n, ast.Constant) and isinstance(n.value, str) for n in ast.walk(annotation))
    ]

    assert annotations
    assert quoted == []


def test_what_was_read_is_not_looked_through_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    path.write_text(document.to_json(builders.night()))
    before = gc.get_freeze_count()

    read = read_document(path)

    assert gc.get_freeze_count() > before
    assert read == builders.night()


@pytest.mark.parametrize("number", [True, 1 << 64, -(1 << 64), 1.5, "1", None])
def test_a_count_is_a_whole_number_that_a_machine_can_hold(number: object) -> None:
    data = json.loads(document.to_json(builders.night()))
    data["judgements"][0]["run"]["n_gpus"] = number

    with pytest.raises(GuardError, match=r"document-shape: .*n_gpus"):
        document.from_json(json.dumps(data))
