"""Run folders to rows: what shares a row, what is kept apart, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from command_line import Capture, call
from run_folders import audited, hops, run_folder, seeds, summary
from unspoken.audit.verdict import Carry
from unspoken.config import After, BatchSize
from unspoken.methods import Coconut
from unspoken.paper import METHOD_NAMES
from unspoken.recipes import find_recipe
from unspoken.specs import Lora
from unspoken.tables import collect
from unspoken.tables.rows import Verdict
from unspoken.tasks.hops import Hops

ROOT = Path(__file__).parents[2]


def test_rows_come_in_the_papers_order_whatever_the_order_of_runs(tmp_path: Path) -> None:
    """Guards the comparison with the printed table, method by method; a method of one's own comes last."""
    names = ["detached-thoughts", "pause", "coconut", "no-cot", "without-thought", "icot", "cot", "without-curriculum"]
    made = [run_folder(tmp_path / n, find_recipe(f"prosqa/gpt2/{n}"), summary()) for n in names]
    methods = [row.method for row in collect(made)]
    assert methods == [name for name in METHOD_NAMES if name in methods]
    assert len(methods) == len(names)


def test_families_come_by_their_whole_names(tmp_path: Path) -> None:
    """Guards the order of columns: "-" sorts before "/", and put the four-layer aside before the table itself."""
    recipes = ["small/prosqa-4-layers/coconut", "small/prosqa/coconut"]
    made = [run_folder(tmp_path / str(i), find_recipe(name), summary()) for i, name in enumerate(recipes)]
    assert [row.recipe for row in collect(made)] == recipes[::-1]


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"method": Coconut(max_stage=2, thoughts_per_step=2)}, "method.thoughts_per_step"),
        ({"task": Hops(nodes=6, hops=2)}, "task.nodes"),
        ({"adapter": Lora()}, "adapter"),
        ({"precision": "bf16"}, "precision"),
        ({"batch": BatchSize(rows=64)}, "batch.rows"),
        ({"max_steps": 5}, "max_steps"),
    ],
)
def test_runs_that_differ_in_a_flag_do_not_pass_as_seeds(changes: dict[str, Any], detail: str, tmp_path: Path) -> None:
    """Guards against a mean over different methods or tasks: flags keep the recipe name; rows say what differs."""
    one = run_folder(tmp_path / "one", hops(), summary(1, 4))
    two = run_folder(tmp_path / "two", hops(seed=1, **changes), summary(3, 4))
    rows = collect([one, two])
    assert len(rows) == 2
    assert all(row.detail.rpartition(" ")[0] == detail for row in rows), [row.detail for row in rows]
    assert rows[0].detail != rows[1].detail
    assert [row.detail for row in collect([one])] == [""]


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "plain"},
        {"checkpoint_every": 7, "checkpoint_keep": 1},
        {"log_every": 3, "max_loss": 40.0},
        {"batch": BatchSize(micro=8, evaluation=16)},
    ],
)
def test_how_a_run_was_carried_out_makes_no_row_of_its_own(changes: dict[str, Any], tmp_path: Path) -> None:
    """Guards seeds trained on several machines: a smaller micro-batch or another engine is the same run."""
    one = run_folder(tmp_path / "one", hops(), summary(1, 4))
    two = run_folder(tmp_path / "two", hops(seed=1, **changes), summary(3, 4))
    (row,) = collect([one, two])
    assert row.seeds == (0, 1)
    first, second = (hops(model=After(first=hops(**each))) for each in (dict[str, Any](), {"seed": 5, **changes}))
    one = run_folder(tmp_path / "three", first, summary(1, 4))
    two = run_folder(tmp_path / "four", replace(second, seed=1), summary(3, 4))
    assert len(collect([one, two])) == 1, "so it is in a run that another one starts after"


def test_one_run_named_twice_is_no_second_seed(tmp_path: Path) -> None:
    """Guards against a spread of zero over "2 seeds" from `table runs/* runs/x`."""
    run = run_folder(tmp_path / "one", hops(), summary(1, 4))
    (row,) = collect([run, tmp_path / "one" / ".." / "one"])
    assert row.seeds == (0,)


def test_two_runs_with_one_seed_are_refused(tmp_path: Path) -> None:
    """Guards against a spread of zero over "2 seeds" that are the same run trained twice."""
    one = run_folder(tmp_path / "one", hops(), summary(1, 4))
    two = run_folder(tmp_path / "two", hops(engine="plain"), summary(1, 4))
    with pytest.raises(ValueError, match=r"one and .*two are the same run \(tiny/coconut\) with the same seed 0"):
        collect([one, two])


@pytest.mark.parametrize("changes", [{"forced_thoughts": 2}, {"split": "valid"}, {"task": {"type": "Hops"}}])
def test_runs_on_different_problems_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    """Guards against a mean over different test sets, or over different numbers of forced thoughts."""
    one = run_folder(tmp_path / "one", hops(), summary(1, 4))
    two = run_folder(tmp_path / "two", hops(seed=1), summary(1, 4, **changes))
    with pytest.raises(ValueError, match=r"one and .*two .*different problems or thoughts"):
        collect([one, two])


def test_further_evaluations_on_different_problems_are_refused(tmp_path: Path) -> None:
    """Guards the columns of further evaluations as well: one name, two sets of problems."""
    for seed in (0, 1):
        run = run_folder(tmp_path / str(seed), hops(seed=seed), summary(1, 4))
        run_folder(run, hops(seed=seed), summary(2, 4, task={"type": "Hops", "nodes": seed}), evaluation="hard")
    both = [tmp_path / "0", tmp_path / "1"]
    with pytest.raises(ValueError, match="different problems or thoughts"):
        collect(both)
    assert len(collect(both, also=())) == 1, "but not where they are not asked for"


