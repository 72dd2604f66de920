"""Packet filters: what is asked of which kernel, and what of a rule counts."""

import os
import struct
from pathlib import Path

import pytest

from slurm_guard.hooks import firewall
from slurm_guard.hooks.firewall import read_firewall, split_rule
from slurm_guard.hooks.netdump import attributes


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _rule(handle: int, packets: int, port: int = 22, chain: bytes = b"input\0") -> bytes:
    count = _attribute(1, bytes(8)) + _attribute(2, packets.to_bytes(8, "big"))
    counter = _attribute(1, b"counter\0") + _attribute(0x8002, count)
    compare = _attribute(1, b"cmp\0") + _attribute(0x8002, _attribute(3, port.to_bytes(2, "big")))
    said = _attribute(0x8004, _attribute(0x8001, compare) + _attribute(0x8001, counter))
    head = _attribute(1, b"filter\0") + _attribute(2, chain) + _attribute(3, handle.to_bytes(8, "big"))
    return bytes([1, 0, 0, handle % 256]) + head + said


def test_handle_generation_and_counts_of_a_rule_do_not_count_and_what_it_says_does() -> None:
    assert split_rule(_rule(4, 0)) == split_rule(_rule(9, 77))
    assert split_rule(_rule(4, 0)) != split_rule(_rule(4, 0, port=23))
    assert split_rule(_rule(4, 0))[0] != split_rule(_rule(4, 0, chain=b"output\0"))[0]


@pytest.mark.parametrize(
    "body", [b"\1\0\0\0" + _attribute(2, b"x\0"), b"\1\0\0\0" + struct.pack("=HH", 0, 1)]
)
def test_a_rule_out_of_form_is_an_error_and_no_loop(body: bytes) -> None:
    with pytest.raises(OSError, match="out of form"):
        split_rule(body)


@pytest.mark.parametrize("data", [b"", b"\1", b"\0\0\0\0", b"\3\0\1\0x", b"\xff\xff\1\0ab"])
def test_attributes_out_of_form_end_the_list(data: bytes) -> None:
    assert len(attributes(data, 0)) <= 1


def test_a_kernel_that_has_not_loaded_nf_tables_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "modules").write_text("nf_tables_set 1 0 - Live 0x0\nveth 2 0 - Live 0x0\n")
    (tmp_path / "net/ip_tables_names").write_text("filter\nnat\n")
    monkeypatch.setattr(firewall, "walk", _never)

    told = read_firewall(str(tmp_path), str(tmp_path / "lib"))

    assert told["firewall"] == (None, [], [], 0, 0, ["ip filter", "ip nat"])
    assert told["why"] == {"nf_tables": "not loaded"}


def _never(*_: object) -> None:
    raise AssertionError("the kernel was asked")


@pytest.mark.parametrize("modules", ["nf_tables 1 0 - Live 0x0\n", None, "veth 2 0 - Live 0x0\n"])
def test_a_kernel_that_has_it_loaded_or_built_in_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules: str | None
) -> None:
    if modules is not None:
        (tmp_path / "modules").write_text(modules)
    release = tmp_path / "lib" / os.uname().release
    release.mkdir(parents=True)
    (release / "modules.builtin").write_text("kernel/net/netfilter/nf_tables.ko\n")
    monkeypatch.setattr(firewall, "walk", _refuse)

    told = read_firewall(str(tmp_path), str(tmp_path / "lib"))

    assert told["firewall"].chains == []
    assert (told["firewall"].n_chains, told["why"]["firewall"]) == (None, "Operation not permitted")


def _refuse(*_: object) -> None:
    raise OSError(1, "Operation not permitted")
