"""Strings that try to get out of the text they stand in, and a night made of them."""

from dataclasses import replace

from slurm_guard.model import Audit, Evidence, NodeCoverage, Outside, Skip, TimelineEvent
from tests.unit.report import builders

STRINGS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "</style><style>*{display:none}</style>",
    "</title><h1>All clear</h1>",
    "<!-- ",
    "{{ 7*7 }} {% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt;&#60;b&#62;",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m C1 control",
    "\u202egnp.exe\u202c",
    "\u2066isolate\u2069 \u200b\ufeff\u200f",
    "line one\r\nBcc: everyone@example.org",
    "name\nX-Injected: yes\n\n<b>body</b>",
    "tab\tand\vform\ffeed\b\b\b",
    "null\x00byte",
    "\u2028separator\u2029",
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\uff1d1+1",
    "  =HYPERLINK(\"http://evil.example\",\"ok\")",
    "z" + "\u0335\u0322\u0353" * 300 + "algo",
    "\ud800 lone surrogate",
    "\ue000 private \U000e0001 tag",
    "漢字" * 200,
    "A" * 200_000,
    "\x1b[31m" * 50_000,
    "%s%n%x {0.__class__} $(reboot) `reboot`",
    "../../../../etc/passwd",
    "a;} .card{display:none} @import url(//evil.example/x.css);",
    "\"/><style>svg{fill:url(//evil.example)}</style><foreignObject><body onload=alert(1)>",
    "]]></title></svg><script xlink:href=data:,alert(1)></script>",
    "--><!--[if mso]><img src=//evil.example><![endif]-->",
    "=?utf-8?B?QmNjOiB4QGV4YW1wbGUub3Jn?=\r\n =?utf-8?Q?=0D=0ABcc:x?=",
    "\x1b]8;;http://evil.example\x1b\\a link\x1b]8;;\x1b\\",
    "\x1bP+q544e\x1b\\\x90payload\x9c DCS",
    "\r@SUM(A1)",
    "xn--80ak6aa92e.com аррӏе",
    "\udcff\udc80 bytes that are no UTF-8 \udfff",
    "\u061c\u034f\u180e\ufff9hidden\ufffb",
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1bP1$r0m\x1b\\ device control",
    "\x1b[6n\x1b[c answers",
    "\t=1+1",
    "=?utf-8?B?PHNjcmlwdD4=?= =?iso-8859-1?Q?=0d=0aBcc:x?=",
    "r\u043e\u043et xn--root-x",
    '","uid":0,"user":"root',
    "\\x1b[31m \\u202e %0d%0aBcc: x",
    "\ufffe\uffff\ufdd0 noncharacters",
    "adm\u034fin r\ufe0foot \u115f\u1160\u3164\uffa0\u2800 \U000e0100 nothing to see",
    "\r=2+2\rCLEAR",
    "",
    " ",
)  # fmt: skip
# What must never stand in any output as it is.
RAW = (
    *"\x00\x07\x08\x0b\x0c\x1b\x7f\x9b\u200b\u200f\u2028\u2029\u202c\u202e\u2066\u2069\ufeff\ue000\ud800\U000e0001"
    "\u034f\u115f\u1160\u2800\u3164\ufe0f\uffa0\U000e0100",
)


def night(text: str) -> Audit:
    """A night in which every text that a job, a node or a file could have written is `text`."""
    plain = builders.night()
    judgements = []
    for i, judgement in enumerate(plain.judgements):
        run = replace(
            judgement.run, id=f"{text}/{i}", cluster=text, job=text, user=text, account=text, partition=text,
            qos=text, name=text, state=text, nodes=(text, text), gpu_type=text, comment=text, work_dir=text,
            stdout=text,
        )  # fmt: skip
        evidence = Evidence(text, 1.0, text, text, text, text)
        findings = tuple(
            replace(f, check=text, run=run.id, sentence=text, evidence=(evidence,), attack=(text,))
            for f in judgement.findings
        )
        timeline = judgement.timeline
        if timeline is not None:
            event = TimelineEvent(run.from_at + 60, None, text, text)
            timeline = replace(timeline, events=[event, replace(event, lane="process")])
        progress = replace(
            judgement.progress,
            sources=(text,),
            unit=text,
            trust=text,
            problems=(text,),
            n_points=3,
            units=1.0,
        )
        judgements.append(
            replace(
                judgement, run=run, classes=(text,), sentence=text, findings=findings, progress=progress,
                timeline=timeline, notes=(text,), cost=replace(judgement.cost, unit=text, source=text),
                explained=tuple(
                    replace(e, check=text, by=text, scope=text, reason=text) for e in judgement.explained
                ),
                again=tuple(replace(r, check=text) for r in judgement.again),
            )
        )  # fmt: skip
    assert plain.site is not None
    precision = tuple(replace(p, kind=text, name=text) for p in plain.site.precision)
    settings: dict[str, object] = {text: text, "audit": {"observe_only": True, "enforce_partitions": [text]}}
    return replace(
        plain, cluster=text, version=text, settings=settings,
        site=replace(plain.site, precision=precision), judgements=tuple(judgements),
        outside=(Outside(text, text, plain.from_at, plain.until_at, 1000, 1, 2, text, text, text),),
        skips=(Skip(text, text, text),), nodes=(NodeCoverage(text, 1, 1, None, text),),
    )  # fmt: skip
