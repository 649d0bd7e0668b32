"""Other problems than a run was trained on: longer, denser, fairer. Does the accuracy hold, and do the thoughts matter?

Beside each accuracy stands the best shortcut on the very same problems: on most generated sets a good score needs no
reasoning at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import msgspec

from unspoken.analysis.bootstrap import Interval, share_interval
from unspoken.audit.changes import CLEAN, Intervention
from unspoken.audit.context import Context
from unspoken.audit.effects import Effect, measure
from unspoken.audit.swaps import SwappedThoughts
from unspoken.audit.transplants import FromAnother
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.shortcuts.audit import Audit, AuditRow
from unspoken.shortcuts.audit import audit as audit_shortcuts
from unspoken.shortcuts.findings import Group
from unspoken.tasks.base import Example, Split, Task
from unspoken.tasks.fork import Fork
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.known import GRAPHS, WORD_PROBLEMS, find_task
from unspoken.tasks.prontoqa import GeneratedProntoQA, ProntoQA
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import SymbolicProsQA
from unspoken.tasks.symbolic_prontoqa import SymbolicProntoQA, in_words
from unspoken.tasks.word_problems import WordProblems

if TYPE_CHECKING:
    from collections.abc import Callable


UNSOLVED = (Group.BLIND, Group.PRIOR, Group.CHOICES, Group.SURFACE)
"""Right answers of these show nothing: they do not see who is asked, or not what the facts say."""


@final
@dataclass(frozen=True, kw_only=True)
class Setting:
    """Other problems."""

    name: str
    about: str
    make: Callable[[], Task]
    """The task; a ValueError where its settings do not go together says why."""


@final
class Shortcut(msgspec.Struct, frozen=True, kw_only=True):
    """The best way to answer a set of problems without solving them."""

    name: str
    about: str
    share: Interval


@final
class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a setting."""

    name: str
    about: str
    left_out: str | None
    """Why it was not asked; None: it was, and the rest is there."""
    num: int = 0
    accuracy: Interval | None = None
    chance: float = 0.0
    effects: tuple[Effect, ...] = ()
    """Thoughts of another problem of the setting; thoughts of the other question."""
    shortcut: Shortcut | None = None
    """The best one that does not see who is asked about, or what the question says."""
    asked: Shortcut | None = None
    """The best one that knows who is asked about, but follows no facts from there."""


def settings_of(task: Task) -> tuple[Setting, ...]:
    """Which other problems a model of this task is asked unless told otherwise."""
    if isinstance(task, Fork):
        return _harder_forks(task)
    if isinstance(task, ProsQA | SymbolicProsQA):
        return tuple(named(task, name) for name in GRAPHS)
    if isinstance(task, ProntoQA | GeneratedProntoQA | SymbolicProntoQA):
        return (named(task, "prontoqa-paired"),)
    if isinstance(task, GSM8K):
        return tuple(named(task, name) for name in ("svamp", "multiarith", "gsm-hard"))
    if isinstance(task, WordProblems):
        return tuple(named(task, name) for name, (other, _) in WORD_PROBLEMS.items() if other != WordProblems())
    return ()


def named(task: Task, name: str) -> Setting:
    """The problems of a known task, in this task's form.

    Raises:
        ValueError: there is none of that name.
    """
    other = find_task(name)
    said = {**GRAPHS, **WORD_PROBLEMS}
    return Setting(
        name=name,
        about=said[name][1] if name in said else f"problems of {type(other).__name__}",
        make=lambda: task.asking(other),
    )


def _harder_forks(task: Fork) -> tuple[Setting, ...]:
    most = (task.hops - 1) * task.width * (task.width - 1)

    def changed(hops: int = task.hops, width: int = task.width, crossings: int = task.crossings) -> Task:
        nodes = 2 * (1 + hops * width)
        fewer = min(crossings, (hops - 1) * width * (width - 1))
        symbols = max(task.symbols, nodes)
        return replace(task, hops=hops, width=width, crossings=fewer, symbols=symbols)

    return (
        Setting(name="longer", about=f"{task.hops + 1} hops", make=lambda: changed(hops=task.hops + 1)),
        Setting(name="wider", about=f"{task.width + 1} arms", make=lambda: changed(width=task.width + 1)),
        Setting(
            name="longer-one-arm",
            about=f"{task.hops + 1} hops, one arm: nothing to choose",
            make=lambda: changed(hops=task.hops + 1, width=1),
        ),
        Setting(
            name="shorter-wider",
            about=f"{task.hops - 1} hops, {task.width + 1} arms",
            make=lambda: changed(hops=task.hops - 1, width=task.width + 1),
        ),
        Setting(name="no-crossings", about="no edge between arms", make=lambda: changed(crossings=0)),
        Setting(name="all-crossings", about="every possible edge between arms", make=lambda: changed(crossings=most)),
    )


def ask_elsewhere(
    model: LatentLM,
    method: Method,
    setting: Setting,
    *,
    split: Split,
    num: int | None,
    slots: int | None,
    rows: int,
    seed: int,
) -> Elsewhere:
    """Asks a setting's problems; those that the model cannot be asked are left out, with the reason."""
    try:
        task = setting.make()
        examples = list(task.examples(split)[slice(num)])
        context = Context(model, task, method, examples, slots=slots, rows=rows, seed=seed)
        clean = context.clean
    except ValueError as error:
        return Elsewhere(name=setting.name, about=setting.about, left_out=" ".join(str(error).split()).rstrip(".?"))
    before = {record.index: record for record in clean}
    effects = []
    wanted: Sequence[Intervention] = (FromAnother(), SwappedThoughts())
    for each in wanted:
        if each.refusal(context) is None:
            assert each.beside == CLEAN
            change = each.change(context)
            effects.append(measure(each, change, context.answer(change), context, before=before, seed=seed))
    shortcuts = shortcuts_on(examples, task)
    return Elsewhere(
        name=setting.name,
        about=setting.about,
        left_out=None,
        num=len(clean),
        accuracy=share_interval(sum(record.correct for record in clean), len(clean)),
        chance=chance_of(shortcuts),
        effects=tuple(effects),
        shortcut=best_shortcut(shortcuts, UNSOLVED),
        asked=best_shortcut(shortcuts, (Group.ASKED,)),
    )


def shortcuts_on(examples: Sequence[Example], task: Task) -> Audit | None:
    """What shortcuts get on these problems; None where ours do not know problems of this form.

    ProntoQA in symbols is looked at in the words behind it, which shortcuts can read.
    """
    known: Task = task
    if isinstance(task, SymbolicProntoQA):
        examples, known = [in_words(example) for example in examples], task.problems
    try:
        return audit_shortcuts(examples, title="", task=type(known).__name__)
    except ValueError:
        return None


def chance_of(shortcuts: Audit | None) -> float:
    """What is right by chance; 0 where answers are open."""
    return 0.0 if shortcuts is None or shortcuts.chance is None else shortcuts.chance


def best_shortcut(shortcuts: Audit | None, groups: Sequence[Group]) -> Shortcut | None:
    """The best of some groups; None where there is none."""
    rows: list[AuditRow] = [] if shortcuts is None else [row for row in shortcuts.rows if row.group in groups]
    if not rows:
        return None
    best = max(rows, key=lambda row: row.accuracy)
    share = Interval(mean=best.accuracy, low=best.low, high=best.high)
    return Shortcut(name=best.name, about=best.about, share=share)
