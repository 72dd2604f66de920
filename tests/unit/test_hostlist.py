"""Bracket expressions of host names."""

import pytest

from slurm_guard.hostlist import MAX_HOSTS, expand


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("n1", ("n1",)),
        ("n[1-3]", ("n1", "n2", "n3")),
        ("n[001-003,010]", ("n001", "n002", "n003", "n010")),
        ("n[09-11]", ("n09", "n10", "n11")),
        ("a,b[1-2],c", ("a", "b1", "b2", "c")),
        ("r[1-2]n[0-1]", ("r1n0", "r1n1", "r2n0", "r2n1")),
        (
            "cpn-f13-03-[01-02],cpn-f13-04-[01-02]",
            tuple(f"cpn-f13-{r}-{n}" for r in ("03", "04") for n in ("01", "02")),
        ),
        ("gpu[1-2]-ib", ("gpu1-ib", "gpu2-ib")),
        ("n1,n1", ("n1",)),
        ("None assigned", ()),
        ("", ()),
    ],
)
def test_expressions_expand_in_order(text: str, hosts: tuple[str, ...]) -> None:
    assert expand(text) == hosts


@pytest.mark.parametrize(
    "text",
    [
        "n[1-",
        "n]1[",
        "n[[1]]",
        "n[3-1]",
        "n[a-b]",
        "n[]",
        "n[1-99999999]",
        "n[1-60000]m[1-60000]",
        "n[0-9][0-9][0-9][0-9][0-9][0-9]",
        "a,,b",
        "../../etc",
        "n 1",
        "n\n1",
        "n[1-2" + "0" * 30 + "]",
    ],
)
def test_hostile_text_is_refused_and_costs_nothing(text: str) -> None:
    with pytest.raises(ValueError):
        expand(text)


def test_the_largest_list_expands() -> None:
    assert len(expand(f"n[1-{MAX_HOSTS}]")) == MAX_HOSTS
