"""What `validate` finds in the shared files: figures for the documentation, and no false alarms on real text."""

from __future__ import annotations

import pytest

from unspoken.tasks.base import FileTask
from unspoken.tasks.commonsense import CommonsenseQA, StrategyQA
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.own import Columns, OwnFile
from unspoken.tasks.prontoqa import ProntoQA
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.rows import data_file, data_root
from unspoken.validation.validate import validate


def _words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


DOUBT = ("warning", "doubt")
EMPTY_STEP = ("warning", "empty step")
SHARED: dict[str, tuple[FileTask, int, dict[tuple[str, str], int]]] = {
    "prosqa/prosqa_valid.json": (ProsQA(), 300, {}),
    "prosqa/prosqa_test.json": (ProsQA(), 500, {}),
    "prontoqa/prontoqa_train.json.gz": (ProntoQA(), 9000, {}),
    "prontoqa/prontoqa_valid.json": (ProntoQA(), 200, {}),
    "prontoqa/prontoqa_test.json": (ProntoQA(), 800, {}),
    # Problems without an equation have one empty step; row 723 holds a zero-width space.
    "gsm8k/gsm_train_noaug.json.gz": (GSM8K(), 6973, {EMPTY_STEP: 89, ("warning", "invisible character"): 1}),
    "gsm8k/gsm_valid.json": (GSM8K(), 500, {EMPTY_STEP: 6}),
    "gsm8k/icot_valid.txt": (GSM8K(), 500, {EMPTY_STEP: 6}),
    "gsm8k/gsm_test.json": (OwnFile(compare="numeric"), 1319, {EMPTY_STEP: 18}),
    # Row 289, steps[1] holds U+FFFD: it comes from a token log. Five equations are false.
    "gsm8k/gsm8k_aug_sample.json": (GSM8K(), 641, {DOUBT: 5, ("warning", "encoding"): 1}),
    "math/svamp.jsonl": (OwnFile(columns=Columns(question="input", answer="target"), compare="numeric"), 1000, {}),
    "math/gsmhardv2.jsonl.gz": (
        OwnFile(columns=Columns(question="input", answer="target"), compare="numeric"),
        1319,
        {},
    ),
    # Rows whose right choice is offered twice, under two labels.
    "commonsense/commonsenseqa_train.jsonl.gz": (CommonsenseQA(), 9741, {DOUBT: 42}),
    "commonsense/commonsenseqa_dev.jsonl": (CommonsenseQA(), 1221, {DOUBT: 6}),
    # Rows 114 and 1469 ask the same question.
    "commonsense/strategyqa_train.json.gz": (StrategyQA(), 2061, {("warning", "repeated question"): 1}),
}


@pytest.mark.parametrize("name", SHARED)
def test_shared_files(name: str) -> None:
    """Guards both: the published files against silent changes, and the checks against alarms on real text."""
    if not data_root().joinpath(name).is_file():
        pytest.skip(f"no {name} in {data_root()}")
    task, rows, kinds = SHARED[name]
    report = validate(data_file(name), task, count_tokens=_words)
    assert (report.rows, report.problems) == (rows, rows)
    assert report.kinds == kinds
