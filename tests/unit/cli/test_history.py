"""The history store between nights: simulated nights through the real stages, and what a rerun changes."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.audit.check import SPEAKS
from slurm_guard.cli.audit import audit
from slurm_guard.cli.collect import collect
from slurm_guard.document import from_json
from slurm_guard.model import Audit, Judgement, Verdict
from slurm_guard.simulate import night as nights
from slurm_guard.simulate.cast import Cast
from slurm_guard.simulate.logs import GuardFile
from slurm_guard.simulate.program import Place, Recipe, Side, Stage
from slurm_guard.simulate.scene import Job, Truth
from tests.shapes import SHAPES
from tests.unit.cli.test_audit import SINCE, UNTIL, _lake, _sacct

PLACES: tuple[Place, ...] = (("gpu01", 0), ("gpu06", 0), ("gpu11", 0))
LONG_H = 1.6  # of the stories: 48 minutes
USUAL = Recipe(3.0, 0.006)
LONGER = Recipe(6.2, 0.006, tokens_per_step=2 * USUAL.tokens_per_step, mem_mib=58_000)


def _run(cast: Cast, place: Place, recipe: Recipe, diverted: float = 0.0) -> None:
    """One run of the same program; all of a name have the same kernels."""
    job = cast.add("pretrain", (place,), (0.1, LONG_H), Truth("", not diverted, (), ""))
    ranks = cast.ranks(job, "pretrain.py --config base.yaml")
    sides = (Side((place,), ranks, "hash", diverted, 0.0, math.inf),) if diverted else ()
    logs = [("progress.jsonl", "guard", GuardFile(every=5), 0, math.inf)]
    cast.program(
        job, [Stage("compile", 150.0, demand=0.35, says="init"), Stage("train")], recipe, logs, sides
    )


def _usual(seed: int) -> list[Job]:
    cast = Cast(seed)
    for place in PLACES:
        _run(cast, place, USUAL)
    return cast.jobs


def _third(seed: int) -> list[Job]:
    cast = Cast(seed)
    _run(cast, PLACES[0], USUAL)
    _run(cast, PLACES[1], USUAL, diverted=1 / 3)
    _run(cast, PLACES[2], LONGER)
    return cast.jobs


class Site:
    """A lake with its nights. `judge` audits one of them as the command line does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nights: list[nights.Night] = []

    def live(self, cast: Callable[[int], list[Job]], patch: pytest.MonkeyPatch) -> None:
        """One more night of these jobs, a day after the one before, and its collection."""
        k = len(self.nights)
        patch.setattr(nights, "build_cast", cast)
        patch.setattr(nights, "BEGIN_AT", 1_760_472_000.0 + 86_400.0 * k)
        self.nights.append(nights.simulate(self.folder / f"night{k}", 5, workers=1))
        collect(config=self._settings(k))

    def judge(self, k: int, *, history: Path | None = None) -> str:
        """The text of night `k`'s document."""
        night, out = self.nights[k], self.folder / f"night{k}.json"
        audit(
            since=str(night.from_at),
            until=str(night.until_at),
            sacct_file=night.sacct,
            output=out,
            config=self._settings(k),
            history=history,
            remember=True,
        )
        return out.read_text("utf-8")

    @property
    def store(self) -> dict[str, bytes]:
        """Every file of the history, by name."""
        home = self.folder / "lake" / "history"
        return {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.rglob("*.parquet"))}

    def _settings(self, k: int) -> Path:
        path = self.folder / f"guard{k}.toml"
        lake, spools = json.dumps(str(self.folder / "lake")), json.dumps([str(self.nights[k].spool)])
        path.write_text(f"[lake]\npath = {lake}\nspools = {spools}\n[audit]\nleast_gpu_h = 0.05\n")
        return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three nights, collected; the first two audited in order."""
    made = Site(tmp_path_factory.mktemp("site"))
    with pytest.MonkeyPatch.context() as patch:
        for cast in (_usual, _usual, _third):
            made.live(cast, patch)
    made.judge(0)
    made.judge(1)
    yield made
    for night in made.nights:
        shutil.rmtree(night.home, ignore_errors=True)


def _of(audit: Audit) -> list[Judgement]:
    """Tonight's runs: as ever, diverted, with longer sequences."""
    return sorted(audit.judgements, key=lambda j: j.run.job_id)


