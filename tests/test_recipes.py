"""Every recipe runs, under a name that says what it is."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from stand_ins import stand_in
from tiny_runs import metrics
from unspoken.config import After, BatchSize, RunConfig, Validation
from unspoken.data import tokenize
from unspoken.evaluate import evaluate
from unspoken.layout import MARKERS, Marks, Tokens
from unspoken.markers import find_markers
from unspoken.methods import PauseAsThought
from unspoken.paper import METHOD_NAMES
from unspoken.recipes import RECIPES, find_recipe
from unspoken.specs import GPT2, SMOLLM2, GPT2Tokenizer, Llama, Pretrained, TokenizerSpec, pretrained_root
from unspoken.tasks.base import Task
from unspoken.tasks.commonsense import StrategyQA
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.multiplication import Multiplication
from unspoken.tasks.own import OwnFile
from unspoken.tasks.prontoqa import ProntoQA
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_root
from unspoken.tokenization import build_tokenizer, tokenizer_named
from unspoken.train import fit

METHOD_OF = {
    "cot": "CoT",
    "no-cot": "NoCoT",
    "icot": "ICoT",
    "pause": "Pause",
    "coconut": "Coconut",
    "without-curriculum": "CoconutWithoutCurriculum",
    "without-thought": "WithoutThought",
    "pause-as-thought": "PauseAsThought",
    "shuffled-thoughts": "ShuffledThoughts",
    "detached-thoughts": "DetachedThoughts",
}
ROWS = 8
TOKENIZER = "tokenizer/gpt2/vocab.json"
NEEDS = {
    "speedrun/": ("prosqa/prosqa_valid.json", "prosqa/prosqa_test.json", TOKENIZER),
    "prosqa/": ("prosqa/prosqa_valid.json", "prosqa/prosqa_test.json", TOKENIZER),
    "prontoqa/": (*ProntoQA.published.values(), TOKENIZER),
    "own/": (TOKENIZER,),
    "strategyqa/": (*StrategyQA.published.values(), TOKENIZER),
    "gsm8k/": (*GSM8K.published.values(), TOKENIZER),
}

in_all_recipes = pytest.mark.parametrize("name", RECIPES)


def smaller(value: Any, sizes: dict[str, int]) -> Any:
    """A dataclass with some of its sizes changed, those of the dataclasses in it too."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if field.name in sizes:
            changes[field.name] = sizes[field.name]
        elif isinstance(inner, Task):
            changes[field.name] = smaller(inner, sizes)
    return replace(value, **changes)


def small(config: RunConfig) -> RunConfig:
    """The same run with smaller sizes; method, adapters, curriculum, optimizer, schedule and precision stay."""
    model = config.model
    if isinstance(model, After):
        model = replace(model, first=small(model.first))
    elif isinstance(model, Pretrained):
        model = stand_in(model)
    else:
        assert isinstance(model, Llama | GPT2)
        model = smaller(model, {"layers": 1, "width": 16, "heads": 2, "mlp_width": 32})
    micro = config.batch.micro
    return replace(
        config,
        task=smaller(config.task, {"num_train": 2 * ROWS, "num_valid": ROWS, "num_test": ROWS}),
        model=model,
        batch=BatchSize(
            rows=ROWS,
            micro=None if micro is None else min(micro, ROWS),
            bucket=config.batch.bucket,
            evaluation=ROWS,
        ),
        validation=Validation(every_epochs=config.validation.every_epochs, examples=ROWS),
        max_steps=2,
        log_every=1,
    )


