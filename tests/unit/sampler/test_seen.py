"""What is kept of a window's readings says what the readings said."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.sampler.reading import GpuReading, silence
from slurm_guard.sampler.seen import Seen

_NUMBER = st.none() | st.integers(0, 10_000_000)
_WHYS = st.dictionaries(st.sampled_from(["power_mw", "temp_c"]), st.sampled_from("ab"), max_size=2)


@st.composite
def _readings(draw: st.DrawFn) -> list[GpuReading]:
    """In time order; some share the reasons of the one before, as the NVML process's do."""
    found: list[GpuReading] = []
    for place in range(draw(st.integers(0, 20))):
        fields: dict[str, Any] = {
            name: draw(_NUMBER)
            for name in ("power_mw", "power_inst_mw", "sm_clock_mhz", "mem_used_mib", "temp_c", "throttle")
        }
        fields["util_pct"] = draw(st.none() | st.floats(0, 100))
        why = draw(_WHYS)
        same = draw(st.integers(0, 1)) == 1
        shared = found[-1].why if found and same else why
        found.append(silence(1000.0 + place, place + 0.1, "")._replace(why=shared, **fields))
    return found


@given(_readings())
def test_each_answer_is_that_of_the_whole_readings(readings: list[GpuReading]) -> None:
    seen = Seen()

    for reading in readings:
        seen.add(reading)

    assert seen.n == len(readings)
    assert seen.looks() == [(r.mono_s, r.power_mw, r.util_pct) for r in readings]
    assert seen.why == {key: text for reading in readings for key, text in reading.why.items()}
    for name in ("power_mw", "power_inst_mw", "sm_clock_mhz"):
        known = [getattr(r, name) for r in readings if getattr(r, name) is not None]
        assert seen.mean(name) == (round(sum(known) / len(known)) if known else None)
    for name in ("mem_used_mib", "temp_c"):
        assert seen.most(name) == max(
            (getattr(r, name) for r in readings if getattr(r, name) is not None), default=None
        )
    bits = [r.throttle for r in readings if r.throttle is not None]
    assert (seen.throttle is None) == (not bits)
    assert all((seen.throttle or 0) & part == part for part in bits)
