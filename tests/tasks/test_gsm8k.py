"""GSM8K: every format it is passed around in, rows without equations, and how answers and chains are judged."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspoken.layout import Marks, Tokens
from unspoken.methods import Coconut, CoT, ICoT, Method, NoCoT, PauseAsThought, WithoutThought
from unspoken.tasks.base import Example, Split
from unspoken.tasks.equations import ChainClass
from unspoken.tasks.gsm8k import (
    GSM8K,
    from_icot,
    from_original,
    has_chain,
    read_problems,
    tolerance,
    without,
)
from unspoken.tasks.make import write_examples
from unspoken.tasks.rows import data_root, read_rows

FOLDER = data_root() / "gsm8k"
SHARED = {"train": "gsm_train_noaug.json.gz", "valid": "gsm_valid.json", "test": "gsm_test.json"}
ROWS: dict[Split, int] = {"train": 6_973, "valid": 500, "test": 1_319}
NO_EQUATION: dict[Split, int] = {"train": 89, "valid": 6, "test": 18}
shared = pytest.mark.skipif(
    not all((FOLDER / name).is_file() for name in [*SHARED.values(), "icot_valid.txt", "gsm8k_aug_sample.json"]),
    reason=f"no GSM8K files in {FOLDER}; set UNSPOKEN_DATA",
)
original = pytest.mark.skipif(
    not all((FOLDER / f"gsm8k_{split}.jsonl").is_file() for split in ("train", "test")),
    reason=f"the original gsm8k_train.jsonl and gsm8k_test.jsonl (openai/grade-school-math) are not in {FOLDER}",
)
every_split = pytest.mark.parametrize("split", get_args(Split))

DUCKS = Example(question="How much?", steps=("<<16-3-4=9>>", "<<9*2=18>>"), answer="18")

LINES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1)
EQUATIONS = st.integers(0, 10**6).flatmap(lambda a: st.integers(0, 10**6).map(lambda b: f"<<{a}+{b}={a + b}>>"))
ANSWERS = st.integers(-(10**9), 10**9).flatmap(lambda n: st.sampled_from([str(n), f"{n:,}"]))
CHAINS = st.lists(EQUATIONS, min_size=1, max_size=6).map(tuple) | st.just(("",))
EXAMPLES = st.builds(
    Example, question=LINES.filter(lambda text: "|" not in text and text == text.strip()), steps=CHAINS, answer=ANSWERS
)


def prose(example: Example) -> dict[str, str]:
    """The example as the original GSM8K has it."""
    told = [f"That makes $<<{step[2:-2]}>>{step[2:-2].split('=')[-1]} & more." for step in example.steps if step]
    return {"question": example.question, "answer": "\n".join([*told, "So there.", f"#### {example.answer}"])}


@given(examples=st.lists(EXAMPLES, max_size=5), gzipped=st.booleans())
def test_every_format_reads_back(
    examples: list[Example], gzipped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Guards the converters: whatever is written in a format is read back from it, exactly."""
    folder = tmp_path_factory.mktemp("gsm8k")
    end = ".gz" * gzipped
    for name in ("a.json", "a.jsonl", "a.txt"):
        write_examples(GSM8K(), folder / (name + end), examples)
        assert read_problems(folder / (name + end)) == examples
    (folder / "original.jsonl").write_text("".join(json.dumps(prose(example)) + "\n" for example in examples))
    assert read_problems(folder / "original.jsonl") == examples


@given(example=EXAMPLES)
def test_the_original_rule(example: Example) -> None:
    """Guards conversion of the original file: every equation in order, whatever the prose, spaces around dropped."""
    row = prose(example)
    assert from_original(f" {row['question']}\n", row["answer"]) == example


@given(text=st.text(alphabet="ab|# 1<>=", max_size=20) | st.text())
def test_any_line_is_an_example_or_an_error(text: str) -> None:
    """Guards the iCoT reader against a crash that names no line."""
    if "####" in text.partition("||")[2]:
        assert "||" not in from_icot(text).question
    else:
        with pytest.raises(ValueError, match=r"expected question\|\|steps #### answer"):
            from_icot(text)


