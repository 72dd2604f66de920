"""Simulated programs log as real ones do, buffers and all."""

import math

from slurm_guard.simulate.logs import Growth, GuardFile, KeyValue, Megatron, StepNews, Writer
from slurm_guard.simulate.tensorboard import crc32c

NEWS = StepNews(step=20, total=100, at=1_760_472_000.0, took_s=2.0, loss=2.5, samples=40, tokens=80)


def test_crc32c_is_castagnoli_s() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the CRC catalogue


def test_an_unbuffered_line_is_on_disk_at_once() -> None:
    growth = Growth("a", "stdout")
    writer = Writer(growth, Megatron())

    writer.step(NEWS)

    assert growth.size_at(NEWS.at)[0] == len(growth.content()) > 0
    assert growth.size_at(NEWS.at - 0.1) == (0, None)


def test_a_buffer_holds_lines_back_until_it_is_full_or_old() -> None:
    by_size, by_age = Growth("a", "fd"), Growth("b", "fd")
    small = Writer(by_size, GuardFile(), buffer_b=150)
    slow = Writer(by_age, GuardFile(), buffer_b=10**6, age_s=120.0)
    for i in range(4):
        news = NEWS._replace(step=i, at=NEWS.at + i * 30)
        small.step(news)
        slow.step(news)

    assert by_size.size_at(NEWS.at + 90)[0] > 0
    assert by_size.size_at(NEWS.at) == (0, None)
    assert by_age.content() == b""
    slow.tick(NEWS.at + 130)
    assert by_age.size_at(NEWS.at + 130)[1] == NEWS.at + 130


def test_only_every_nth_step_is_logged_and_phases_always() -> None:
    growth = Growth("a", "fd")
    writer = Writer(growth, KeyValue(every=7), 0, math.inf)

    writer.step(NEWS)
    writer.phase("eval", NEWS.at, NEWS)

    assert b"step=" not in growth.content()
    assert b"running validation" in growth.content()
