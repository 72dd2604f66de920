"""Numbers under `time` that are no dates."""

import json
import random

import pytest

from slurm_guard.progress.csvlog import CsvReader
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.values import to_instant, to_known_instant
from tests.unit.progress.logs import all_series

N = 600
UNITS = {"ms": 1e3, "us": 1e6, "ns": 1e9}


def _claims(form: str, times: list[int]) -> list[Claim]:
    if form == "csv":
        reader = CsvReader()
        body = "step,loss,time\n" + "".join(f"{n},0.3,{at}\n" for n, at in enumerate(times, 1))
        reader.feed(body.encode(), 0)
        return reader.finish().series[0].claims
    lines = [
        json.dumps({"step": n, "loss": 0.3, "time": at})
        if form == "json"
        else f"step={n} loss=0.3 timestamp={at}"
        for n, at in enumerate(times, 1)
    ]
    return all_series("\n".join(lines) + "\n")[0].claims


@pytest.mark.parametrize("form", ["json", "text", "csv"])
@pytest.mark.parametrize("unit", UNITS.values())
@pytest.mark.parametrize("middle_s", [0.02, 0.4, 1.8, 40.0, 1_800.0])
def test_a_steps_length_is_no_date_whatever_its_unit(form: str, unit: float, middle_s: float) -> None:
    rng = random.Random(5)
    lengths = [int(middle_s * unit * rng.uniform(0.97, 1.03)) for _ in range(N)]

    claims = _claims(form, lengths)

    assert [claim.step for claim in claims] == list(range(1, N + 1))
    assert {claim.at for claim in claims} == {None}


@pytest.mark.parametrize("form", ["json", "text", "csv"])
@pytest.mark.parametrize("unit", UNITS.values())
@pytest.mark.parametrize("every_s", [0.2, 3.2, 60.0])
def test_what_passed_since_the_begin_is_no_date_whatever_its_unit(
    form: str, unit: float, every_s: float
) -> None:
    claims = _claims(form, [int(every_s * n * unit) for n in range(1, N + 1)])

    assert [claim.step for claim in claims] == list(range(1, N + 1))
    assert {claim.at for claim in claims} == {None}


@pytest.mark.parametrize("form", ["json", "text", "csv"])
@pytest.mark.parametrize("unit", [1.0, *UNITS.values()])
@pytest.mark.parametrize("every_s", [0.2, 30.0, 7_200.0])
def test_dates_of_any_unit_are_read_across_a_pause_and_from_several_writers(
    form: str, unit: float, every_s: float
) -> None:
    """Records of four ranks some seconds apart, and a second part three weeks later."""
    begin = 1_795_000_000.0
    at = [begin + every_s * n + (1.5 if n % 4 else 0) + (1_814_400 if n > N // 2 else 0) for n in range(N)]

    claims = _claims(form, [round(one * unit) for one in at])

    assert [claim.at for claim in claims] == pytest.approx(at, abs=0.5)


def test_a_field_for_instants_alone_may_tell_of_any_day_of_this_century() -> None:
    assert to_instant(1_541_635_591) is None  # 2018, or 1.5 s in ns
    assert to_known_instant(1_541_635_591_000) == 1_541_635_591
    assert to_instant(4_000_000_000) is None
