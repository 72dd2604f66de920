"""GPUs in TRES strings."""

import pytest

from slurm_guard.slurm.tres import Gpus, count_gpus


def test_typed_and_untyped_names_of_the_same_gpus_are_not_added() -> None:
    assert count_gpus("billing=2,cpu=2,gres/gpu:h100=2,gres/gpu=2,node=1") == Gpus(2, "h100", ())


def test_typed_gpus_count_where_the_untyped_name_is_missing() -> None:
    assert count_gpus("cpu=2,gres/gpu:a100=3,gres/gpu:h100=1") == Gpus(4, "a100+h100", ())


def test_untyped_gpus_have_no_type() -> None:
    assert count_gpus("cpu=32,gres/gpu=1,mem=128G") == Gpus(1, None, ())


def test_a_run_without_gpus_has_none() -> None:
    assert count_gpus("cpu=6,mem=10000M,node=1") == Gpus(0, None, ())
    assert count_gpus("") == Gpus(0, None, ())


def test_parts_of_gpus_are_named_and_not_counted() -> None:
    assert count_gpus("cpu=1,gres/shard=3,gres/mps:a100=50") == Gpus(
        0, None, ("gres/mps:a100=50", "gres/shard=3")
    )


@pytest.mark.parametrize(
    "text", ["gres/gpu", "gres/gpu=", "gres/gpu=-1", "gres/gpu=1.5", "=3", "gres/gpu=9999999"]
)
def test_what_is_no_count_is_an_error_and_not_zero(text: str) -> None:
    with pytest.raises(ValueError):
        count_gpus(text)
