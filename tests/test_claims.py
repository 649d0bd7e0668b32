"""Claims of the paper, judged on run folders of known figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command_line import Capture, call, refused
from run_folders import hops, run_folder, seeds, summary
from unspoken.claims import CLAIMS, Agreement, Claim, Relation, judge
from unspoken.config import RunConfig
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, CoT, NoCoT, PauseAsThought, ShuffledThoughts
from unspoken.paper import METHOD_NAMES
from unspoken.tables import collect
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.symbolic import SymbolicProsQA

ONCE = Curriculum(stage_epochs=(1,))


def _prosqa(recipe: str, **changes: Any) -> RunConfig:
    return replace(hops(task=SymbolicProsQA(), recipe=recipe), **changes)


def _claim(one: str, other: str) -> Claim:
    return next(claim for claim in CLAIMS if (claim.one, claim.other) == (one, other))


def test_every_claim_compares_two_rows_of_the_table() -> None:
    """Guards against a method's class renamed, after which its claims would silently be judged no more."""
    for claim in CLAIMS:
        assert {claim.one, claim.other} <= set(METHOD_NAMES)


@pytest.mark.parametrize(
    ("coconut", "no_cot", "agreement"),
    [
        ([970, 960, 980], [760, 750, 770], Agreement.HOLDS),
        ([500, 490, 510], [505, 495, 500], Agreement.NOT_SEEN),
        ([500, 490, 510], [760, 750, 770], Agreement.REVERSED),
        # Seeds that differ widely tell nothing apart, whatever their means.
        ([990, 500, 500], [500, 490, 510], Agreement.NOT_SEEN),
    ],
)
def test_a_difference_is_held_against_the_papers(
    tmp_path: Path, coconut: list[int], no_cot: list[int], agreement: Agreement
) -> None:
    """The paper has Coconut 20 points above No-CoT on ProsQA; guards the verdict in every direction."""
    runs = seeds(tmp_path / "c", _prosqa("a/coconut"), coconut, 1000)
    runs += seeds(tmp_path / "n", _prosqa("a/no-cot", method=NoCoT(), curriculum=ONCE), no_cot, 1000)
    (judged,) = judge(collect(runs), [_claim("Coconut", "NoCoT")])
    assert judged.agreement == agreement
    assert judged.seeds == 3
    assert judged.paper is not None
    assert judged.paper.points == pytest.approx(97.0 - 76.7)
    assert judged.here.points == pytest.approx((sum(coconut) - sum(no_cot)) / 30)


def test_what_the_paper_cannot_tell_apart_holds_where_runs_cannot_either(tmp_path: Path) -> None:
    """Coconut and pauses as thoughts on ProsQA: 97.0 ± .3 and 96.6 ± .8; guards against calling that a difference."""
    claim = _claim("Coconut", "PauseAsThought")
    near = seeds(tmp_path / "c", _prosqa("a/coconut"), [970, 968], 1000)
    near += seeds(tmp_path / "p", _prosqa("a/pause", method=PauseAsThought(max_stage=2)), [969, 971], 1000)
    (judged,) = judge(collect(near), [claim])
    assert judged.paper is not None
    assert judged.paper.relation == judged.here.relation == Relation.ALIKE
    assert judged.agreement == Agreement.HOLDS
    far = near[:2] + seeds(tmp_path / "q", _prosqa("a/pause", method=PauseAsThought(max_stage=2)), [500, 510], 1000)
    assert judge(collect(far), [claim])[0].agreement == Agreement.ONLY_HERE


def test_a_control_the_paper_lacks_has_no_figure_of_it(tmp_path: Path) -> None:
    """Guards against a comparison with a row that the paper never ran."""
    runs = [run_folder(tmp_path / "c", _prosqa("a/coconut"), summary(970, 1000))]
    shuffled = _prosqa("a/shuffled", method=ShuffledThoughts(max_stage=2))
    runs.append(run_folder(tmp_path / "s", shuffled, summary(500, 1000)))
    (judged,) = judge(collect(runs), [_claim("Coconut", "ShuffledThoughts")])
    assert (judged.paper, judged.agreement, judged.here.relation) == (None, Agreement.UNSAID, Relation.BETTER)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """On GSM8K the paper has CoT 8.8 points above Coconut; guards what a user reads."""
    monkeypatch.chdir(tmp_path)
    base = hops(task=GSM8K(), recipe="g/coconut", method=Coconut(max_stage=2))
    run_folder(Path("c"), base, summary(341, 1000))
    run_folder(Path("t"), replace(base, recipe="g/cot", method=CoT(), curriculum=ONCE), summary(429, 1000))
    call("claims c t")
    out = capsys.readouterr().out
    assert "| -8.8 ± 1.5 | -8.8 ± 2.2 | worse | worse | **holds** | 1 |" in out
    assert "no two of these runs" in refused("claims c", capsys)
    assert "at least two run folders" in refused("claims", capsys)