@pytest.mark.parametrize(
    ("name", "rows", "steps"),
    [
        ("a.json", [{"question": "How much?", "steps": list(DUCKS.steps), "answer": "18"}], DUCKS.steps),
        ("a.json", [{"question": "How much?", "cot": "<<16-3-4=9>> <<9*2=18>>", "answer": "18"}], DUCKS.steps),
        ("a.json", [{"question": "How much?", "cot": "", "answer": "18"}], ("",)),
        ("a.json", [{"question": "How much?", "cot": "3.5 is. 18 is.", "answer": 18}], ("3.5 is.", "18 is.")),
        ("a.jsonl", [{"question": "How much?", "steps": ["9.", "So 18."], "answer": 18.0}], ("9.", "So 18.")),
        ("a.jsonl", [{"question": "How much?", "answer": "Nothing to add.\n#### 18"}], ("",)),
        ("a.jsonl", [{"input": " How much? ", "target": 18.0}], ()),
    ],
)  # fmt: skip
def test_every_format_is_told_by_its_fields(
    name: str, rows: list[dict[str, Any]], steps: tuple[str, ...], tmp_path: Path
) -> None:
    """Guards the choice of a format: by ending and fields, never by what a path happens to contain."""
    folder = tmp_path / "icot_svamp_aug_nl"
    folder.mkdir()
    text = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name).write_text(text)
    assert read_problems(folder / name) == [replace(DUCKS, steps=steps)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "a||<<1=1>> #### 1\n\nno bars #### 1\n", r"a\.txt: line 3: expected question\|\|steps #### answer"),
        ("a.txt", "a||<<1=1>>\n", r"a\.txt: line 1: expected question\|\|steps #### answer, got"),
        ("a.jsonl", '{"question": "a", "answer": "18"}', r"a\.jsonl: line 1: field `answer`: expected a solution"),
        ("a.json", '[{"question": "a", "steps": []}]', r"a\.json: row 0: field `answer`: expected a number, or"),
        ("a.json", '[{"answer": "1", "steps": []}]', r"a\.json: row 0: field `question`: expected a text, got none"),
        ("a.json", '[{"question": "a", "steps": ["", 1], "answer": "1"}]', r"a\.json: row 0: .*`\$\.steps\[1\]`"),
        ("a.json", '[{"input": "a"}]', r"a\.json: row 0: field `target`: expected a number, got none"),
        ("a.json", '[{"sQuestion": "a", "lSolutions": [1, 2]}]', "field `lSolutions`: expected one number, got 2"),
        ("a.csv", "question,answer\n", r"a\.csv: expected a file that ends in \.json, \.jsonl or \.txt"),
    ],
)  # fmt: skip
def test_errors_name_file_row_and_field(name: str, text: str, message: str, tmp_path: Path) -> None:
    """Guards errors in files of 385,620 rows: each must say where."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_problems(tmp_path / name)


@pytest.mark.parametrize(
    "example",
    [
        replace(DUCKS, question="a||b"),
        replace(DUCKS, question="a\nb"),
        replace(DUCKS, steps=("It is 9.", "Twice is 18.")),
        replace(DUCKS, steps=("<<1=1>>", "")),
        replace(DUCKS, answer="18 ####"),
    ],
)
def test_what_icot_text_cannot_hold_is_refused(example: Example, tmp_path: Path) -> None:
    """Guards conversion against files that read back as other problems."""
    with pytest.raises(ValueError, match=r"a\.txt: row 1: cannot be written as iCoT text"):
        write_examples(GSM8K(), tmp_path / "a.txt", [DUCKS, example])
    assert not (tmp_path / "a.txt").exists()


@shared
@every_split
def test_published_rows(split: Split) -> None:
    """Guards the 6,973 / 500 / 1,319 rows: none lost, none changed, rows without an equation with one empty step."""
    examples = GSM8K().examples(split)
    assert len(examples) == ROWS[split]
    data = (FOLDER / SHARED[split]).read_bytes()
    rows = json.loads(gzip.decompress(data) if SHARED[split].endswith(".gz") else data)
    assert [{"question": e.question, "steps": list(e.steps), "answer": e.answer} for e in examples] == rows
    assert Counter(e.steps == ("",) for e in examples)[True] == NO_EQUATION[split]
    assert all(has_chain(e) == (e.steps != ("",)) for e in examples)


@shared
@every_split
def test_rows_without_equations_are_treated_on_purpose(split: Split) -> None:
    """Guards accuracy: whatever training does with such rows, 500 and 1,319 problems stay to be answered."""
    published = GSM8K().examples(split)
    bare = GSM8K(without_equations="no-step").examples(split)
    assert [e.steps or ("",) for e in bare] == [e.steps for e in published]
    assert sum(e.steps == () for e in bare) == NO_EQUATION[split]
    dropped = GSM8K(without_equations="drop").examples(split)
    assert dropped == ([e for e in published if has_chain(e)] if split == "train" else published)


@shared
def test_icot_text_gives_the_published_json() -> None:
    """Guards the conversion rule on all 500 validation rows: the file of one project makes that of the other."""
    assert read_problems(FOLDER / "icot_valid.txt") == read_problems(FOLDER / "gsm_valid.json")


@shared
@every_split
def test_published_rows_survive_every_format(split: Split, tmp_path: Path) -> None:
    """Guards the converters on all real rows, the original's prose included, and the published bytes."""
    examples = read_problems(FOLDER / SHARED[split])
    for name in ("a.json", "a.jsonl", "a.txt"):
        write_examples(GSM8K(), tmp_path / name, examples)
        assert read_problems(tmp_path / name) == examples
    (tmp_path / "prose.jsonl").write_text("".join(json.dumps(prose(e)) + "\n" for e in examples))
    assert read_problems(tmp_path / "prose.jsonl") == examples
    if split == "valid":
        assert (tmp_path / "a.json").read_bytes() == (FOLDER / "gsm_valid.json").read_bytes()
        assert (tmp_path / "a.txt").read_bytes() == (FOLDER / "icot_valid.txt").read_bytes()


