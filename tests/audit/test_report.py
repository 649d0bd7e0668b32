"""Whole audits of models whose use of their thoughts is known, and of trained ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from torch import Tensor

from scripted import METHOD, TASK, Kind, scripted
from unspoken.audit.beyond import ask_elsewhere, best_shortcut, chance_of, named, settings_of, shortcuts_on
from unspoken.audit.changes import Identity, Intervention
from unspoken.audit.context import Context
from unspoken.audit.figures import FIGURES, draw
from unspoken.audit.interventions import standard
from unspoken.audit.report import Findings, audit_model
from unspoken.audit.swaps import SwappedThoughts
from unspoken.audit.transplants import FromAnother, FromSameAsked
from unspoken.audit.verdict import Carry
from unspoken.config import RunConfig
from unspoken.methods import Coconut
from unspoken.records import Record
from unspoken.runs import load_run
from unspoken.shipped import FOLDER
from unspoken.shortcuts.findings import Group
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.hops import Hops
from unspoken.tasks.prontoqa import GeneratedProntoQA, ProntoQA
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import SymbolicProsQA
from unspoken.tasks.symbolic_prontoqa import SymbolicProntoQA

FINE = replace(TASK, num_test=160)
KNOWN = shortcuts_on(FINE.examples("test")[:40], FINE)
"""Too few problems to learn shortcuts from, which takes seconds; chance is the same."""


def run(
    context: Context, interventions: Sequence[Intervention], *, seed: int = 0
) -> tuple[Findings, dict[str, list[Record]]]:
    """An audit without other problems."""
    return audit_model(
        context, interventions, known=KNOWN, elsewhere_on=(), split="test", num=None, slots=None, seed=seed
    )


@cache
def audited(kind: Kind) -> Findings:
    """A constructed model, audited."""
    context = Context(scripted(kind, FINE), FINE, METHOD, FINE.examples("test"), rows=160)
    chosen = [each for each in standard(3) if each.label.shown.name in ("WHOLE", "SINGLE")]
    return run(context, chosen)[0]


@pytest.mark.parametrize(
    ("kind", "verdict"), [("bfs", Carry.YES), ("ignores", Carry.NO), ("copies", Carry.NO), ("parrots", Carry.NO)]
)
def test_the_verdict_on_models_whose_answer_is_known(kind: Kind, verdict: Carry) -> None:
    """The whole path from a model to the sentence at the top of the page."""
    found = audited(kind)
    assert found.carries is verdict
    assert found.chance == 0.5
    assert found.identity_changed == 0


def test_what_else_is_said_of_them() -> None:
    """The sentences below the verdict, where the truth is known: the answer is read from the last thought alone."""
    said = {each.question: each for each in audited("bfs").said}
    assert said["Which thoughts matter?"].answer == "3"
    assert said["Does the order of the thoughts matter?"].answer == "yes"
    assert said["Do they hold the answer's name?"].answer == "yes"
    idle = {each.question: each for each in audited("ignores").said}
    assert idle["Which thoughts matter?"].answer == "none by itself"
    assert idle["Does the order of the thoughts matter?"].answer == "not that it shows"
    assert "Do they hold the answer's name?" not in idle
    assert "no answer above chance" in audited("parrots").why


def test_a_model_whose_thoughts_say_who_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It falls and follows like one that carries the answer, yet all the work is done at the end: no "yes" for it."""

    def from_whom_the_thought_names(self: Any, last: Tensor) -> Tensor:
        nodes = set((last > 0.5).nonzero()[:, 0].tolist())
        for _ in range(TASK.hops):
            nodes = self._after(nodes)
        reached = [option for option in self.options if option in nodes] or self.options
        return self._ones({reached[0]})

    monkeypatch.setattr("scripted._Script._answer", from_whom_the_thought_names)
    context = Context(scripted("copies", FINE), FINE, METHOD, FINE.examples("test"), rows=160)
    chosen = [Identity(), FromAnother(), FromSameAsked(), SwappedThoughts()]
    found = run(context, chosen)[0]
    evidence = found.evidence
    assert evidence.fall is not None and evidence.fall.low > 2 / 3
    assert evidence.follow is not None and evidence.follow.mean == 1
    assert found.carries is Carry.PARTLY
    assert "who is asked" in found.why


