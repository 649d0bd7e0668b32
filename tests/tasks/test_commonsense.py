"""CommonsenseQA and StrategyQA: rows, held-out splits, and what counts as an answer."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.tasks.base import Example, FileTask
from unspoken.tasks.commonsense import LABELS, CommonsenseQA, StrategyQA, chosen, tenth
from unspoken.tasks.make import write_examples
from unspoken.tasks.rows import data_file, data_root

shared = pytest.mark.skipif(
    not data_root().joinpath("commonsense/commonsenseqa_dev.jsonl").is_file()
    or not data_root().joinpath("commonsense/commonsenseqa_train.jsonl.gz").is_file()
    or not data_root().joinpath("commonsense/strategyqa_train.json.gz").is_file(),
    reason=f"no commonsense files in {data_root()}",
)

WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Zs", "Zl", "Zp", "Cc")), min_size=1)
LINE = st.lists(WORD, min_size=1, max_size=5).map(" ".join)

CHOICES = {"A": "race track", "B": "populated areas", "C": "the desert", "D": "apartment", "E": "roadblock"}
ASKED = Example(question="Where?", steps=(), answer="B", meta={"choices": CHOICES})
PUBLISHED = {
    "answerKey": "B",
    "id": "61fe",
    "question": {
        "question_concept": "people",
        "choices": [{"label": label, "text": text} for label, text in CHOICES.items()],
        "stem": "Sammy wanted to go to where the people were.  Where might he go?",
    },
}
ON_THE_HUB = {
    "id": "61fe",
    "question": "Sammy wanted to go to where the people were.  Where might he go?",
    "question_concept": "people",
    "choices": {"label": list(CHOICES), "text": list(CHOICES.values())},
    "answerKey": "B",
}
QUESTION = (
    "Sammy wanted to go to where the people were. Where might he go? Choices: A: race track B: populated areas "
    "C: the desert D: apartment E: roadblock"
)
STRATEGY = {
    "qid": "2bc9",
    "term": "Genghis Khan",
    "question": "Are more people today related to Genghis Khan than Julius Caesar? ",
    "answer": True,
    "facts": ["Julius Caesar had three children.", "Genghis Khan had  sixteen children. "],
    "decomposition": ["How many kids did Julius Caesar have?", "Is #2 greater than #1?"],
}


def _lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("row", [PUBLISHED, ON_THE_HUB])
def test_both_published_formats_are_the_same_question(row: dict[str, Any], tmp_path: Path) -> None:
    """Guards files saved from the hub, whose choices are columns, and double blanks in stems."""
    (example,) = CommonsenseQA().read(_lines(tmp_path / "a.jsonl", row))
    assert example == Example(question=QUESTION, steps=(), answer="B", meta={"id": "61fe", "choices": CHOICES})
    assert CommonsenseQA().recognises(row)


@pytest.mark.parametrize(
    ("extra", "steps"),
    [
        ({"steps": ["One. Two.", " three "]}, ("One. Two.", "three")),
        (
            {"rationale": "People are in towns. Towns are\npopulated. "},
            ("People are in towns.", "Towns are populated."),
        ),
        ({"steps": None, "rationale": None}, ()),
    ],
)
def test_chains_of_the_users_own(extra: dict[str, Any], steps: tuple[str, ...], tmp_path: Path) -> None:
    """Guards training on chains, which the published files lack: a list is kept, one text is cut into sentences."""
    (example,) = CommonsenseQA().read(_lines(tmp_path / "a.jsonl", {**PUBLISHED, **extra}))
    assert example.steps == steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answerKey": "F"}, r"line 2: field `answerKey`: expected the label of one of the choices, got 'F'"),
        ({"answerKey": None}, r"line 2: field `answerKey`: .* got None; the published test split has no labels"),
        ({"question": "Where?"}, r"line 2: field `choices`: expected .* got None"),
        ({"question": {**PUBLISHED["question"], "stem": " "}}, r"line 2: field `question`: expected a question"),
        ({"question": {**PUBLISHED["question"], "choices": []}}, r"line 2: field `choices`: .* got none"),
        ({**ON_THE_HUB, "choices": {"label": ["A"], "text": ["a", "b"]}}, r"line 2: field `choices`: expected"),
        ({**ON_THE_HUB, "choices": {"label": ["A", "C"], "text": ["a", "b"]}}, r"line 2: field `choices`: .* got A, C"),
        ({**ON_THE_HUB, "choices": {"label": ["A", "B"], "text": ["a", " "]}}, r"line 2: field `choices`: .* for B"),
        ({"answer": "B", "choices": CHOICES, "question": "Where?"}, r"line 2: field `question`: expected it to end in"),
        ({"steps": ["a", 3]}, r"line 2: .*steps\[1\]"),
    ],
)
def test_commonsense_errors_name_row_and_field(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Guards wrong labels and half-converted rows, which would train silently; blank lines count as lines."""
    (tmp_path / "a.jsonl").write_text("\n" + json.dumps({**PUBLISHED, **change}))
    with pytest.raises(ValueError, match=message):
        CommonsenseQA().read(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "said",
    ["B", "b", " B ", "(B)", "[b]", "B.", "B)", "B:", "B. populated areas", "(B) populated areas", "B populated areas",
     "populated areas", "Populated areas.", "the populated areas", "The answer is B", "The answer is: B", "Answer: (B)",
     "So the correct answer is B: populated areas", "B, because people live there"],
)  # fmt: skip
def test_right_answers_however_written(said: str) -> None:
    """Guards models that write the label with its text, in brackets, or after a phrase: all are right."""
    task = CommonsenseQA()
    assert task.correct(task.extract(f"People live in towns.\n### {said}"), ASKED)