@original
def test_the_original_files_give_the_published_rows() -> None:
    """Guards the rule where the original is at hand: 7,473 rows are 6,973 and 500, and 1,319 are 1,319, exactly."""
    train = read_problems(FOLDER / "gsm8k_train.jsonl")
    valid = read_problems(FOLDER / "gsm_valid.json")
    assert without(train, valid) == read_problems(FOLDER / "gsm_train_noaug.json.gz")
    asked = {e.question: e for e in train}
    assert [asked[e.question] for e in valid] == valid
    assert read_problems(FOLDER / "gsm8k_test.jsonl") == read_problems(FOLDER / "gsm_test.json")


@shared
def test_no_validation_problem_is_trained_on() -> None:
    """Guards the split, and `without`, which makes it."""
    train, valid = GSM8K().examples("train"), GSM8K().examples("valid")
    assert without(train, valid) == train
    assert without([*train, *valid], valid) == train


@shared
@every_split
def test_published_comparison_is_kept_on_gold_answers(split: Split) -> None:
    """Guards accuracy against the published evaluation: a gold answer is right in both, written with commas or not."""
    numbers, text = GSM8K(), GSM8K(compare="text")
    for example in GSM8K().examples(split):
        prediction = numbers.extract(numbers.write(example).answer)
        assert prediction == example.answer.replace(",", "")
        assert numbers.correct(prediction, example) and text.correct(prediction, example)
        assert numbers.correct(f"${prediction}.00", example) and not text.correct(f"${prediction}.00", example)
        wrong = str(int(prediction) + 1)
        assert not numbers.correct(wrong, example) and not text.correct(wrong, example)