def test_another_evaluation_of_the_same_runs(tmp_path: Path) -> None:
    """Guards `table --eval NAME`: figures of one evaluation must not stand under another's name."""
    run = run_folder(tmp_path / "run", hops(), summary(1, 4))
    run_folder(run, hops(), summary(4, 4, split="valid"), evaluation="valid")
    assert [row.accuracy for row in collect([run])] == [0.25]
    assert [(row.accuracy, row.evaluation) for row in collect([run], evaluation="valid")] == [(1.0, "valid")]


def test_further_evaluations_are_all_that_a_run_has_or_those_asked_for(tmp_path: Path) -> None:
    """Guards against an evaluation with forced thoughts, or an unfinished one, that passes as other problems."""
    run = run_folder(tmp_path / "run", hops(), summary(1, 4))
    evaluations: dict[str, dict[str, Any]] = {"far": {}, "near": {}, "test-0-thoughts": {"forced_thoughts": 0}}
    for name, changes in evaluations.items():
        run_folder(run, hops(), summary(2, 4, **changes), evaluation=name)
    run_folder(run, hops(), summary(2, 4), evaluation=".far.unfinished")
    assert [list(row.runs[0].further) for row in collect([run])] == [["far", "near"]]
    assert [list(row.runs[0].further) for row in collect([run], also=["near"])] == [["near"]]
    assert [list(row.runs[0].further) for row in collect([run], also=[])] == [[]]
    assert [list(row.runs[0].further) for row in collect([run], evaluation="far")] == [["near", "test"]]
    for name in ("nar", "test-0-thoughts"):
        with pytest.raises(ValueError, match=rf"named '{name}'.*there are: far, near, test-0-thoughts"):
            collect([run], also=[name])


def test_a_verdict_is_the_one_of_the_same_name(tmp_path: Path) -> None:
    """Guards against the audit of other problems beside these."""
    (run,) = seeds(tmp_path / "run", hops(), [3], 4)
    audited(run, "partly", evaluation="hard-test")
    assert collect([run])[0].runs[0].verdict is None
    audited(run, "no")
    assert collect([run])[0].runs[0].verdict == "no"


def test_verdicts_are_the_audits() -> None:
    """Guards tables against a verdict that audits have learned since: they lie above and cannot be imported."""
    assert set(get_args(Verdict)) == {each.value for each in Carry}


def test_the_command_says_what_it_leaves_out_but_for_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Guards `table runs/small/*`: a sweep's folder holds a config file for each run, hundreds of lines of nothing."""
    monkeypatch.chdir(tmp_path)
    run_folder(Path("done"), hops(), summary())
    Path("begun").mkdir()
    hops().save(Path("begun.json"))
    call("table done begun begun.json")
    assert capsys.readouterr().err == "unspoken: note: no evaluation named test, left out: begun\n"


def test_the_command_takes_a_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Guards `table runs/*` where a run lies there twice, as a copy or done again: its seed would count double."""
    monkeypatch.chdir(tmp_path)
    run_folder(Path("done"), hops(), summary(3, 4))
    run_folder(Path("again"), hops(engine="plain"), summary(1, 4))
    call("table done again --format csv")
    out, err = capsys.readouterr()
    assert err == f"unspoken: note: again is the same run as done ({hops().recipe}, seed 0), left out\n"
    assert [line.split(",")[6] for line in out.splitlines()] == ["accuracy", "0.750000"]


@pytest.mark.parametrize("command", ["table", "claims"])
def test_the_kept_runs_make_a_table(command: str, capsys: Capture) -> None:
    """Guards the line of the README: every folder of ours at once, those of other kinds among them."""
    call(" ".join([command, *(str(path) for path in sorted((ROOT / "results" / "runs").iterdir()))]))
    out, err = capsys.readouterr()
    assert "Coconut" in out
    assert err.startswith("unspoken: note: ")


def test_bad_files_are_named_with_the_field(tmp_path: Path) -> None:
    """Guards against a traceback, or a wrong figure, from half a folder."""
    (run,) = seeds(tmp_path / "run", hops(), [3], 4)
    whole = (run / "eval" / "test" / "summary.json").read_text()

    def refuses(file: str, content: str, words: str) -> None:
        path = run / file
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else None
        path.write_text(content)
        with pytest.raises(ValueError, match=rf"{file}: .*{words}") as refused:
            collect([run])
        assert "\n" not in str(refused.value)
        path.unlink() if before is None else path.write_text(before)

    refuses("eval/test/summary.json", whole.replace('"num":4', '"num":0'), r"\$\.num`, got 0")
    refuses("eval/test/summary.json", whole.replace('"num_correct":3', '"num_correct":5'), r"\$\.num_correct`, got 5")
    refuses("eval/far/summary.json", whole[:-9], "truncated")
    refuses("eval/far/summary.json", whole.replace('"tokens":4.0', '"tokens":"many"'), r"\$\.tokens")
    refuses("audit/test/audit.json", '{"findings": {"carries": "perhaps"}}', r"'perhaps' - at `\$\.findings\.carries`")
    refuses("audit/test/audit.json", '{"run": "x"}', "missing required field `findings`")
    refuses("audit/test/audit.json", "", "truncated")
    assert len(collect([run])) == 1, "whole again"
    (run / "config.json").unlink()
    with pytest.raises(ValueError, match=r"run-0/config\.json: cannot be read: .*is this a run folder\?"):
        collect([run])
