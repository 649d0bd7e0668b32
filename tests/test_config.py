"""Saving, loading and refusing configs; the learning rate's shape."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.config import AdamW, After, BatchSize, Muon, RunConfig, Schedule, Validation, flatten
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, CoT, ICoT, Pause, ShuffledThoughts
from unspoken.recipes import RECIPES, find_recipe
from unspoken.specs import GPT2, GPT2Tokenizer, Llama
from unspoken.tasks.hops import Hops
from unspoken.tasks.prosqa import ProsQA


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    find_recipe("demo/coconut").save(path)
    return path


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_comes_back_equal_from_disk(name: str, tmp_path: Path) -> None:
    """Guards against a field whose type saves as one thing and loads as another (tuple and list, path and text)."""
    config = RECIPES[name]()
    config.save(tmp_path / "config.json")
    assert RunConfig.load(tmp_path / "config.json") == config
    assert config.recipe == name


def test_values_that_no_recipe_has_come_back_equal(tmp_path: Path) -> None:
    """Guards the optional fields: a path, a nested task, numbers where the default is None."""
    config = replace(
        find_recipe("prosqa/gpt2/coconut"),
        task=ProsQA(train_file=tmp_path / "train.json"),
        model=GPT2(tokenizer=GPT2Tokenizer(folder=tmp_path)),
        optimizer=AdamW(lr=1, betas=(0.5, 0.75), clip_norm=2.5),
        validation=Validation(examples=7, every_epochs=3),
        max_steps=11,
        checkpoint_every=5,
    )
    config.save(tmp_path / "config.json")
    loaded = RunConfig.load(tmp_path / "config.json")
    assert loaded == config
    assert isinstance(loaded.task, ProsQA)
    assert isinstance(loaded.task.train_file, Path)


def test_muon_comes_back_equal_and_an_older_config_still_loads(tmp_path: Path) -> None:
    """Guards the optimizer's own class in config.json, and run folders from before buckets and Muon were there."""
    config = replace(find_recipe("demo/coconut"), optimizer=Muon(lr=0.02, others_lr=3e-3, betas=(0.8, 0.95)))
    config.save(tmp_path / "config.json")
    assert RunConfig.load(tmp_path / "config.json") == config
    find_recipe("demo/cot").save(tmp_path / "config.json")
    edit(tmp_path / "config.json", lambda d: d["batch"].pop("bucket"))
    assert RunConfig.load(tmp_path / "config.json") == find_recipe("demo/cot")


# Shuffled rows must think in the same columns, so they cannot be of several stages; and they must meet by chance.
NO_MIX = {"shuffled-thoughts": ("curriculum.mix", "batch.bucket")}


@pytest.mark.parametrize(
    ("name", "base", "may_differ"),
    [
        ("demo/no-cot", "demo/cot", ("recipe", "method", "curriculum.stage_epochs")),
        ("demo/coconut", "demo/cot", ("recipe", "method", "curriculum", "model.marker_from")),
        ("demo/pause-as-thought", "demo/coconut", ("recipe", "method")),
        *[
            (name, base, ("recipe", "method", "curriculum.stage_epochs", *NO_MIX.get(name.rpartition("/")[2], ())))
            for base in ("prosqa/gpt2/coconut", "prosqa/two-layer/coconut")
            for name in RECIPES
            if name.rpartition("/")[0] == base.rpartition("/")[0] and name != base
        ],
    ],
)
def test_a_derived_recipe_changes_only_what_it_says(name: str, base: str, may_differ: tuple[str, ...]) -> None:
    """Guards the comparison between methods: a baseline that also differs in, say, its batch size is no baseline."""
    if name not in RECIPES or base not in RECIPES:
        pytest.skip(f"there is no recipe {name} or {base}")
    ours, theirs = flatten(RECIPES[name]()), flatten(RECIPES[base]())
    differ = {field for field in {*ours, *theirs} if ours.get(field) != theirs.get(field)}
    assert {"recipe", "method"} <= differ
    assert {field for field in differ if not field.startswith(may_differ)} == set()