@in_all_recipes
def test_a_recipe_trains_and_is_evaluated(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards recipes nobody has run lately: a stage too many, rows too few, a word outside the vocabulary."""
    needed = [file for start, files in NEEDS.items() if name.startswith(start) for file in files]
    if missing := [file for file in needed if not (data_root() / file).is_file()]:
        pytest.skip(f"needs {missing[0]} in {data_root()}; set UNSPOKEN_DATA")
    for task in (ProsQA, ProntoQA, GSM8K, Multiplication, OwnFile, StrategyQA):
        monkeypatch.setattr(task, "max_new_tokens", 8)
    config = small(find_recipe(name))
    if isinstance(config.task, OwnFile):
        rows = [{"question": f"{i} and 1?", "steps": [f"{i}+1"], "answer": i + 1} for i in range(2 * ROWS)]
        (tmp_path / "own.json").write_text(json.dumps(rows))
        file = tmp_path / "own.json"
        config = replace(config, task=OwnFile(train_file=file, valid_file=file, test_file=file))
    model = fit(config, tmp_path / "run")
    assert [line["step"] for line in metrics(tmp_path / "run", "step")] == [1, 2]
    (line,) = metrics(tmp_path / "run", "validation")[-1:]
    assert (line["step"], line["num"]) == (2, ROWS)
    assert RunConfig.load(tmp_path / "run" / "config.json") == config
    examples = config.task.examples("test")[:ROWS]
    records = evaluate(model, config.task, config.method, examples, rows=ROWS)
    assert [record.target for record in records] == [example.answer for example in examples]
    thinks = not isinstance(config.method, PauseAsThought) and config.method.trained_thoughts is not None
    wanted = config.method.trained_thoughts if thinks else 0
    assert {record.num_thoughts for record in records} == {wanted}


def _starts() -> set[str]:
    """Recipes that others start after; they are named for what they teach."""
    models = [make().model for make in RECIPES.values()]
    return {model.first.recipe for model in models if isinstance(model, After)}


@in_all_recipes
def test_a_recipe_is_named_task_then_method(name: str) -> None:
    """Guards the names in tables and run folders: a recipe called coconut must be one."""
    assert re.fullmatch(r"[a-z0-9-]+(/[a-z0-9.-]+)+", name)
    config = find_recipe(name)
    assert config.recipe == name
    *where, last = name.split("/")
    assert (config.adapter is not None) == last.endswith("-lora")
    last = last.removesuffix("-lora")
    if where == ["speedrun"]:
        assert type(config.method).__name__ == "Coconut"
        return
    if where[-1] == "ablation":
        assert type(config.method).__name__ == "Coconut"
        return
    # Another c than the row itself has.
    last = re.sub(r"^coconut-c\d$", "coconut", last)
    assert last in METHOD_OF or name in _starts()
    if last in METHOD_OF:
        assert type(config.method).__name__ == METHOD_OF[last]
        task = {"demo": "", "small": where[-1].partition("-")[0].removesuffix("s")}.get(where[0], where[0])
        assert task in type(config.task).__name__.lower()


@pytest.mark.parametrize("where", ["prosqa/gpt2", "gsm8k/gpt2", "prosqa/smollm2", "gsm8k/smollm2"])
def test_every_row_of_the_table_has_a_recipe(where: str) -> None:
    """Guards the paper's Table 1, on its model and on one that is pretrained: a method without a recipe is a row nobody
    can reproduce."""
    found = {type(make().method).__name__ for name, make in RECIPES.items() if name.startswith(f"{where}/")}
    assert found == set(METHOD_NAMES) == set(METHOD_OF.values())


@cache
def _tokenized(spec: TokenizerSpec | Pretrained, task: Task) -> tuple[Marks, list[Tokens]]:
    """Some training problems, and the markers; `build_model` adds those to tokenizers that lack them."""
    tokenizer = tokenizer_named(spec.found()) if isinstance(spec, Pretrained) else build_tokenizer(spec, task)
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS.values())})
    return find_markers(tokenizer), tokenize(task.examples("train")[:100], task, tokenizer)


@in_all_recipes
def test_every_stage_fits_the_model(name: str) -> None:
    """Guards against a length error hours into a run: problem, thoughts and answer must fit at every stage."""
    config = find_recipe(name)
    model = config.model
    while isinstance(model, After):
        model = model.first.model
    assert isinstance(model, Llama | GPT2 | Pretrained)
    if isinstance(config.task, OwnFile):
        pytest.skip("its problems are the user's")
    if isinstance(model, Pretrained):
        folder = pretrained_root() / model.path
        if not folder.is_dir():
            pytest.skip(f"needs {model.path} in {pretrained_root()}; {SMOLLM2} comes with make pretrained")
        positions = AutoConfig.from_pretrained(folder).max_position_embeddings
    else:
        positions = model.positions
        if isinstance(model.tokenizer, GPT2Tokenizer) and not (data_root() / TOKENIZER).is_file():
            pytest.skip(f"needs {TOKENIZER} in {data_root()}; set UNSPOKEN_DATA")
    marks, examples = _tokenized(model if isinstance(model, Pretrained) else model.tokenizer, config.task)
    for tokens in examples:
        for stage in range(config.method.stages):
            layout = config.method.layout(tokens, stage, marks)
            assert len(layout) <= positions
            assert len(layout.prompt) + config.task.max_new_tokens <= positions
            assert any(label != -100 for label in layout.labels)
