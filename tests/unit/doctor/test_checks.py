"""Each check: its mistake is found with a remedy, health is silent, and what cannot be seen is said."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from slurm_guard.config import Config, MailConfig
from slurm_guard.doctor.checks.bare import MADE
from slurm_guard.doctor.examine import examine, run_check
from slurm_guard.doctor.facts import Facts, Library
from slurm_guard.doctor.finding import Check, Finding, Level, Role, Unseen, ok
from slurm_guard.doctor.registry import CHECKS, choose
from slurm_guard.errors import GuardError
from tests.unit.doctor import builders as b
from tests.unit.doctor.mistakes import MISTAKES, NEAR_MISSES, OK, P, U

BY_ID = {check.id: check for check in CHECKS}


def _find(check_id: str, facts: Facts) -> list[Finding]:
    return run_check(BY_ID[check_id], facts)


@pytest.mark.parametrize(("check_id", "spoilt", "level", "words"), MISTAKES)
def test_a_planted_mistake_is_found(check_id: str, spoilt: dict[str, Any], level: Level, words: str) -> None:
    found = _find(check_id, b.healthy(**spoilt))

    said = [finding for finding in found if finding.level is level and words in finding.sentence]
    assert said, found
    assert all(finding.remedy for finding in found if finding.level is not OK)


def test_every_check_has_a_mistake_that_it_finds() -> None:
    assert {row[0] for row in MISTAKES} == set(BY_ID)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_health_is_silent(check: Check) -> None:
    found = run_check(check, b.healthy())

    assert [(finding.level, bool(finding.sentence)) for finding in found] == [(OK, True)] * len(found)
    assert found


# Silence of these is the fault that they look for.
SILENT = {"slurmctld"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_what_cannot_be_seen_is_said_and_never_taken_for_good(check: Check) -> None:
    (found,) = run_check(check, Facts())

    assert found.level is (P if check.id in SILENT else U)
    assert found.sentence
    assert found.remedy


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_is_explained_in_plain_sentences(check: Check) -> None:
    assert check.what
    assert check.why.endswith(".")
    assert check.remedy
    assert check.looker
    assert check.roles


@pytest.mark.parametrize(("check_id", "spoilt"), NEAR_MISSES)
def test_a_near_miss_is_no_finding(check_id: str, spoilt: dict[str, Any]) -> None:
    found = _find(check_id, b.healthy(**spoilt))

    assert [finding.level for finding in found] == [OK] * len(found), found


def test_a_wrong_guard_toml_is_one_problem_and_the_rest_could_not_look() -> None:
    unasked = Unseen("guard.toml is not right, which another check says")
    facts = b.healthy(
        guard=b.guard(config=None, error="config-syntax: line 3"), database=unasked, accounting=unasked
    )

    found = examine(facts, CHECKS, tuple(Role))

    assert [finding.check for finding in found.findings if finding.level is P] == ["guard-toml"]
    assert {"settings-agree", "mail-readers", "slurmdbd", "sacct"} <= {
        f.check for f in found.findings if f.level is U
    }


def test_before_an_installation_there_is_one_problem_whose_remedy_is_to_install() -> None:
    nowhere = replace(b.folder("/var/lib/x", 0), exists=False)
    facts = b.healthy(
        **b.BARE,
        running=b.running(PrologFlags="", PrologEpilogTimeout="65534"),
        settings=b.settings(START_SAMPLER="yes"),
        hook_python=b.python(failure="No module named 'slurm_guard'"),
        library=Library("/usr/lib/slurm-guard", "", ()),
        sampler_python=b.python("/opt/slurm-guard/bin/python3", exists=False),
        folders=dict.fromkeys(("run", "spool", "progress"), nowhere),
        stores=dict.fromkeys(("lake", "reports", "own"), nowhere),
        guard=b.guard(config=Config()),
        samplers=(), schedule=(), data=(), night=None, skews=(),
        nvml=Unseen("the sampler's interpreter could not be started, which another check says"),
    )  # fmt: skip

    found = examine(facts, CHECKS, tuple(Role)).findings

    bad = [(one.check, one.remedy.split("   ")[0]) for one in found if one.level in (P, Level.WARNING)]
    assert bad == [("installed", "slurm-guard install")]
    assert {one.check for one in found if one.level is U} == {*MADE, "driver"}


def test_what_matters_before_an_installation_is_looked_at_before_it() -> None:
    facts = b.healthy(**b.BARE, gres=b.gres("Name=gpu Count=4\n"), database=Unseen("gone"))

    found = examine(facts, CHECKS, tuple(Role)).findings

    assert [one.check for one in found if one.level is P] == ["installed", "slurmdbd", "gres-files"]
    assert set(BY_ID) >= MADE


def test_what_a_check_said_before_it_failed_is_kept() -> None:
    def find(facts: Facts) -> Any:
        yield ok("this much")
        raise KeyError("x")

    check = replace(CHECKS[0], find=find)

    assert [finding.level for finding in run_check(check, Facts())] == [OK, U]


@pytest.mark.parametrize("role", list(Role))
def test_a_role_has_its_checks_alone(role: Role) -> None:
    found = examine(b.healthy(), CHECKS, [role])

    assert {finding.check for finding in found.findings} == {c.id for c in CHECKS if role in c.roles}
    assert found.roles == (role,)


def test_the_remedy_of_a_flag_keeps_those_that_are_there() -> None:
    (found,) = _find("prolog-flags", b.healthy(running=b.running(PrologFlags="Serial,X11x")))

    assert found.remedy.startswith("PrologFlags=Alloc,Serial,X11x ")


def test_a_path_in_a_remedy_is_quoted() -> None:
    evil = b.file("/etc/p.d/a; rm -rf ~", executable=False)
    found = _find("hook-globs", b.healthy(hooks=b.hooks(b.line("Prolog", "/etc/p.d/*", evil))))

    assert "'/etc/p.d/a; rm -rf ~'" in found[0].remedy


def test_an_unknown_check_is_named_with_the_nearest() -> None:
    with pytest.raises(GuardError, match="doctor-check") as caught:
        choose(["prolog-flag"])

    assert "prolog-flags" in caught.value.hint


def test_ids_are_there_once() -> None:
    find: Callable[[Check], str] = lambda check: check.id  # noqa: E731

    assert len(set(map(find, CHECKS))) == len(CHECKS)
    assert MailConfig().to == []