BROKEN: list[tuple[str, Callable[[dict[str, Any]], object], tuple[str, ...]]] = [
    ("type with a typo", lambda d: d["method"].update(type="Cocnut"), ("$.method.type", "Cocnut", "'Coconut'")),
    ("type of another family", lambda d: d["task"].update(type="Coconut"), ("$.task.type", "Coconut", "Task")),
    ("abstract type", lambda d: d["method"].update(type="Enclosed"), ("$.method", "Enclosed")),
    ("no type", lambda d: d["method"].pop("type"), ("$.method", "type")),
    ("unknown field", lambda d: d["task"].update(nods=3), ("$.task.nods", "Hops", "'nodes'")),
    ("unknown field at the top", lambda d: d.update(sed=3), ("$.sed", "'seed'")),
    ("text for a number", lambda d: d["optimizer"].update(lr="fast"), ("$.optimizer.lr", "float")),
    ("null for a number", lambda d: d.update(seed=None), ("$.seed", "int")),
    ("object for a number", lambda d: d.update(seed={"type": "Hops"}), ("$.seed", "int")),
    ("text for an object", lambda d: d.update(task="Hops"), ("$.task", "Task")),
    ("word outside a choice", lambda d: d.update(precision="fp8"), ("$.precision", "fp8")),
    ("too many betas", lambda d: d["optimizer"].update(betas=[0.1, 0.2, 0.3]), ("$.optimizer.betas",)),
    ("text in a list", lambda d: d["curriculum"].update(stage_epochs=[1, "x"]), ("$.curriculum.stage_epochs", "[1]")),
    ("missing field", lambda d: d.pop("recipe"), ("recipe",)),
    ("value out of range", lambda d: d["task"].update(nodes=99), ("nodes", "99")),
    ("stages that do not fit", lambda d: d["curriculum"].update(stage_epochs=[1, 2]), ("stage_epochs", "6")),
]


