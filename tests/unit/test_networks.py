"""Addresses and networks: what holds what, and what is refused."""

from pathlib import Path

import pytest

from slurm_guard.cli.config import check
from slurm_guard.config import NetworkConfig, load_config
from slurm_guard.configvalues import idle_rules, wide_networks, wrong_text
from slurm_guard.errors import GuardError
from slurm_guard.networks import (
    CLUSTER,
    LOOPBACK,
    OUTSIDE,
    PRIVATE,
    Nearness,
    parse_net,
    parse_place,
    parse_rule,
)


@pytest.mark.parametrize(
    ("net", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.1.2:5", "11.0.0.1:5"),
        ("10.0.0.7", "10.0.0.7:1", "10.0.0.8:1"),
        ("140.82.112.0/20:443", "140.82.113.9:443", "140.82.113.9:22"),
        ("0.0.0.0/0", "1.2.3.4:1", "[2001:db8::1]:1"),
        ("fd00::/8", "[fd12::1]:80", "[fe12::1]:80"),
        ("[2001:db8::/32]:443", "[2001:db8::9]:443", "[2001:db8::9]:80"),
        ("10.0.0.0/8", "[::ffff:10.1.1.1]:9", "[::ffff:11.1.1.1]:9"),
    ],
)
def test_a_network_holds_its_addresses(net: str, inside: str, outside: str) -> None:
    assert parse_net(net).holds(parse_place(inside))
    assert not parse_net(net).holds(parse_place(outside))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.0/33",
        "10.0.0/8",
        "example.org",
        "10.0.0.0/x",
        "10.0.0.0/8:x",
        "10.0.0.0/8:70000",
        "[fd00::/8",
        "fd00::/129",
        "[fd00::/8]443",
        "10.0.0.0/-1",
        "fd00::/8:443:9",
        "\x00",
    ],
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_net(text)


@pytest.mark.parametrize("text", ["", "1.2.3.4", "1.2.3.4:", "::1:80:x", "1.2.3.4:99999", ":80"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_place(text)


def test_nearness_knows_the_node_the_cluster_and_the_rest() -> None:
    near = Nearness(NetworkConfig().cluster)
    assert near.of(parse_place("127.0.0.9:1")) == LOOPBACK
    assert near.of(parse_place("[::1]:1")) == LOOPBACK
    assert near.of(parse_place("10.3.2.1:1")) == CLUSTER
    own = parse_place("10.3.2.1:1")
    assert near.of(own, frozenset({(own.bits, own.address)})) == LOOPBACK
    assert near.of(parse_place("[fe80::1]:1")) == CLUSTER
    assert near.of(parse_place("203.0.113.9:22")) == OUTSIDE
    assert near.of(parse_place("[2001:db8::1]:22")) == OUTSIDE


def test_a_rule_says_to_whom_it_is_meant() -> None:
    rule = parse_rule("203.0.113.0/24:443 account=lab,chem partition=gpu")
    assert rule.what == "203.0.113.0/24:443"
    assert rule.is_for(user="ann", account="chem", partition="gpu")
    assert not rule.is_for(user="ann", account="chem", partition="cpu")
    assert not rule.is_for()
    assert parse_rule("203.0.113.9").is_for()


def test_a_path_may_hold_blanks_and_signs() -> None:
    assert parse_rule("/opt/my code/bin=x user=ann").what == "/opt/my code/bin=x"
    assert parse_rule("/opt/a user").who == {}


@pytest.mark.parametrize("text", ["10.0.0.1 user=", "10.0.0.1 user=a, account=b", "10.0.0.1 user=a user=b"])
def test_a_qualifier_that_is_empty_or_comes_twice_is_wrong(text: str) -> None:
    with pytest.raises(ValueError, match="empty or comes twice"):
        parse_rule(text)


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("egress", "203.0.113.0/24:443 account=lab", True),
        ("egress", "203.0.113.0/24:443 acount=lab", False),
        ("egress", "/usr/bin/code", False),
        ("tunnels", "/usr/bin/code partition=gpu", True),
        ("tunnels", "203.0.113.0/24 partition=", False),
        ("tunnels", "/usr/bin/code user=alice, bob", False),
        ("tunnels", "/usr/bin/code users=alice", False),
        ("tunnels", "/usr/bin/co=de", False),
        ("cluster", "10.0.0.0/8 account=lab", False),
    ],
)
def test_the_configuration_takes_rules_where_they_mean_something(name: str, text: str, right: bool) -> None:
    assert (wrong_text(name, [text]) == "") is right


def test_the_word_that_means_nothing_is_named_and_an_example_shown(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_text('[network]\ntunnels = ["/usr/bin/code user=alice, bob"]\n')
    with pytest.raises(GuardError, match="'bob' is no path") as caught:
        load_config(path)
    assert "user=alice,bob" in caught.value.hint


def test_rules_that_hold_most_addresses_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wide_networks([*PRIVATE, "/usr/bin/code", "10.0.0.0/8:443"]) == []
    wide = ["0.0.0.0/0", "::/0", "8.0.0.0/7 user=ann"]
    assert wide_networks(wide) == wide
    path = tmp_path / "guard.toml"
    path.write_text('[network]\ncluster = ["0.0.0.0/0"]\n')
    check(path)
    assert "network.cluster: '0.0.0.0/0'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "rule", "word"),
    [
        ("cluster", "10.0.0.0/8:443", "no port"),
        ("cluster", "10.0.0.0/8 user=alice", "for everybody"),
        ("egress", "198.51.100.0/24:0", "port 0"),
        ("tunnels", "/usr/bin/", "'/usr/bin'"),
        ("tunnels", "/usr/bin/../bin/code", "'/usr/bin/code'"),
        ("tunnels", "//usr/bin/code user=alice", "'/usr/bin/code'"),
    ],
)
def test_a_rule_that_can_match_nothing_is_refused(name: str, rule: str, word: str) -> None:
    assert word in wrong_text(name, [rule])


def test_the_resolvers_log_is_a_full_path() -> None:
    assert "full path" in wrong_text("resolver_log", "names.log")
    assert wrong_text("resolver_log", "") == wrong_text("resolver_log", "/var/log/names.log") == ""


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("198.51.100.0/24:443 account=Lab", "'Lab'"),
        ("10.2.0.0/16", "network.cluster"),
        ("[fd00:1::/32]:443", "network.cluster"),
        ("127.0.0.0/8", "nobody outside"),
        ("::1", "nobody outside"),
        ("0.0.0.0", "nobody outside"),
        ("203.0.113.7/28:443", "16 addresses"),
        ("[2001:db8::7/126]:443", "4 addresses"),
        ("203.0.113.7", None),
        ("203.0.113.0/28:443 user=Alice account=lab", None),
        ("2001:db8::/32", None),
        ("/usr/bin/code account=lab", None),
        ("0.0.0.0/0", None),
    ],
)
def test_a_rule_that_allows_nothing_or_more_than_it_seems_to_is_warned_of(
    rule: str, word: str | None
) -> None:
    said = idle_rules(list(PRIVATE), [rule])
    assert [text for text, _ in said] == ([] if word is None else [rule])
    assert all(word is not None and word in why for _, why in said)
