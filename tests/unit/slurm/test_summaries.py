"""jobstats' summaries: what they say is told, and what only looks like one is refused within bounds."""

import base64
import gzip
import json
import time
import zlib
from typing import Any

import pytest

from slurm_guard.slurm import summaries
from slurm_guard.slurm.rows import format_rows
from slurm_guard.slurm.sacct import runs_of_text
from slurm_guard.slurm.summaries import BadSummary, read_summary
from tests import monitors
from tests.monitors import AT, HOUR


def packed(body: Any) -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return "JS1:" + base64.b64encode(gzip.compress(raw, mtime=0)).decode()


def nodes(**values: Any) -> dict[str, Any]:
    return {
        "gpus": 2,
        "nodes": {"della-l01g2": {"cpus": 12, "used_memory": 5, **values}},
        "total_time": 50944,
    }


def test_a_summary_is_one_sentence() -> None:
    told = nodes(gpu_utilization={"0": 98.6, "1": 0}, gpu_used_memory={"0": 83314868224, "1": 1 << 30})

    assert read_summary(packed(told)) == (
        "a mean GPU utilisation of 49.3 % (0 to 98.6 % on each of 2 GPUs) "
        "and at most 77.6 GiB of a GPU's memory"
    )
    assert read_summary(packed(nodes(gpu_utilization={"1": 7}))) == "a mean GPU utilisation of 7.0 %"


@pytest.mark.parametrize(
    "text", ["", "JS1:", "JS1:Short", "JS1:None", "a word of ours", "js1:AAAA", "JS2:" + "A" * 40]
)
def test_what_says_that_there_is_none_is_none(text: str) -> None:
    assert read_summary(text) is None


def test_a_summary_of_processors_alone_says_nothing_of_gpus() -> None:
    assert read_summary(packed(nodes())) is None


@pytest.mark.parametrize(
    "text",
    ["JS1:" + "!" * 40, "JS1:" + "A" * 41, "JS1:" + "A" * 200_000, packed(b"{"), packed(b"[" * 100_000),
     packed([1]), packed({"nodes": []}), packed({}),
     packed(b"\xff\xfe" * 20), packed(nodes(gpu_utilization={"0": 101})),
     packed(nodes(gpu_utilization={"0": -1})), packed(nodes(gpu_utilization={"0": "5"})),
     packed(nodes(gpu_utilization={"0": True})), packed(b'{"nodes":{"n":{"gpu_utilization":{"0":NaN}}}}'),
     packed(b'{"nodes":{"n":{"gpu_utilization":{"0":1e999}}}}'), packed(nodes())[:-12],
     packed(b'{"nodes":{"n":{"gpu_utilization":{"0":' + b"9" * 5000 + b"}}}}"),
     packed({"nodes": {"n": {"gpu_utilization": {str(k): 1 for k in range(20_000)}}}})],
)  # fmt: skip
def test_what_only_looks_like_one_is_refused(text: str) -> None:
    with pytest.raises(BadSummary):
        read_summary(text)


def test_a_bomb_is_never_unpacked() -> None:
    bomb = zlib.compressobj(9, wbits=31)
    raw = b"".join(bomb.compress(b" " * (1 << 20)) for _ in range(80)) + bomb.flush()
    text = "JS1:" + base64.b64encode(raw).decode()
    assert len(text) < summaries.MOST_TEXT
    began_s = time.process_time()

    with pytest.raises(BadSummary, match="more than a summary"):
        read_summary(text)

    assert time.process_time() - began_s < 1.0


def test_accounting_hands_it_on_and_a_bad_one_is_a_skip() -> None:
    rows = [monitors._row(job, "n1", 0, HOUR, 1) for job in (1, 2, 3)]
    rows[0]["AdminComment"] = packed(nodes(gpu_utilization={"0": 7}))
    rows[1]["AdminComment"] = packed([])

    loaded = runs_of_text(format_rows(rows), "", (AT, AT + HOUR), "sacct-file")

    assert loaded.summaries == {f"c/1/{int(AT)}": "a mean GPU utilisation of 7.0 %"}
    assert [(s.subject, s.reason) for s in loaded.skips] == [(f"c/2/{int(AT)}", "bad-job-summary")]
    assert len(loaded.runs) == 3