def _found(judgement: Judgement) -> list[tuple[str, bool]]:
    """(check, whether it speaks against the run). The simulator draws the losses of jobs of one name from one
    seed, so that they are the same in each run, as deterministic kernels make them."""
    return [(f.check, f.weight >= SPEAKS) for f in judgement.findings]


def test_work_in_the_process_from_the_first_step_on_is_seen_beside_earlier_nights(site: Site) -> None:
    usual, diverted, longer = _of(from_json(site.judge(2)))

    assert _found(usual) == [("losses-seen-before", False)]
    assert usual.verdict is Verdict.CLEAR
    assert usual.cost.source == "own-and-peers"
    assert diverted.verdict is Verdict.REVIEW
    assert _found(diverted) == [("dearer-than-peers", True)]
    truth = {one["job_id"]: one for one in json.loads(site.nights[2].truth.read_text())}
    held = truth[diverted.run.job_id]["diverted_s"] * 1000
    assert diverted.unexplained.lo_gpu_ms <= held <= diverted.unexplained.hi_gpu_ms
    assert diverted.unexplained.lo_gpu_ms > 0.5 * held
    assert longer.verdict in (Verdict.CLEAR, Verdict.NOTE)
    assert longer.unexplained.lo_gpu_ms == 0


def test_without_history_the_same_run_is_its_own_yardstick(site: Site, tmp_path: Path) -> None:
    _, diverted, _ = _of(from_json(site.judge(2, history=tmp_path)))

    assert diverted.verdict is Verdict.CLEAR
    assert diverted.cost.source == "own-cheapest"
    assert diverted.cost.comparison is None


def test_a_night_audited_again_gives_the_same_bytes_and_knows_nothing_of_itself_or_later(site: Site) -> None:
    third = site.judge(2)
    second = site.judge(1)
    before = site.store

    assert site.judge(1) == second
    assert site.judge(2) == third
    assert site.store == before
    told = from_json(second).settings["history"]
    assert isinstance(told, dict)
    assert told["nights"] == 1
    assert told["ground_rows"] == len(PLACES)
    assert told["trace_rows"] == len(PLACES)
    assert {name.split("/")[1] for name in before} == {"costs", "grounds", "traces"}


def _honest(tmp_path: Path, **options: Any) -> Path:
    """An audit of one honest run with these options; the lake's folder."""
    lake = _lake(tmp_path, SHAPES["honest"])
    out = tmp_path / "audit.json"
    audit(SINCE, UNTIL, _sacct(tmp_path), lake, out, **{"remember": True, **options})
    return lake


def test_what_was_learnt_lies_in_the_lakes_folder_unless_another_is_named(tmp_path: Path) -> None:
    lake = _honest(tmp_path)
    other = tmp_path / "elsewhere"
    audit(SINCE, UNTIL, _sacct(tmp_path), lake, tmp_path / "audit.json", history=other, remember=True)

    one, two = (sorted(folder.rglob("*.parquet")) for folder in (lake / "history", other))
    assert [path.name for path in one] == [path.name for path in two] != []
    assert one[0].read_bytes() == two[0].read_bytes()


@pytest.mark.parametrize("how", ["option", "configuration"])
def test_the_store_can_be_left_alone(tmp_path: Path, how: str) -> None:
    off = tmp_path / "guard.toml"
    off.write_text("[lake]\nhistory_days = 0\n")

    lake = _honest(tmp_path, **({"remember": False} if how == "option" else {"config": off}))

    assert not (lake / "history").exists()


def test_a_document_that_is_written_elsewhere_is_a_trial_and_teaches_nothing(tmp_path: Path) -> None:
    lake = _honest(tmp_path, remember=None)

    assert not (lake / "history").exists()


def test_a_store_that_cannot_be_written_costs_a_line_and_not_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    _honest(tmp_path, history=tmp_path / "file" / "store")

    assert "later audits will not know this night" in capsys.readouterr().err
    assert from_json((tmp_path / "audit.json").read_text("utf-8")).judgements


def test_a_store_that_cannot_be_read_is_a_skip(tmp_path: Path) -> None:
    store = tmp_path / "store"
    folder = store / "v1" / "costs" / "date=2026-05-01"
    folder.mkdir(parents=True)
    until_ms = int(float(SINCE) * 1000) - 86_400_000
    (folder / f"c.{until_ms - 1000}-{until_ms}.parquet").write_text("no parquet")

    _honest(tmp_path, history=store)

    done = from_json((tmp_path / "audit.json").read_text("utf-8"))
    assert [skip.reason for skip in done.skips] == ["history-file-unreadable"]