@shared
def test_augmented_rows_are_read_and_judged() -> None:
    """Guards GSM8k-Aug's form: decimals such as .5 and 21. among its answers."""
    task = GSM8K(train_file=FOLDER / "gsm8k_aug_sample.json")
    examples = task.examples("train")
    assert len(examples) == 641
    assert all(task.correct(task.extract(task.write(e).answer), e) for e in examples)


@pytest.mark.parametrize(
    ("prediction", "right"),
    [("18", True), ("18.0", True), ("$18", True), ("18 dollars", True), ("18.", True), ("-18", False), ("", False),
     ("1.8", False), ("18.0001", False), ("9 or 18", False), ("<<9*2=18>>", False)],
)  # fmt: skip
def test_answers_are_compared_as_numbers(prediction: str, right: bool) -> None:
    """Guards what a user expects, and against counting a number that is merely somewhere in the text."""
    assert GSM8K().correct(prediction, DUCKS) is right


@pytest.mark.parametrize(
    ("answer", "allowed"), [("18", 0.0), ("1,000", 0.0), ("7.5", 0.001), (".5", 0.0005), ("-2.5", 0.001), ("x", 0.0)]
)
def test_tolerance(answer: str, allowed: float) -> None:
    """Guards integers against near misses, and the smallest answers against 0."""
    assert float(tolerance(answer)) == allowed


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<<16-3-4=9>>\n<<9*2=18>>\n### 18", ChainClass.RIGHT_BY_CHAIN),
        ("<<9*2=18>>\n### 18.00", ChainClass.RIGHT_BY_CHAIN),
        ("<<16-3-4=9>>\n### 18", ChainClass.RIGHT_PAST_CHAIN),
        ("<<16-3-4=10>>\n<<9*2=18>>\n### 18", ChainClass.RIGHT_FALSE_STEP),
        ("### 18", ChainClass.RIGHT_NO_CHAIN),
        ("\n### 18", ChainClass.RIGHT_NO_CHAIN),
        ("<<16*2=32>>\n### 32", ChainClass.WRONG_BY_CHAIN),
        ("<<9*2=18>>\n### 20", ChainClass.WRONG_PAST_CHAIN),
        ("<<16-3-4=9>>\n<<9*2=18>>\n", ChainClass.WRONG_PAST_CHAIN),
        ("<<9*2=20>>\n### 20", ChainClass.WRONG_FALSE_STEP),
        ("### 20", ChainClass.WRONG_NO_CHAIN),
        ("", ChainClass.WRONG_NO_CHAIN),
    ],
)
def test_chain_classes(text: str, kind: ChainClass) -> None:
    """Guards the eight classes, whole chains and partial ones."""
    assert GSM8K().classify(text, DUCKS, hidden=0) == GSM8K().classify(text, DUCKS, hidden=2) == kind


@given(text=st.text(alphabet="0123456789.,+-*/()=<># \n", max_size=80))
def test_right_classes_make_up_the_accuracy(text: str) -> None:
    """Guards tables that show both: an output is right exactly when its class says so."""
    task = GSM8K()
    kind = task.classify(text, DUCKS, hidden=0)
    assert kind is not None
    assert kind.startswith("right answer") == task.correct(task.extract(text), DUCKS)


@pytest.mark.parametrize(
    "method",
    [CoT(), NoCoT(), ICoT(), WithoutThought(max_stage=3),
     *(kind(max_stage=3, thoughts_per_step=2, pad_thoughts=pad) for kind in (Coconut, PauseAsThought)
       for pad in ("maximum", "steps"))],
)  # fmt: skip
@pytest.mark.parametrize("steps", [((7,),), ()], ids=["empty-step", "no-step"])
def test_a_chain_without_equations_can_be_laid_out(method: Method, steps: tuple[tuple[int, ...], ...]) -> None:
    """Guards the 18 test rows at every stage: an empty step is one line break (7), the answer always a target."""
    tokens = Tokens(question=[1, 2], steps=steps, answer=[3, 0])
    marks = Marks(bot=90, eot=91, thought=92, pause=93)
    for stage in range(method.stages):
        layout = method.layout(tokens, stage, marks)
        assert layout.labels[-2:] == [3, 0]
        if stage == 0 and not isinstance(method, NoCoT):
            assert (7 in layout.labels) == bool(steps)
        if isinstance(method, Coconut):
            last = stage == method.stages - 1
            slots = len(steps) if last and method.pad_thoughts == "steps" else min(stage, 3)
            assert layout.num_thoughts == 2 * slots


