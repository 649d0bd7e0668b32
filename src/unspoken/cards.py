"""`README.md` in a model's folder: what it is, what was measured, how to run it, and what stock `generate` leaves out.

A card says nothing of its own: it is made of the notes (`unspoken.json`), `config.json` and the weights' headers, anew
after each evaluation. A card that someone has taken over, by removing its last line, is left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import final

import msgspec
from huggingface_hub import EvalResult, ModelCardData

from unspoken.durable import write_whole
from unspoken.environment import version_of
from unspoken.layout import MARKERS
from unspoken.methods import Method
from unspoken.notes import Evaluation, Notes
from unspoken.records import Summary, wilson
from unspoken.tasks.base import Task

log = logging.getLogger(__name__)

FILE_NAME = "README.md"
OURS = "<!-- Made by unspoken of unspoken.json, again after each evaluation; remove this line to write it yourself. -->"


@final
class _Config(msgspec.Struct):
    architectures: list[str] = []


@final
class _Tensor(msgspec.Struct):
    shape: list[int] = []


def write_card(folder: Path, *, source: str = ".") -> None:
    """Writes the card of a saved model; `source` is what its snippet loads, the folder itself or a name on the hub."""
    path = folder / FILE_NAME
    if path.is_file() and OURS not in path.read_text(encoding="utf-8", errors="replace"):
        return
    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Config)
    text = card(
        Notes.read(folder),
        architecture=", ".join(config.architectures) or "a causal language model",
        parameters=num_parameters(folder),
        source=source,
    )
    write_whole(path, text.encode())


def note_evaluation(folder: Path, name: str, summary: Summary, *, example: str, max_new_tokens: int) -> None:
    """Adds an evaluation to a saved model's notes and card; one of the same name is replaced.

    `example`, a question of it, and how long its answers may be are noted where the model has no example yet.
    Where the model's folder cannot be written, the evaluation has its own folder all the same, and the log says so.
    """
    notes = Notes.read(folder)
    found = Evaluation(
        name=name,
        task=str(summary.task.get("type", notes.task)),
        split=summary.split,
        num=summary.num,
        num_correct=summary.num_correct,
        tokens=summary.tokens,
        thoughts=summary.thoughts,
        hardware=summary.hardware,
        commit=summary.commit,
    )
    kept = [evaluation for evaluation in notes.evaluations if evaluation.name != name]
    notes = msgspec.structs.replace(notes, evaluations=(*kept, found))
    if notes.example is None:
        notes = msgspec.structs.replace(notes, example=example, max_new_tokens=max_new_tokens)
    try:
        notes.write(folder)
        write_card(folder)
    except OSError as error:
        log.warning(f"{folder}: cannot be written ({error.strerror}), so its card does not show this evaluation")


def num_parameters(folder: Path) -> int:
    """How many numbers the weights of a folder hold, from the headers of its safetensors files; tied ones once."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = msgspec.json.decode(file.read(int.from_bytes(file.read(8), "little")), type=dict[str, _Tensor])
        for name, tensor in header.items():
            count = 1
            for side in tensor.shape:
                count *= side
            total += count if name != "__metadata__" else 0
    return total


def card(notes: Notes, *, architecture: str, parameters: int, source: str) -> str:
    """The card's text: front matter for the hub, then Markdown."""
    thoughts = notes.after_question.count(MARKERS["thought"])
    title = notes.recipe or "A model for unspoken"
    parts = [
        f"---\n{_front(notes, title)}\n---\n",
        f"# {title}\n",
        _what(thoughts, notes) + "\n",
        _table(["", ""], _facts(notes, architecture, parameters, thoughts)),
        "## Results\n",
        _results(notes.evaluations),
        "## Use\n",
        _snippet(source, notes, thoughts),
        "## Without unspoken\n",
        _warning(source, thoughts),
        OURS + "\n",
    ]
    return "\n".join(parts)


def _front(notes: Notes, title: str) -> str:
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=evaluation.task.lower(),
            dataset_name=evaluation.task,
            dataset_split=evaluation.split,
            metric_type="accuracy",
            metric_name=f"accuracy ({evaluation.name})",
            metric_value=round(evaluation.num_correct / evaluation.num, 4),
        )
        for evaluation in notes.evaluations
    ]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["unspoken", "latent-reasoning", "continuous-thought", *([notes.method.lower()] if notes.method else [])],
        base_model=notes.base_model if notes.base_model and not Path(notes.base_model).is_dir() else None,
        model_name=title if results else None,
        eval_results=results or None,
    )
    return data.to_yaml()


def _what(thoughts: int, notes: Notes) -> str:
    if thoughts:
        return (
            f"A language model that reasons in continuous latent space: after a question it thinks {thoughts} "
            f"continuous thought{'s'[: thoughts > 1]}, each of which is its own last hidden state fed back as the next "
            "input embedding ([Coconut](https://arxiv.org/abs/2412.06769)), and then writes."
        )
    if notes.after_question:
        return f"A language model that reads {_shown(notes.after_question)} after a question, and then writes."
    return "A language model that writes right after a question; it has no continuous thoughts."


