"""The page of an audit: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from unspoken.analysis import pages
from unspoken.analysis.pages import count, percent
from unspoken.audit.changes import Shown
from unspoken.audit.effects import ALPHA, Effect
from unspoken.audit.report import AuditReport, Findings
from unspoken.audit.steering import Steering
from unspoken.audit.verdict import HALF, LITTLE, MOST, signed
from unspoken.paper import method_name

_CAPTIONS = {
    "effects": "Accuracy under each intervention on all thoughts at once, with 95 % intervals. Line and band: the "
    "problems left alone; dashed: chance; filled marks differ from it beyond luck, all interventions considered.",
    "swap": "Question and thoughts at odds: whose option is the answer? The bar is the interval of the share that "
    "follows the thoughts; dashed: one half.",
    "steering": "Share of answers that become the other option when thoughts are pushed towards its frontier, by the "
    "length of the push; dotted: a random push of the same length.",
    "singles": "Accuracy with one thought replaced. Band: the problems left alone; dashed: chance.",
    "doses": "Left: accuracy with noise added to every thought. Right: with fewer slots in the prompt. Band: the "
    "problems left alone; dashed: chance.",
    "elsewhere": "Accuracy on other problems than the run was trained on, beside the best shortcut on the same "
    "problems.",
}


def headline(found: Findings) -> tuple[str, str]:
    """The verdict in a line, and why."""
    return f"The {_slot(found)}s carry the answer: {found.carries.value}.", found.why


def _slot(found: Findings) -> str:
    return "pause" if found.constant else "thought"


def page(report: AuditReport, drawn: Sequence[str]) -> list[str]:
    """Lines of Markdown; `drawn` are the figures that there are."""
    found = report.findings
    of = "" if found.num == report.num_in_split else f" (the first of {report.num_in_split:,})"
    kind = _slot(found)
    verdict, why = headline(found)
    lines = [
        f"# Does {report.run} use its {kind}s?",
        "",
        f"**{verdict}** {why}",
        "",
        *(f"- **{said.question}** {said.answer[:1].upper()}{said.answer[1:]}. {said.why}" for said in found.said),
        "",
        f"{method_name(report.method)} ({report.recipe}), {report.weights} weights, on {found.num:,} problems of "
        f"{report.task['type']}'s {report.split} split{of}, {count(found.slots, kind)} each. Intervals in brackets are "
        "95 %.",
        "",
    ]

    def figure(name: str) -> list[str]:
        return pages.figure(name, _CAPTIONS[name]) if name in drawn else []

    lines += ["## What the verdict rests on", "", *_evidence(found)]
    lines += ["## Interventions", "", *_check(found), ""]
    lines += [*figure("effects"), *_effects(found, Shown.WHOLE)]
    lines += ["## Question and thoughts at odds", ""]
    if "swap" in drawn:
        lines += [
            "The same facts and options can be asked about somebody else, and then the other option is right. The "
            "model thinks about one question and answers the other.",
            "",
            *figure("swap"),
        ]
    else:
        lines += [f"Not tested: {found.left_out.get('swapped-thoughts', 'it does not exist here')}.", ""]
    lines += ["## Steering", ""]
    if found.steering is None:
        lines += [f"Not tested: {found.not_steered}.", ""]
    else:
        lines += [*figure("steering"), *_steering(found.steering)]
    lines += ["## Single thoughts", ""]
    if "singles" in drawn:
        lines += [*figure("singles"), *_effects(found, Shown.SINGLE)]
    else:
        lines += [f"Not tested: {found.left_out.get('one-averaged-1', 'it was not asked for')}.", ""]
    lines += ["## Noise, and fewer thoughts", ""]
    lines += [*figure("doses"), *_effects(found, Shown.NOISE), *_effects(found, Shown.NUMBER)]
    lines += ["## Other problems", "", *figure("elsewhere"), *_elsewhere(found)]
    return [*lines, *_notes(report)]


def _evidence(found: Findings) -> list[str]:
    e = found.evidence
    limits = f"{100 * MOST:.0f} %", f"{100 * LITTLE:.0f} %"
    rows = [
        ["right, left alone", percent(e.clean), f"chance, {100 * e.chance:.0f} %", "-"],
        ["lost with another problem's thoughts, of what is above chance", percent(e.fall), *limits],
        ["the same, if it asks about the same name", percent(e.fall_same_asked), limits[0], "-"],
        ["the same, if it has the same answer", percent(e.fall_same_answer), "-", "-"],
        ["answers that follow the other question's thoughts", percent(e.follow), f"{100 * HALF:.0f} %", "-"],
        ["the same, beyond those who gave that answer anyway", percent(e.follow_excess), "-", limits[1]],
    ]
    tested = [row for row in rows if row[1] != "-"]
    return pages.table(["Figure", "%", "Yes: lower end above", "No: upper end below"], tested)


def _check(found: Findings) -> list[str]:
    if found.identity_changed:
        return [
            f"**Check failed:** with each problem's own thoughts stored and fed back, {found.identity_changed} of "
            f"{found.num:,} outputs change. In low precision the size of a batch alone can do that; if it is more than "
            "a few, trust nothing below and run again in fp32."
        ]
    return [f"Check: with each problem's own thoughts stored and fed back, none of {found.num:,} outputs changes."]


def _effects(found: Findings, shown: Shown) -> list[str]:
    rows = [e for e in found.effects if e.shown is shown]
    if not rows:
        return []
    head = ["Fed", "Gone", "n", "Right, %", "Difference, points", "Changed, %", "Donor's answer, % (before)", "p"]
    return pages.table(head, [_cells(e) for e in rows], left=2)


def _cells(e: Effect) -> list[str]:
    donor = "-"
    if e.followed is not None and e.followed_before is not None:
        donor = f"{percent(e.followed)} ({100 * e.followed_before:.1f})"
    p = "-" if e.name == "identity" else "< 0.001" if e.p_holm < 0.001 else f"{e.p_holm:.3f}"
    return [
        e.title,
        e.destroys,
        f"{e.num:,}",
        percent(e.accuracy),
        signed(e.difference),
        f"{100 * e.flips.mean:.1f}",
        donor,
        f"**{p}**" if e.matters else p,
    ]


def _steering(steering: Steering) -> list[str]:
    fit = ", ".join(f"{share:.2f}" for share in steering.fit)
    head = ["Direction", "Pushed", "Length", "Other option, %", "Right, %"]
    rows = [
        [dose.direction, f"{dose.where} thought", f"{dose.strength:g}", percent(dose.switched), percent(dose.right)]
        for dose in steering.doses
    ]
    return [
        f"{steering.num:,} problems, directions fitted on others; {percent(steering.before)} % give the other option "
        "anyway. *probe*: what a linear probe of the frontier reads; *pattern*: what a frontier adds to a thought; "
        "*unembedding*: the names' rows of the output matrix; *random*: any direction of that length. The probe "
        f"explains this share of the variance of who is on the frontier, by thought, on the problems steered: {fit}.",
        "",
        *pages.table(head, rows, left=2),
    ]


def _elsewhere(found: Findings) -> list[str]:
    asked = [e for e in found.elsewhere if e.accuracy is not None]
    lines: list[str] = []
    if asked:
        head = ["Problems", "What", "n", "Right, %", "Chance, %", "Another's thoughts, %"]
        head += ["Follows swapped thoughts, %", "Best blind shortcut, %"]
        rows = []
        for e in asked:
            effects = {effect.name: effect for effect in e.effects}
            moved, swapped = effects.get("transplant"), effects.get("swapped-thoughts")
            rows.append(
                [
                    e.name,
                    e.about,
                    f"{e.num:,}",
                    percent(e.accuracy),
                    f"{100 * e.chance:.0f}",
                    percent(None if moved is None else moved.accuracy),
                    percent(None if swapped is None else swapped.followed),
                    "-" if e.shortcut is None else f"{percent(e.shortcut.share)} ({e.shortcut.name})",
                ]
            )
        lines += pages.table(head, rows, left=2)
    left = [f"{e.name} ({e.about}): {e.left_out}." for e in found.elsewhere if e.left_out is not None]
    if left:
        lines += ["Not asked:", "", *(f"- {line}" for line in left), ""]
    if not asked and not left:
        lines += ["No other problems were asked.", ""]
    return lines


def _notes(report: AuditReport) -> list[str]:
    found, env = report.findings, report.env
    packages = ", ".join(f"{name} {version}" for name, version in env["packages"].items())
    why: dict[str, list[str]] = {}
    for name, reason in found.left_out.items():
        why.setdefault(reason, []).append(name)
    lines = ["## How this was measured", ""]
    lines += [
        "- **The verdict** is yes where both lower ends are above the limits, no where both upper ends are below, "
        "partly where some of it is beyond luck.",
        f"- **Differences** are paired, with bootstrap intervals ({report.resamples:,} resamples of problems), never "
        "narrower than what so many problems without one change leave open. *p*: exact McNemar test, Holm's correction "
        f"over {found.tests} interventions; bold up to {ALPHA:g}.",
        f"- **Power.** {found.num:,} problems can show a difference of {100 * found.smallest:.1f} points or more; a "
        "smaller one cannot be told from none here.",
        "- **Interventions** feed vectors where thoughts would stand, each in its slot; unless said otherwise nothing "
        "is worked out anew, so later thoughts do not notice. "
        + " ".join(f"*{x.title}*: {x.about}." for x in found.effects if x.shown is Shown.WHOLE),
        *(f"- **Left out**: {', '.join(names)}: {reason}." for reason, names in why.items()),
        "",
        "What this does not show:",
        "",
        "- That the answer passes through the thoughts does not say that it was *reasoned* there: they may hold a "
        "guess by a shortcut. Hold the accuracy on fair problems against that.",
        "- Zeros, means, noise and pauses are vectors the model has never been fed. A fall under them may be nothing "
        "but that; the verdict rests on thoughts of its own alone.",
        "- Where nothing falls, the model can do without what the thoughts hold *given that the question is still "
        "there*. They may hold the answer twice over.",
        "- One run and one seed. Another training may come out otherwise.",
        "",
        "---",
        "",
        f"Made by `{env['command']}` at commit {env['commit']} in {report.seconds:.0f} s on {report.hardware}; "
        f"Python {env['python']}, {packages}; seed {report.seed}. Records of every intervention: `records/`.",
    ]
    return lines