def test_an_empty_step_is_written_as_an_empty_line() -> None:
    """Guards tokenization: an empty text would give a step of no tokens, which the published code never sees."""
    assert GSM8K().write(replace(DUCKS, steps=("",))).steps == ("\n",)
    assert GSM8K().write(replace(DUCKS, steps=())).steps == ()


@pytest.mark.parametrize(
    ("row", "known"),
    [
        ({"question": "q", "steps": ["<<1=1>>"], "answer": "1,000"}, True),
        ({"question": "q", "cot": "<<1=1>>", "answer": "1"}, True),
        ({"question": "q", "answer": "Well.\n#### 1"}, True),
        ("q||<<1=1>> #### 1", True),
        ({"question": "q", "steps": ["a"], "answer": "True"}, False),
        ({"question": {"stem": "q"}, "answerKey": "A"}, False),
        ({"question": "q", "answer": True, "facts": []}, False),
        ({"question": "q", "answer": ["1969"]}, False),
        ({"question": "q", "answer": "1969"}, False),
        ({"input": "q", "target": 1.0}, False),
        ("5 6 * 7 4||5 5 #### 5 6", False),
        ("some text", False),
    ],
)
def test_files_are_recognised(row: dict[str, Any] | str, known: bool) -> None:
    """Guards commands that are given a file and no task."""
    assert GSM8K().recognises(row) is known


def test_what_is_counted() -> None:
    """Guards the statistics page: kinds of equations and signs as categories, shares as numbers."""
    counted = GSM8K().measures(DUCKS)
    assert counted["equations"] == ("right", "right")
    assert counted["operations"] == ("-", "-", "*")
    assert (counted["last result is the answer"], counted["no step"], counted["answer is an integer"]) == (1, 0, 1)
    counted = GSM8K().measures(replace(DUCKS, steps=("",), answer=".5"))
    assert (counted["last result is the answer"], counted["no step"], counted["answer is an integer"]) == (0, 1, 0)
    assert counted["equations"] == counted["operations"] == ()


def test_the_longest_output_is_a_setting() -> None:
    """Guards GSM8k-Aug-NL, whose chains are longer than those measured."""
    assert GSM8K().max_new_tokens == 128
    assert GSM8K(longest_output=300).max_new_tokens == 300
    with pytest.raises(ValueError, match="longest_output: expected at least 1 token, got 0"):
        GSM8K(longest_output=0)


@shared
def test_gold_chains_fit_the_longest_output() -> None:
    """Guards evaluation: a chain cut off before its answer is wrong. Counted with GPT-2's tokenizer."""
    tokenizers = pytest.importorskip("tokenizers")
    folder = data_root() / "tokenizer" / "gpt2"
    if not (folder / "merges.txt").is_file():
        pytest.skip(f"needs {folder}")
    tokenizer = tokenizers.ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    task = GSM8K()
    longest = 0
    for name in [*SHARED.values(), "gsm8k_aug_sample.json"]:
        written = [task.write(e) for e in read_problems(FOLDER / name)]
        texts = ["".join([*w.steps, w.answer]) for w in written]
        longest = max(longest, *(len(found.ids) + 1 for found in tokenizer.encode_batch(texts)))
    assert 100 < longest <= task.max_new_tokens


def test_rows_are_read_with_the_fields_of_their_own(tmp_path: Path) -> None:
    """Guards `read_rows` users: extra columns, as in downloads from a hub, are ignored."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": 7, **prose(DUCKS), "source": None}) + "\n")
    assert read_problems(tmp_path / "a.jsonl") == [DUCKS]
    assert len(read_rows(tmp_path / "a.jsonl", dict)) == 1