@pytest.mark.parametrize(
    "said",
    ["", "A", "(C)", "F", "B or C", "Bees", "areas", "populated", "not B", "A. populated areas", "desert",
     "ABCDE", "I think so", "the", "B populated"],
)  # fmt: skip
def test_wrong_answers(said: str) -> None:
    """Guards generosity: no label in passing, no part of a choice, no list of labels is an answer."""
    assert not CommonsenseQA().correct(said, ASKED)


def test_choices_with_the_same_text() -> None:
    """Guards the 146 published rows that offer a text twice: the text is either label, a label only itself."""
    twice = {"A": "fur", "B": "nipples", "C": "a fur", "D": "fur"}
    assert chosen("fur", twice) == "AD"
    assert chosen("A. fur", twice) == "A", "the A is a label, no article"
    assert chosen("a fur", twice) == "C"
    assert chosen("the fur", twice) == "", "three choices, two texts"


@given(texts=st.lists(LINE, min_size=2, max_size=5, unique_by=str.casefold), data=st.data())
def test_labels_and_texts_choose_themselves(texts: list[str], data: st.DataObject) -> None:
    """Guards any choices at all: a label and punctuation chooses that label unless a choice reads just so."""
    choices: dict[str, str] = dict(zip(LABELS, texts, strict=False))
    label = data.draw(st.sampled_from(list(choices)))
    folded = {text.casefold().strip(" .") for text in texts}
    for said in (label, f"({label})", f"{label}."):
        if said.casefold().strip(" .") not in folded:
            assert chosen(said, choices) == label
    assert all(found in choices for found in chosen(data.draw(st.text()), choices))


@given(
    stem=LINE,
    texts=st.lists(LINE, min_size=2, max_size=5),
    steps=st.lists(LINE),
    data=st.data(),
)
def test_commonsense_survives_our_own_format(
    stem: str, texts: list[str], steps: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Guards `data convert`: what is written, in Coconut's fields and two more, reads back as the same problem."""
    folder = tmp_path_factory.mktemp("own")
    offered = [{"label": label, "text": text} for label, text in zip(LABELS, texts, strict=False)]
    key = LABELS[data.draw(st.integers(0, len(texts) - 1))]
    row = {"id": "x", "answerKey": key, "question": {"stem": stem, "choices": offered}, "steps": steps}
    task = CommonsenseQA()
    examples = task.read(_lines(folder / "a.jsonl", row))
    write_examples(task, folder / "b.json", examples)
    assert task.read(folder / "b.json") == examples
    assert task.recognises(task.row(examples[0]))
    assert json.loads((folder / "b.json").read_text())[0]["question"].startswith(" ".join(stem.split()))


def test_strategy_chains(tmp_path: Path) -> None:
    """Guards what stands in for a chain: facts without stray blanks, or the decomposition with its references."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps([STRATEGY]))
    (example,) = StrategyQA().read(path)
    assert example == Example(
        question="Are more people today related to Genghis Khan than Julius Caesar?",
        steps=("Julius Caesar had three children.", "Genghis Khan had sixteen children."),
        answer="Yes",
        meta={"qid": "2bc9"},
    )
    (example,) = StrategyQA(chain="decomposition").read(path)
    assert example.steps == ("How many kids did Julius Caesar have?", "Is #2 greater than #1?")
    assert StrategyQA().recognises(STRATEGY) and not CommonsenseQA().recognises(STRATEGY)


@pytest.mark.parametrize("chain", ["facts", "decomposition"])
def test_strategy_survives_our_own_format(chain: Any, tmp_path: Path) -> None:
    """Guards `data convert`: Yes and No, and steps under their own name, read back as the same problems."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps([STRATEGY, {**STRATEGY, "answer": False}]))
    task = StrategyQA(chain=chain)
    examples = task.read(path)
    write_examples(task, tmp_path / "b.jsonl", examples)
    assert task.read(tmp_path / "b.jsonl") == examples
    assert [example.answer for example in examples] == ["Yes", "No"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "perhaps"}, r"row 1: field `answer`: expected true or false, Yes or No, got 'perhaps'"),
        ({"answer": 1}, r"row 1: .*answer"),
        ({"question": ""}, r"row 1: field `question`: expected a question"),
        ({"facts": "one"}, r"row 1: .*facts"),
    ],
)
def test_strategy_errors_name_row_and_field(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Guards answers that are neither, and facts in one text, read character by character otherwise."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps([STRATEGY, {**STRATEGY, **change}]))
    with pytest.raises(ValueError, match=message):
        StrategyQA().read(path)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("### Yes", True),
        ("Superman died in Superman #75.\n### yes.", True),
        ("Is #2 greater than #1?\n### True", True),
        ("### The answer is: Yes", True),
        ("### No", False),
        ("### false", False),
        ("### Yesterday", False),
        ("### The", False),
        ("Is #2 greater than #1?", False),
        ("", False),
    ],
)
def test_yes_and_no(text: str, right: bool) -> None:
    """Guards both ways of saying it, and a chain that holds the mark of an answer or none at all."""
    task = StrategyQA()
    yes = Example(question="q", steps=(), answer="Yes", meta={"qid": ""})
    assert task.correct(task.extract(text), yes) is right