def _facts(notes: Notes, architecture: str, parameters: int, thoughts: int) -> list[list[str]]:
    stage = None
    if notes.stage is not None and notes.num_stages is not None:
        last = notes.num_stages - 1
        stage = f"{notes.stage} of 0 to {last}{'' if notes.stage == last else ' (not the last)'}, step {notes.step}"
    size = f"{parameters / 1e6:.1f}M" if parameters >= 1e5 else f"{parameters:,}"
    base = f"`{notes.base_model}`" if notes.base_model else "random weights" if notes.step else None
    facts: list[tuple[str, str | None]] = [
        ("base model", base),
        ("architecture", f"{architecture}, {size} parameters"),
        ("data", _named(notes.task, Task)),
        ("method", _named(notes.method, Method)),
        ("stage", stage),
        ("thoughts", f"{thoughts}; after a question the model reads {_shown(notes.after_question)}"),
        ("made with", _made_with(notes)),
    ]
    # Older notes tell less.
    return [[name, said] for name, said in facts if said is not None]


def _made_with(notes: Notes) -> str:
    version = f"unspoken {version_of('unspoken') or '(not installed, from its sources)'}"
    recipe = "" if notes.recipe is None else f", recipe `{notes.recipe}`"
    seed = "" if notes.seed is None else f", seed {notes.seed}"
    if notes.imported_from is not None:
        told = "" if notes.recipe is None else f" as recipe `{notes.recipe}`"
        return f"other software; imported from `{notes.imported_from}`{told} by {version}"
    return f"{version}{recipe}{seed}"


def _shown(tokens: Sequence[str]) -> str:
    """Tokens in code marks, runs of one token counted."""
    runs: list[tuple[str, int]] = []
    for token in tokens:
        if runs and runs[-1][0] == token:
            runs[-1] = (token, runs[-1][1] + 1)
        else:
            runs.append((token, 1))
    return " ".join(f"`{token}`" + (f" x {count}" if count > 1 else "") for token, count in runs) or "nothing"


def _named(name: str | None, base: type) -> str | None:
    """A class's name and the first line of its docstring, where the class is known here."""
    if name is None:
        return None
    found = [cls for cls in _subclasses(base) if cls.__name__ == name and cls.__doc__]
    return f"`{name}`" + (f": {(found[0].__doc__ or '').splitlines()[0].rstrip('.')}" if found else "")


def _subclasses(cls: type) -> list[type]:
    return [found for child in cls.__subclasses__() for found in (child, *_subclasses(child))]


def _results(evaluations: Sequence[Evaluation]) -> str:
    if not evaluations:
        return "None yet; `unspoken eval RUN` adds them here.\n"
    rows = []
    for each in evaluations:
        low, high = wilson(each.num_correct, each.num)
        accuracy = f"{100 * each.num_correct / each.num:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        rows.append([each.name, f"{each.task}, {each.split}", accuracy, str(each.num), f"{each.tokens:.1f}"])
        rows[-1] += [f"{each.thoughts:.1f}", each.hardware or "-", (each.commit or "-")[:12]]
    head = ["evaluation", "data", "accuracy, %", "problems", "tokens", "thoughts", "hardware", "commit"]
    note = (
        "Greedy decoding; 95 % Wilson intervals over the problems, of this one model: another seed may lie outside.\n"
    )
    return _table(head, rows) + "\n" + note


def _table(head: list[str], rows: list[list[str]]) -> str:
    # A bar would end its cell.
    lines = [head, ["---"] * len(head), *[[cell.replace("|", "\\|") for cell in row] for row in rows]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _snippet(source: str, notes: Notes, thoughts: int) -> str:
    comment = "  # this folder" if source == "." else ""
    most = "" if notes.max_new_tokens is None else f", max_new_tokens={notes.max_new_tokens}"
    question = notes.example if notes.example is not None else "How much is 2 + 3?"
    advice = ""
    if thoughts:
        advice = "\n`reason(..., thoughts=n)` forces language mode after n thoughts; 0 answers without any.\n"
    return (
        "```python\n"
        "from unspoken import LatentLM\n\n"
        f"model = LatentLM.from_pretrained({source!r}){comment}\n"
        f"print(model.reason([{question!r}]{most}))\n"
        f"```\n{advice}"
    )


def _warning(source: str, thoughts: int) -> str:
    loads = f"`AutoModelForCausalLM.from_pretrained({source!r})` loads these weights as the plain base architecture"
    if not thoughts:
        return f"{loads}, which computes the same; put the question as it was trained, and what it reads after it.\n"
    return (
        f"{loads}, for fine-tuning or analysis. **Stock `generate` skips the thoughts**: nothing feeds the hidden "
        "state back, the placeholder's embedding is read in its place, and what is written then is no answer of this "
        "model. No warning is given. Evaluate and serve it with `LatentLM`.\n"
    )
