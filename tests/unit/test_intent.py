"""Declarations in comment and extra."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.intent import parse_intent

NONE = parse_intent(None, None)


@pytest.mark.parametrize(
    "text",
    [
        'guard={"v":1,"kind":"pretrain","target":"tokens:2e12"}',
        'ckpt=yes guard={"kind":"Pretrain","target":{"tokens":2e12}}; other',
        '{"team":"nlp","guard":{"task":"pretrain","target":"tokens:2T"}}',
        "guard:kind=pretrain;target=tokens:2e12",
        "notes first guard:task=pretrain;target=token:2000G then more",
    ],
)
def test_a_declaration_is_found_inside_other_text(text: str) -> None:
    intent = parse_intent(text, None)

    assert (intent.source, intent.kind, intent.target) == ("comment", "pretrain", ("tokens", 2e12))
    assert intent.problems == ()


def test_every_claim_is_read() -> None:
    egress = '"egress":["s3.example.org:443","10.0.0.0/8"]'
    text = f'{{"guard":{{"v":1,{egress},"budget":"400 gpu-h","progress":"log/m.jsonl"}}}}'

    intent = parse_intent(None, text)

    assert intent.egress == ("s3.example.org:443", "10.0.0.0/8")
    assert (intent.budget_gpu_h, intent.progress, intent.source) == (400.0, "log/m.jsonl", "extra")


def test_extra_wins_over_comment_key_by_key() -> None:
    intent = parse_intent("guard:kind=pretrain;budget=10", "guard:kind=finetune")

    assert (intent.kind, intent.budget_gpu_h, intent.source) == ("finetune", 10.0, "extra and comment")


def test_to_speak_to_nobody_is_a_claim_and_silence_is_none() -> None:
    assert parse_intent("guard:egress=none", None).egress == ()
    assert parse_intent("guard:kind=train", None).egress is None


@pytest.mark.parametrize("text", [None, "", "a comment", "safeguard:kind=x", "my_guard={1}", "guardian=4"])
def test_text_without_a_declaration_declares_nothing(text: str | None) -> None:
    assert parse_intent(text, text) == NONE


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('guard={"kind":', "comment: what follows guard is not JSON"),
        ("guard:kind=a b;", None),
        ("guard:kind=two/words", "kind: must be one word"),
        ("guard:target=furlongs:3", "target: must be steps:N, samples:N, tokens:N, epochs:N"),
        ("guard:target=steps:-3", "target: must be steps:N, samples:N, tokens:N, epochs:N"),
        ("guard:target=steps:1e999", "target: must be steps:N, samples:N, tokens:N, epochs:N"),
        ("guard:budget=lots", "budget: must be a number of GPU-hours"),
        ("guard:colour=red", "comment: no claim is called 'colour'"),
        ("guard:v=2", "v: this release reads version 1"),
        ('guard={"egress":[1]}', "egress: must be up to 64 of host, host:port or network"),
        ('guard={"progress":"a\\nb"}', "progress: must be the path of a file"),
        ("guard={" + '"a":{' * 2000, "comment: longer than 8192 characters"),
        ("guard={" + '"a":{' * 1200, "comment: what follows guard is not JSON"),
    ],
)
def test_what_cannot_be_understood_is_said_and_not_claimed(text: str, problem: str | None) -> None:
    intent = parse_intent(text, None)

    assert list(intent.problems) == ([] if problem is None else [problem])
    assert (intent.target, intent.budget_gpu_h, intent.egress, intent.progress) == (None, None, None, None)


@given(st.text() | st.text().map(lambda tail: "guard=" + tail) | st.text().map(lambda tail: "guard:" + tail))
def test_no_text_breaks_the_parser(text: str) -> None:
    parse_intent(text, text)