def test_tenths_are_pinned() -> None:
    """Guards every held-out split: another hash would move training problems into the test split."""
    assert [tenth(f"question {i}?") for i in range(8)] == [1, 6, 2, 2, 0, 9, 6, 0]
    assert tenth(" Question  1? ") == tenth("question 1?"), "the same question in other type"


@shared
@pytest.mark.parametrize(
    ("task", "sizes", "digest"),
    [
        (CommonsenseQA(), (8767, 974, 1221), "ad9930b148df839a"),
        (StrategyQA(), (1630, 206, 225), "2b68ec77e3b0eb92"),
        (StrategyQA(chain="decomposition"), (1630, 206, 225), "74749e917f87d7c6"),
    ],
)
def test_published_splits(task: FileTask, sizes: tuple[int, int, int], digest: str) -> None:
    """Guards the splits: none shares a question with another, their sizes and every text in them are pinned."""
    splits = [task.examples("train"), task.examples("valid"), task.examples("test")]
    assert tuple(map(len, splits)) == sizes
    asked = [{example.question for example in split} for split in splits]
    assert not asked[0] & asked[1] and not asked[0] & asked[2] and not asked[1] & asked[2]
    texts = json.dumps([[(e.question, e.steps, e.answer) for e in split] for split in splits])
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == digest


@shared
def test_splits_do_not_depend_on_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards hold-outs by position: a shuffled copy of the file has the same questions in each split."""
    rows = json.loads(gzip.decompress(data_file("commonsense/strategyqa_train.json.gz").read_bytes()))
    before = {example.question for example in StrategyQA().examples("test")}
    random.Random(0).shuffle(rows)
    (tmp_path / "commonsense").mkdir()
    (tmp_path / "commonsense" / "strategyqa_train.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    monkeypatch.setenv("UNSPOKEN_DATA", str(tmp_path))
    assert {example.question for example in StrategyQA().examples("test")} == before


@shared
def test_a_named_file_is_used_whole() -> None:
    """Guards users' own splits: the hold-out rule is for the published file, not for a file somebody names."""
    path = data_file("commonsense/strategyqa_train.json.gz")
    assert len(StrategyQA(test_file=path).examples("test")) == 2061
    assert len(StrategyQA().on_file(path).examples("test")) == 2061
    assert len(StrategyQA(test_file=path).examples("valid")) == 206
    train = data_file("commonsense/commonsenseqa_train.jsonl.gz")
    assert len(CommonsenseQA(valid_file=train).examples("valid")) == 9741


@shared
def test_published_answers_are_right_and_others_wrong() -> None:
    """Guards judging on all 10,962 published rows: every form of the right label is right, of another one wrong."""
    task = CommonsenseQA()
    forms = ("{0}", "({0})", "{0}.", "{0}. {1}", "{0}: {1}", "({0}) {1}", "{0} {1}", "The answer is: {0}")
    wrong = []
    for example in [*task.examples("train"), *task.examples("valid"), *task.examples("test")]:
        for label, text in example.meta["choices"].items():
            for form in forms:
                said = form.format(label, text)
                if task.correct(said, example) is not (label == example.answer):
                    wrong.append((said, example.question))
    assert wrong == []


@shared
def test_published_answers_are_balanced() -> None:
    """Guards the labels themselves: a shifted letter or a swapped truth value would show in the counts."""
    labels = Counter(example.answer for example in CommonsenseQA().examples("test"))
    assert labels == {"A": 239, "B": 255, "C": 241, "D": 251, "E": 235}
    path = data_file("commonsense/strategyqa_train.json.gz")
    assert Counter(e.answer for e in StrategyQA().read(path)) == {"No": 1097, "Yes": 964}
