"""Ablations of the curriculum: each is what its name says, and nothing else changes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command_line import Capture, call, refused
from tiny_runs import metrics, tiny
from unspoken.config import Muon, RunConfig, Schedule, flatten
from unspoken.curriculum import Curriculum
from unspoken.layout import Marks, Tokens
from unspoken.methods import Coconut, CoconutWithoutCurriculum, NoCoT
from unspoken.recipes.ablations import ablations
from unspoken.train import fit

MIXED = Curriculum(stage_epochs=(0, 4, 4, 4, 6, 0), mix=0.2, mix_over="past", reset_optimizer="never")


def paper() -> RunConfig:
    """The shape of the paper's ProsQA run: every stage lasts, the last one longest."""
    return tiny(method=Coconut(max_stage=4), curriculum=Curriculum(stage_epochs=(5, 5, 5, 5, 5, 15)))


def mixed() -> RunConfig:
    """The shape of the demo's: stages of no epochs at both ends, mixing over past ones, Muon."""
    return tiny(method=Coconut(max_stage=4), curriculum=MIXED, optimizer=Muon(lr=6e-3, others_lr=3e-3))


def derived(base: Any, name: str) -> RunConfig:
    """One ablation of a run."""
    return ablations("tiny", base)[f"tiny/ablation/{name}"]()


@pytest.mark.parametrize(
    ("name", "of_paper", "of_mixed"),
    [
        ("reversed", [5] * 15 + [4] * 5 + [3] * 5 + [2] * 5 + [1] * 5 + [0] * 5, [4] * 6 + [3] * 4 + [2] * 4 + [1] * 4),
        (
            "reversed-then-last",
            [4] * 5 + [3] * 5 + [2] * 5 + [1] * 5 + [0] * 5 + [5] * 15,
            [3] * 4 + [2] * 4 + [1] * 4 + [4] * 6,
        ),
        ("first-half", [0] * 5 + [1] * 5 + [2] * 30, [1] * 4 + [2] * 14),
        ("one-epoch-each", [0, 1, 2, 3, 4, 5], [1, 2, 3, 4]),
        ("short-stages", [0, 1, 2, 3, 4] + [5] * 35, [1, 2, 3] + [4] * 15),
    ],
)
def test_the_stage_of_every_epoch(name: str, of_paper: list[int], of_mixed: list[int]) -> None:
    """Guards what an ablation is about, epoch by epoch, where the base run leaves stages out too."""
    for base, want in ((paper, of_paper), (mixed, of_mixed)):
        curriculum = derived(base, name).curriculum
        assert [curriculum.stage(epoch) for epoch in range(curriculum.epochs)] == want


@pytest.mark.parametrize("base", [paper, mixed])
def test_the_random_order_is_one_of_its_own_and_always_the_same(base: Any) -> None:
    """Guards against a "random" order that is the paper's own, or its reverse, or another one tomorrow."""
    curriculum = derived(base, "random-order").curriculum
    assert curriculum.order == derived(base, "random-order").curriculum.order
    lasting = [stage for stage in curriculum.order if curriculum.stage_epochs[stage]]
    assert sorted(lasting) not in (lasting, lasting[::-1])
    assert curriculum.stage_epochs == base().curriculum.stage_epochs


def test_there_is_no_random_order_of_two_stages() -> None:
    """Guards against shuffling for ever."""
    base = tiny(curriculum=Curriculum(stage_epochs=(0, 2, 0, 1)))
    with pytest.raises(ValueError, match="at least 3 stages that last"):
        ablations("tiny", lambda: base)


def test_half_of_the_stages_are_not_shown_by_mixing_either() -> None:
    """Guards the first half: mixing over all stages would show the other half after all."""
    base = replace(paper(), curriculum=replace(paper().curriculum, mix=0.1))
    assert derived(lambda: base, "first-half").curriculum.seen == {0, 1, 2}


@pytest.mark.parametrize(
    ("base", "count", "epochs"),
    [
        (paper, 2, (5, 2, 3, 2, 3, 2, 3, 2, 3, 15)),
        (paper, 3, (5, 1, 2, 2, 1, 2, 2, 1, 2, 2, 1, 2, 2, 15)),
        (mixed, 3, (0, 1, 1, 2, 1, 1, 2, 1, 1, 2, 2, 2, 2, 0)),
    ],
)
def test_thoughts_added_singly_share_their_step_s_epochs(base: Any, count: int, epochs: tuple[int, ...]) -> None:
    """Guards the comparison with thoughts added together: every step keeps its number of epochs."""
    config = derived(base, f"c{count}-singly")
    assert config.method == Coconut(max_stage=4, thoughts_per_step=count, added="singly")
    assert config.curriculum.stage_epochs == epochs


def test_factors_of_stages_go_with_their_steps() -> None:
    """Guards schedules with a factor a stage: with more stages the factors would move to other steps."""
    base = replace(paper(), schedule=Schedule(stage_factors=(1.0, 0.5, 0.25)))
    assert derived(lambda: base, "c2-singly").schedule.stage_factors == (1, 0.5, 0.5, 0.25, 0.25, 1, 1, 1, 1, 1)