def test_everything_is_drawn_and_can_be_saved(tmp_path: Path) -> None:
    """A figure that is missing where its data is there; NaN in the JSON."""
    found = audited("bfs")
    drawn = draw(found, tmp_path)
    assert set(drawn) == set(FIGURES) - {"doses", "elsewhere"}
    for name in drawn:
        for suffix in (".png", ".svg", ".csv"):
            assert (tmp_path / f"{name}{suffix}").stat().st_size > 100
    rows = (tmp_path / "effects.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(e.shown.name == "WHOLE" for e in found.effects)
    again = tmp_path / "again"
    draw(found, again)
    for name in drawn:
        assert (again / f"{name}.svg").read_bytes() == (tmp_path / f"{name}.svg").read_bytes()
    assert msgspec.json.decode(msgspec.json.encode(found), type=Findings) == found


def test_the_same_seed_gives_the_same_audit() -> None:
    """An audit that nobody can repeat is an anecdote."""
    folder = FOLDER / "demo-planning-coconut"
    task = RunConfig.load(folder / "config.json").task
    model, _ = load_run(folder)

    def once(seed: int) -> Findings:
        context = Context(model, task, Coconut(max_stage=3), task.examples("test")[:25], seed=seed)
        chosen = standard(3)[:3]
        return run(context, chosen, seed=seed)[0]

    assert once(1) == once(1)
    assert once(1).effects != once(2).effects


def test_settings_of_each_task() -> None:
    """A task whose harder problems nobody listed is audited where it was trained, and nobody notices."""
    assert [setting.name for setting in settings_of(TASK)][:2] == ["longer", "wider"]
    names = {setting.name for setting in settings_of(ProsQA())}
    assert {"prosqa-7-hops", "prosqa-8-hops", "prosqa-dense", "prosqa-dag", "prosqa-debiased"} <= names
    assert {setting.name for setting in settings_of(SymbolicProsQA())} == names
    assert [setting.name for setting in settings_of(ProntoQA())] == ["prontoqa-paired"]
    assert [setting.name for setting in settings_of(GSM8K())] == ["svamp", "multiarith", "gsm-hard"]
    assert settings_of(Hops()) == ()
    form = named(SymbolicProsQA(), "prosqa-8-hops").make()
    assert isinstance(form, SymbolicProsQA) and form.max_hops == 8
    with pytest.raises(ValueError, match="no task named 'prosqa-9'"):
        named(ProsQA(), "prosqa-9")


def test_problems_elsewhere() -> None:
    """What a closed vocabulary cannot hold is left out with the reason; what can be asked has all its figures."""
    folder = FOLDER / "demo-planning-coconut"
    config = RunConfig.load(folder / "config.json")
    model, _ = load_run(folder)
    found = {
        setting.name: ask_elsewhere(model, config.method, setting, split="test", num=40, slots=None, rows=40, seed=0)
        for setting in settings_of(config.task)
        if setting.name in ("longer", "no-crossings")
    }
    assert found["longer"].accuracy is None
    assert "vocabulary" in (found["longer"].left_out or "")
    asked = found["no-crossings"]
    assert asked.left_out is None and asked.accuracy is not None and asked.accuracy.mean > 0.9
    assert asked.num == 40 and asked.chance == 0.5
    assert [effect.name for effect in asked.effects] == ["transplant", "swapped-thoughts"]
    assert asked.shortcut is not None and asked.shortcut.share.mean < 0.9
    assert asked.asked is not None and asked.asked.share.mean > 0.9, "families that do not touch can be told apart"


def test_shortcuts_of_open_answers() -> None:
    """Problems without a chance level have a chance of 0, and their most frequent answer is a shortcut all the same."""
    examples = [
        replace(TASK.examples("test")[i], question=f"How many are {i}?", answer=str((7 * i + 3) % 30), meta={})
        for i in range(60)
    ]
    found = shortcuts_on(examples, GSM8K())
    assert chance_of(found) < 0.2
    best = best_shortcut(found, (Group.PRIOR, Group.SURFACE))
    assert best is not None and best.share.mean < 0.5
    assert best_shortcut(None, (Group.PRIOR,)) is None and chance_of(None) == 0


def test_the_check_is_reported() -> None:
    """If the door for vectors were broken, the page has to say so: a count that is always 0 would hide it."""
    context = Context(scripted("bfs"), TASK, METHOD, TASK.examples("test")[:20])
    found, records = run(context, [Identity()])
    assert found.identity_changed == 0
    assert [record.output for record in records["identity"]] == [record.output for record in records["clean"]]
    broken = Context(scripted("bfs"), TASK, METHOD, TASK.examples("test")[:20], thoughts=context.thoughts[::-1].copy())
    found, _ = run(broken, [Identity()])
    assert found.identity_changed > 0


def test_symbols_do_not_hide_the_shortcuts_of_prontoqa() -> None:
    """The published problems are answered in full by who is mentioned more; guards against an audit of the same
    problems in symbols that knows of no shortcut above chance, and so calls any score reasoning."""
    problems = GeneratedProntoQA(num_test=60)
    task = SymbolicProntoQA(problems=problems)
    symbols, words = (shortcuts_on(each.examples("test"), each) for each in (task, problems))
    assert symbols is not None and words is not None
    found = {row.name: row.accuracy for row in symbols.rows}
    assert found == {row.name: row.accuracy for row in words.rows}
    assert found["mentioned more"] == 1.0
