"""Answers: whatever stands in them, only readings of known nodes come out."""

import json
from typing import Any

import pytest

from slurm_guard.prometheus.answer import BadAnswer, Names, read_holders, read_values
from slurm_guard.prometheus.dialects import VALUES

UTIL = next(m for m in VALUES if m.name == "DCGM_FI_DEV_GPU_UTIL")
ENERGY = next(m for m in VALUES if m.field == "energy")
NAMES = Names(frozenset({"n1", "gpu2.example.org"}))
SPAN = (0.0, 3600.0)
LABELS = {"Hostname": "n1", "UUID": "GPU-1", "gpu": "3", "modelName": "H100", "hpc_job": "17"}


def _body(*series: Any, **more: Any) -> bytes:
    data = {"resultType": "matrix", "result": list(series)}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def _one(values: list[Any], **labels: str) -> bytes:
    return _body({"metric": LABELS | labels, "values": values})


def test_a_reading_comes_in_its_column_s_unit() -> None:
    (series,) = read_values(_one([[30.0, "50"]]), UTIL, NAMES, SPAN, "hpc_job").series

    assert series[:6] == ("n1", "GPU-1", "\n" * 4, "17", 3, "H100")
    assert (list(series.at), list(series.value)) == ([30.0], [0.5])


@pytest.mark.parametrize(
    "text",
    ["NaN", "+Inf", "-Inf", "-1", "101", "1e999", "", "x", "9" * 50, "0x10", "140737488355328", "2147483632"],
)
def test_what_is_no_reading_is_left_out_and_counted(text: str) -> None:
    answer = read_values(_one([[30.0, text], [60.0, "7"]]), UTIL, NAMES, SPAN)

    assert [list(s.value) for s in answer.series] == [[pytest.approx(0.07)]]
    assert sum(answer.left_out.values()) == 1


@pytest.mark.parametrize("text", ["140737488355328", "140737488355344", "9223372036854775792", "-1"])
def test_dcgm_s_blanks_are_no_counter(text: str) -> None:
    assert not read_values(_one([[30.0, text]]), ENERGY, NAMES, SPAN).series[0].value


@pytest.mark.parametrize(
    "row",
    [
        [30.0],
        [30.0, 5],
        ["30", "5"],
        {"a": 1},
        None,
        [1e999, "5"],
        [None, "5"],
        [True, "5"],
        [-5, "5"],
        [4000, "5"],
    ],
)
def test_a_reading_of_another_shape_or_time_is_left_out(row: Any) -> None:
    answer = read_values(_one([row, [60.0, "7"]]), UTIL, NAMES, SPAN)

    assert [list(s.at) for s in answer.series] == [[60.0]]
    assert sum(answer.left_out.values()) == 1


@pytest.mark.parametrize(
    "name",
    ["", "n1\n", "../n1", "n1\x00", "n9", "<b>n1</b>", "N1", "n1 ", "n1,n2", "gpu2.other.org", "n" * 5000],
)
def test_no_label_makes_up_a_node(name: str) -> None:
    answer = read_values(_one([[30.0, "5"]], Hostname=name), UTIL, NAMES, SPAN)

    assert answer.series == []
    assert answer.left_out == {"series of nodes that had no run with GPUs": 1}


@pytest.mark.parametrize(
    ("label", "text", "node"),
    [("Hostname", "n1", "n1"), ("Hostname", "n1.example.org", "n1"), ("instance", "n1:9400", "n1"),
     ("instance", "gpu2.example.org:9445", "gpu2.example.org"), ("hostname", "n1.a.b:1", "n1")],
)  # fmt: skip
def test_ports_and_domains_are_no_part_of_a_node_s_name(label: str, text: str, node: str) -> None:
    body = _body({"metric": {label: text, "uuid": "GPU-1"}, "values": [[30.0, "5"]]})

    assert [s.node for s in read_values(body, UTIL, NAMES, SPAN).series] == [node]


def test_the_admin_s_label_alone_counts_where_one_is_named() -> None:
    names = Names(NAMES.nodes, "kubernetes_node")

    assert read_values(_one([[30.0, "5"]]), UTIL, names, SPAN).series == []
    assert read_values(_one([[30.0, "5"]], Hostname="pod-7", kubernetes_node="n1"), UTIL, names, SPAN).series


def test_instances_of_mig_are_no_boards() -> None:
    for labels in ({"GPU_I_ID": "3"}, {"UUID": "MIG-1"}):
        answer = read_values(_one([[30.0, "5"]], **labels), UTIL, NAMES, SPAN)

        assert answer.series == []
        assert answer.split_nodes == {"n1"}


@pytest.mark.parametrize("uuid", ["", "GPU 1", "GPU-1\n", "=cmd", "é" * 4, "x" * 65])
def test_what_is_no_name_of_a_gpu_is_left_out(uuid: str) -> None:
    assert read_values(_one([[30.0, "5"]], UUID=uuid), UTIL, NAMES, SPAN).series == []


def test_a_model_s_name_is_plain_and_short() -> None:
    body = _one([[30.0, "5"]], modelName="H100\x1b[31m\u202e<b>" + "x" * 200, gpu="-1", hpc_job="1;2")
    (series,) = read_values(body, UTIL, NAMES, SPAN, "hpc_job").series

    assert series.model == ("H100[31m<b>" + "x" * 200)[:64]
    assert (series.board, series.job) == (None, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"status":"error"}', b'{"status":"success"}',
     b'{"status":"success","data":{"resultType":"vector","result":[]}}',
     b'{"status":"success","data":{"resultType":"matrix","result":{}}}', _one([[30.0, "5"]])[:-9]],
)  # fmt: skip
def test_bytes_that_are_no_answer_are_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_values(body, UTIL, NAMES, SPAN)


def test_series_of_another_shape_are_left_out() -> None:
    body = _body(
        None,
        [],
        {"metric": 5, "values": []},
        {"metric": {}, "values": "x"},
        {"metric": {"a": 1}, "values": []},
    )

    assert read_values(body, UTIL, NAMES, SPAN).series == []


def test_the_server_s_warnings_are_kept_short() -> None:
    answer = read_values(_body(warnings=["partial " * 100, 5]), UTIL, NAMES, SPAN)

    assert [len(said) for said in answer.warnings] == [200, 1]
    assert read_values(_body(warnings="all"), UTIL, NAMES, SPAN).warnings == []


def test_jobstats_says_whose_a_gpu_is_by_value_and_ceems_by_label() -> None:
    by_value = read_holders(
        _one([[30.0, "34792230"], [60.0, "0"], [90.0, "1.5"], [120.0, "-1"]]), "", NAMES, SPAN
    )
    by_label = read_holders(_one([[30.0, "1"], [60.0, "0"]], uuid="77"), "uuid", NAMES, SPAN)

    assert list(by_value.series[0].value) == [34792230.0, 0.0]
    assert (list(by_label.series[0].at), list(by_label.series[0].value)) == ([30.0], [77.0])


@pytest.mark.parametrize("uuid", ["", "018ce2fe-b3f9-632a", "7 7", "12345678901", "s1234"])
def test_a_holder_that_is_no_job_s_number_is_none(uuid: str) -> None:
    assert read_holders(_one([[30.0, "1"]], uuid=uuid), "uuid", NAMES, SPAN).series == []