@pytest.mark.parametrize(("change", "words"), [pytest.param(c, w, id=name) for name, c, w in BROKEN])
def test_a_broken_config_names_file_and_field(
    change: Callable[[dict[str, Any]], object], words: tuple[str, ...], saved: Path
) -> None:
    """Guards against a message (or a traceback) from which nobody can tell what to correct, and where."""
    edit(saved, change)
    with pytest.raises(ValueError, match=r"config\.json") as caught:
        RunConfig.load(saved)
    for word in (str(saved), *words):
        assert word in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Guards against an OSError where a mistyped run folder is the commonest mistake of all."""
    with pytest.raises(ValueError, match=r"nowhere/config\.json: cannot be read: .*run folder"):
        RunConfig.load(tmp_path / "nowhere" / "config.json")


@pytest.mark.parametrize("content", [b"", b"not json", b'{"type": "RunConfig"', b"\xff\xfe", b"[]", b"null", b"3"])
def test_a_file_that_is_no_config_is_named(content: bytes, tmp_path: Path) -> None:
    """Guards against decoder errors and attribute errors on files of another kind."""
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json: "):
        RunConfig.load(path)


def test_a_truncated_config_is_refused_wherever_it_ends(saved: Path) -> None:
    """Guards against a half-written config that loads as another run, its missing fields at their defaults."""
    whole = saved.read_bytes().rstrip()
    for end in range(0, len(whole), 37):
        saved.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"config\.json: not JSON"):
            RunConfig.load(saved)


@pytest.mark.parametrize("name", ["xml.dom.minidom.Document", "Document", "os.system", "object", "type"])
def test_a_config_cannot_make_the_program_import_anything(name: str, saved: Path) -> None:
    """Guards the promise that a config file from somebody else is data: only classes already imported are made."""
    edit(saved, lambda d: d["task"].update(type=name))
    before = set(sys.modules)
    with pytest.raises(ValueError, match=r"\$\.task\.type: .*import the file that defines it first"):
        RunConfig.load(saved)
    assert set(sys.modules) == before


def test_a_curriculum_needs_one_length_a_stage() -> None:
    """Guards against a method whose last stages are never trained, or a curriculum whose last lengths are ignored."""
    with pytest.raises(ValueError, match=r"has 2 stages .* but the method has 6"):
        replace(find_recipe("demo/coconut"), curriculum=Curriculum(stage_epochs=(1, 2)))
    with pytest.raises(ValueError, match=r"has 6 stages .* but the method has 1;"):
        replace(find_recipe("demo/coconut"), method=CoT())


def test_a_control_that_mixes_rows_needs_enough_of_them() -> None:
    """Guards the shuffled control: in a batch smaller than its chain a row would get its own thoughts back."""
    recipe = find_recipe("demo/coconut")
    alike = replace(recipe.curriculum, mix=0.0)
    base = replace(recipe, method=ShuffledThoughts(max_stage=4), curriculum=alike)
    replace(base, batch=BatchSize(rows=5))
    with pytest.raises(ValueError, match="at least 5 rows"):
        replace(base, batch=BatchSize(rows=4))
    with pytest.raises(ValueError, match="at least 5 rows"):
        replace(base, batch=BatchSize(rows=64, micro=4))
    with pytest.raises(ValueError, match=r"mix 0, got 0\.1"):
        replace(base, curriculum=replace(alike, mix=0.1))


def _run(**changes: Any) -> RunConfig:
    return replace(find_recipe("demo/cot"), **changes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdamW(lr=0),
        lambda: AdamW(lr=-1e-4),
        lambda: Schedule(warmup_steps=-1),
        lambda: Schedule(floor=1.5),
        lambda: Schedule(floor=-0.1),
        lambda: Schedule(hold=1.0),
        lambda: BatchSize(rows=0),
        lambda: BatchSize(micro=0),
        lambda: BatchSize(evaluation=0),
        lambda: BatchSize(bucket=0),
        lambda: Validation(every_epochs=0),
        lambda: Validation(examples=0),
        lambda: Validation(stop_at=0.0),
        lambda: Validation(stop_at=97.0),
        lambda: Curriculum(stage_epochs=()),
        lambda: Curriculum(stage_epochs=(0, 0)),
        lambda: Curriculum(stage_epochs=(1, -1)),
        lambda: Curriculum(mix=1.1),
        lambda: _run(max_steps=0),
        lambda: _run(checkpoint_every=0),
        lambda: _run(log_every=0),
        lambda: Hops(nodes=1),
        lambda: Hops(nodes=27),
        lambda: Hops(hops=0),
        lambda: Coconut(max_stage=-1),
        lambda: Coconut(thoughts_per_step=-1),
        lambda: Coconut(steps_kept=0),
        lambda: ICoT(tokens_per_stage=0),
        lambda: ICoT(smoothing=-1.0),
        lambda: Pause(pauses=-1),
    ],
)
def test_a_value_out_of_range_is_refused_when_it_is_written(make: Callable[[], object]) -> None:
    """Guards against settings that fail in the middle of a run, or train on nothing without a word."""
    with pytest.raises(ValueError, match=r"-?\d"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: AdamW(lr=math.nan), id="lr nan"),
        pytest.param(lambda: AdamW(lr=math.inf), id="lr inf"),
        pytest.param(lambda: AdamW(clip_norm=0.0), id="clip_norm 0"),
        pytest.param(lambda: AdamW(clip_norm=-1.0), id="clip_norm negative: gradients change sign"),
        pytest.param(lambda: AdamW(betas=(0.9, 1.0)), id="beta 1"),
        pytest.param(lambda: Muon(others_lr=0.0), id="Muon others_lr 0"),
        pytest.param(lambda: Muon(momentum=1.0), id="Muon momentum 1"),
        pytest.param(lambda: Muon(lr=math.nan), id="Muon lr nan"),
        pytest.param(lambda: AdamW(weight_decay=-0.1), id="weight_decay negative"),
        pytest.param(lambda: _run(seed=-1), id="seed negative: numpy refuses it in the first epoch"),
        pytest.param(lambda: Hops(num_test=-1), id="Hops with -1 test problems"),
        pytest.param(lambda: Llama(heads=3), id="Llama: width no multiple of heads"),
        pytest.param(lambda: Llama(layers=0), id="Llama without layers"),
        pytest.param(lambda: GPT2(heads=7), id="GPT2: width no multiple of heads"),
        pytest.param(lambda: GPT2(dropout=1.5), id="GPT2 dropout"),
    ],
)
def test_a_value_that_would_fail_late_is_refused_too(make: Callable[[], object]) -> None:
    """Guards against tracebacks out of libraries, and against a clip_norm that silently trains upwards."""
    with pytest.raises(ValueError, match=r"-?\d|nan|inf"):
        make()


def test_warm_up_is_linear_and_ends_at_one() -> None:
    """Guards against a first step without any learning rate, and against a jump at the end of the warm-up."""
    schedule = Schedule(warmup_steps=4)
    assert [schedule.factor(step, 100) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_without_warm_up_the_published_rate_is_constant() -> None:
    """Guards the published runs: their learning rate never moves."""
    assert {Schedule().factor(step, 10) for step in range(12)} == {1.0}


@pytest.mark.parametrize(("decay", "half", "quarter"), [("linear", 0.5, 0.75), ("cosine", 0.5, 0.5 + 0.25 * 2**0.5)])
def test_decays_are_stretched_over_what_the_warm_up_leaves(decay: Any, half: float, quarter: float) -> None:
    """Guards against a decay that counts the warm-up twice and so ends early, or late."""
    schedule = Schedule(decay=decay, warmup_steps=20)
    assert schedule.factor(20, 100) == pytest.approx(1)
    assert schedule.factor(40, 100) == pytest.approx(quarter)
    assert schedule.factor(60, 100) == pytest.approx(half)
    assert schedule.factor(100, 100) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_the_floor_is_where_a_decay_ends(decay: Any) -> None:
    """Guards against a floor that cuts the curve off instead of stretching it, or that a run beyond its end leaves."""
    schedule = Schedule(decay=decay, floor=0.1)
    assert schedule.factor(50, 100) == pytest.approx(0.55)
    assert schedule.factor(100, 100) == schedule.factor(150, 100) == pytest.approx(0.1)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_a_hold_keeps_the_peak_and_then_decays_in_what_is_left(decay: Any) -> None:
    """Guards a warm-down against a jump where it begins, and against a rate that never comes down."""
    schedule = Schedule(decay=decay, warmup_steps=20, hold=0.5)
    assert {schedule.factor(step, 100) for step in range(20, 61)} == {1.0}
    assert schedule.factor(80, 100) == pytest.approx(0.5)
    assert schedule.factor(100, 100) == pytest.approx(0, abs=1e-12)
    assert Schedule(decay=decay, hold=0.0).factor(30, 100) == Schedule(decay=decay).factor(30, 100)


@given(
    decay=st.sampled_from(["constant", "linear", "cosine"]),
    warmup=st.integers(0, 30),
    floor=st.floats(0, 1),
    hold=st.floats(0, 0.99),
    num_steps=st.integers(1, 40),
)
def test_any_schedule_rises_then_falls_between_zero_and_one(
    decay: Any, warmup: int, floor: float, hold: float, num_steps: int
) -> None:
    """Guards the corners: a warm-up longer than the run, a run of one step, a floor of one."""
    schedule = Schedule(decay=decay, warmup_steps=warmup, floor=floor, hold=hold)
    factors = [schedule.factor(step, num_steps) for step in range(num_steps)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[0] > 0
    top = min(warmup, num_steps)
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert all(factor >= floor - 1e-12 for factor in factors[top:])


def test_a_seed_reaches_the_runs_it_starts_after() -> None:
    """Guards "several seeds" against sharing one initialisation and one warm start."""
    config = find_recipe("demo/planning/coconut").with_seed(7)
    seeds = []
    while isinstance(config.model, After):
        seeds.append(config.seed)
        config = config.model.first
    assert [*seeds, config.seed] == [7, 7, 7, 7]
