"""A scan made with real programs is counted for the run that made it, and for no other."""

import json
import subprocess
import sys

import pytest

from bench.scan import _SCANS


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("what", ["answered, 1,000 a second", "no answer, 1,000 a second"])
def test_a_scan_between_two_looks_is_counted_for_its_run(what: str) -> None:
    place = next(k for k, scan in enumerate(_SCANS) if scan.what == what)
    words = ["-m", "bench", "scan", "--json", "--inside", str(place), "--seconds", "11"]
    said = subprocess.run(
        ["unshare", "--net", sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    row = json.loads(said.splitlines()[-1])

    assert row["counted_pct"] > 80
    assert row["wrong"] == 0
    assert row["addresses"] > 0.8 * row["tried"]
    assert row["brief_records"] <= 6
