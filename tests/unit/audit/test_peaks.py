"""Boards by the names that NVML gives them; what is not known stays unknown."""

import pytest

from slurm_guard.audit.peaks import FASTEST, peak_of

T = 1e12


@pytest.mark.parametrize(
    ("name", "dense", "most"),
    [
        ("Tesla V100-SXM2-32GB", 125, 130),
        ("Tesla V100S-PCIE-32GB", 125, 130),
        ("Tesla T4", 65, 260),
        ("A100-SXM4-40GB", 312, 1248),
        ("NVIDIA A100 80GB PCIe", 312, 1248),
        ("NVIDIA A800-SXM4-80GB", 312, 1248),
        ("NVIDIA A10", 125, 500),
        ("NVIDIA A10G", None, None),
        ("NVIDIA A30", 165, 661),
        ("NVIDIA A40", 150, 599),
        ("NVIDIA RTX A6000", 155, 619),
        ("NVIDIA GeForce RTX 3090", 142, 569),
        ("NVIDIA GeForce RTX 4090", 330, 1321),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None, None),
        ("NVIDIA GeForce RTX 5090", 419, 3352),
        ("NVIDIA RTX 6000 Ada Generation", 364, 1457),
        ("Quadro RTX 6000", 130, 522),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 504, 4000),
        ("NVIDIA L4", 121, 485),
        ("NVIDIA L40", 181, 724),
        ("NVIDIA L40S", 362, 1466),
        ("NVIDIA H100 80GB HBM3", 989, 3958),
        ("NVIDIA H100 PCIe", 756, 3026),
        ("NVIDIA H100 NVL", 835, 3341),
        ("NVIDIA H800", 989, 3958),
        ("NVIDIA H200", 989, 3958),
        ("NVIDIA H200 NVL", 836, 3341),
        ("NVIDIA H20", 148, 592),
        ("NVIDIA GH200 480GB", 990, 3958),
        ("NVIDIA B200", 2250, 18_000),
        ("NVIDIA GB200", 2500, 20_000),
        ("NVIDIA B300 SXM6 AC", 2250, 18_000),
        ("NVIDIA GB300", 2500, 20_000),
        ("GRID A100-40C", None, None),
        ("NVIDIA A100-40C", None, None),
        ("AMD Instinct MI300X", None, None),
        ("unknown", None, None),
        ("", None, None),
    ],
)
def test_a_board_is_known_by_its_name_or_not_at_all(name: str, dense: int | None, most: int | None) -> None:
    found = peak_of(name)

    if dense is None or most is None:
        assert found is None
    else:
        assert found is not None
        assert (found.dense, found.most) == (dense * T, most * T)


def test_nothing_is_faster_than_the_fastest() -> None:
    assert FASTEST == 20_000 * T


@pytest.mark.parametrize(
    ("name", "profile", "share"),
    [
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "1g.5gb", 2 / 7),
        ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", "3g.40gb", 4 / 7),
        ("NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb", "1c.3g.40gb", 4 / 7),
        ("NVIDIA H100 80GB HBM3 MIG 7g.80gb", "7g.80gb", 1.0),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", "1g.10gb+me", 2 / 7),
        ("NVIDIA A30 MIG 2g.12gb", "2g.12gb", 0.5),
    ],
)
def test_an_instance_has_at_most_its_slices_and_one_more(name: str, profile: str, share: float) -> None:
    whole, part = peak_of(name.partition(" MIG ")[0]), peak_of(name, profile)

    assert whole is not None
    assert part is not None
    assert part.most == pytest.approx(whole.most * share)


def test_the_sms_that_an_h100_gives_its_instances_are_within_that() -> None:
    board = peak_of("NVIDIA H100 80GB HBM3")
    assert board is not None

    for profile, n_sm in {"1g.10gb": 16, "1g.20gb": 26, "2g.20gb": 32, "3g.40gb": 60, "4g.40gb": 64}.items():
        part = peak_of("NVIDIA H100 80GB HBM3", profile)

        assert part is not None
        assert part.most >= board.most * n_sm / 132


def test_an_instance_of_unknown_profile_is_not_known() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3", "unknown profile") is None