@pytest.mark.parametrize(("base", "own"), [(paper, {"c1", "reset-stage", "mix-0"}), (mixed, {"c1", "reset-never"})])
def test_what_the_base_run_has_itself_is_no_ablation(base: Any, own: set[str]) -> None:
    """Guards against training the base run twice, under a name that promises something else."""
    names = {name.removeprefix("tiny/ablation/") for name in ablations("tiny", base)}
    varied = {"c0", "c1", "c2", "c3", "reset-never", "reset-stage", "reset-epoch", "mix-0", "mix-0.05", "mix-0.3"}
    assert names & varied == varied - own
    configs = [replace(make(), recipe="") for make in ablations("tiny", base).values()]
    assert all(a != b for i, a in enumerate(configs) for b in [*configs[:i], replace(base(), recipe="")])


CHANGED = {"c0": "method", "c2": "method", "c3": "method", "c2-singly": "method,curriculum", "mix-0.3": "curriculum"}
CHANGED |= {"c3-singly": "method,curriculum", "lr-third": "optimizer", "lr-triple": "optimizer"}


@pytest.mark.parametrize("base", [paper, mixed])
def test_an_ablation_changes_one_part_and_keeps_the_epochs(base: Any) -> None:
    """Guards against an ablation that also differs in, say, its model, or is trained for longer."""
    ours = flatten(base())
    for name, make in ablations("tiny", base).items():
        config, short = make(), name.rpartition("/")[2]
        assert config.recipe == name
        theirs = flatten(config)
        parts = {field.partition(".")[0] for field in ours if ours[field] != theirs[field]} - {"recipe"}
        assert parts == set(CHANGED.get(short, "curriculum").split(","))
        assert config.curriculum.epochs == (
            base().curriculum.epochs
            if short != "one-epoch-each"
            else len([length for length in base().curriculum.stage_epochs if length])
        )


def test_both_rates_of_muon_are_scaled() -> None:
    """Guards the rate's ablation where two optimizers share the weights."""
    assert derived(mixed, "lr-third").optimizer == Muon(lr=2e-3, others_lr=1e-3)
    assert derived(mixed, "lr-triple").optimizer == Muon(lr=1.8e-2, others_lr=9e-3)


def test_only_the_last_stage_would_be_the_row_without_curriculum() -> None:
    """Guards what is said in place of an ablation `only-last`: the same layouts, whatever the chain's length."""
    marks = Marks(bot=30, eot=31, thought=32, pause=33)
    coconut, without = (
        Coconut(max_stage=3, thoughts_per_step=2),
        CoconutWithoutCurriculum(max_stage=3, thoughts_per_step=2),
    )
    last = Curriculum(stage_epochs=(0, 0, 0, 0, 9))
    for steps in range(6):
        tokens = Tokens(question=[1, 1], steps=[[11, 12]] * steps, answer=[2])
        for epoch in range(9):
            stage = last.draw_stage(epoch, random.Random(epoch))
            assert coconut.layout(tokens, stage, marks) == without.layout(tokens, 0, marks)


@pytest.mark.parametrize(
    "base",
    [
        tiny(method=NoCoT(), curriculum=Curriculum(stage_epochs=(4,))),
        tiny(curriculum=Curriculum(stage_epochs=(1, 1, 1, 1), order=(3, 2, 1, 0))),
    ],
)
def test_other_runs_are_refused(base: RunConfig) -> None:
    """Guards ablations of ablations, whose names would say half of what they are."""
    with pytest.raises(ValueError, match=r"derived from Coconut with its stages in order .* tiny/coconut is something"):
        ablations("tiny", lambda: base)


def test_every_ablation_trains(tmp_path: Path) -> None:
    """Guards curricula that fit no method, and the end of c: no thoughts at all."""
    for name, make in ablations("tiny", tiny).items():
        config = replace(make(), max_steps=12)
        fit(config, tmp_path / name)
        assert RunConfig.load(tmp_path / name / "config.json") == config
        assert metrics(tmp_path / name, "step")[-1]["step"] == 12


def test_no_thoughts_a_step_on_the_command_line(tmp_path: Path, capsys: Capture, monkeypatch: Any) -> None:
    """Guards c = 0: evaluated and audited like the others, without a traceback, and a number of thoughts is refused."""
    monkeypatch.chdir(tmp_path)
    fit(tiny(method=Coconut(max_stage=2, thoughts_per_step=0), max_steps=2), Path("run"))
    for command in ("eval", "probe", "audit"):
        assert "no thoughts" in refused(f"{command} run --weights final --thoughts 2", capsys)
    call("eval run --weights final --single 0")
    out, err = capsys.readouterr()
    assert "+ 0.0 thoughts" in out
    assert "warning" not in err
    assert "puts nothing between question and answer" in refused("audit run --weights final", capsys)


@pytest.mark.parametrize(("epochs", "warned"), [((1, 1, 0, 0), True), ((1, 0, 1, 0), False)])
def test_prompts_that_no_training_has_seen_are_warned_of(
    epochs: tuple[int, ...], warned: bool, tmp_path: Path, capsys: Capture
) -> None:
    """Guards half a curriculum: evaluated with all thoughts it looks like a run of Coconut that failed."""
    config = tiny(curriculum=Curriculum(stage_epochs=epochs), max_steps=2)
    fit(config, tmp_path / "run")
    call(f"eval {tmp_path / 'run'} --weights final --single 0")
    err = capsys.readouterr().err
    assert (
        "warning: evaluation asks as in the last stage, 3, but the curriculum trains only the stages 0, 1" in err
    ) is warned
