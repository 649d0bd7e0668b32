"""A saved model's card: true, readable by the hub's library, and what it tells a reader to run, runs."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer

from command_line import Capture, call, refused
from test_pretrained import save
from tiny_runs import tiny
from unspoken.cards import FILE_NAME, OURS, num_parameters, write_card
from unspoken.config import After
from unspoken.curriculum import Curriculum
from unspoken.doctor import check_libraries
from unspoken.methods import CoT, Pause
from unspoken.model import LatentLM
from unspoken.notes import Notes
from unspoken.records import read_summary
from unspoken.specs import Pretrained
from unspoken.train import fit


def text_of(folder: Path) -> str:
    return (folder / FILE_NAME).read_text()


def front(folder: Path) -> dict[str, Any]:
    """The front matter, as the hub's own library reads it."""
    return ModelCard.load(folder / FILE_NAME).data.to_dict()


@pytest.fixture
def run(finished: tuple[Path, LatentLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a finished run, in a working folder of its own."""
    shutil.copytree(finished[0], tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def test_a_trained_models_card_says_what_it_is(run: Path) -> None:
    """Guards every line of the card against the run it belongs to."""
    data, text = front(run / "final"), text_of(run / "final")
    assert data["library_name"] == "transformers"
    assert {"unspoken", "latent-reasoning", "continuous-thought", "coconut"} <= set(data["tags"])
    assert "base_model" not in data
    assert "model-index" not in data
    model = LatentLM.from_pretrained(run / "final")
    num = sum(parameter.numel() for parameter in model.parameters())
    assert f"| architecture | LlamaForCausalLM, {num:,} parameters |" in text
    assert num_parameters(run / "final") == num
    assert "| base model | random weights |" in text
    assert "| data | `Hops`: " in text
    assert "| method | `Coconut`: " in text
    assert "| stage | 3 of 0 to 3, step 20 |" in text
    assert "it thinks 2 continuous thoughts" in text
    assert "`<\\|start-latent\\|>` `<\\|latent\\|>` x 2 `<\\|end-latent\\|>`" in text
    assert "recipe `tiny/coconut`, seed 0" in text
    assert "None yet; `unspoken eval RUN`" in text
    assert "**Stock `generate` skips the thoughts**" in text


def test_best_and_final_know_their_own_stage(tmp_path: Path) -> None:
    """Guards a run cut short: its weights are not those of the last stage, whatever the recipe planned."""
    fit(tiny(max_steps=7), tmp_path / "run")
    notes = Notes.read(tmp_path / "run" / "final")
    assert (notes.stage, notes.num_stages, notes.step) == (1, 4, 7)
    assert "| stage | 1 of 0 to 3 (not the last), step 7 |" in text_of(tmp_path / "run" / "final")


def test_the_snippet_runs(run: Path) -> None:
    """Guards what a reader copies first: it must load this folder, and ask something the model has words for."""
    code = re.findall(r"```python\n(.*?)```", text_of(run / "final"), re.DOTALL)
    assert len(code) == 1
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code[0]], cwd=run / "final", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    model = LatentLM.from_pretrained(run / "final")
    question = Notes.read(run / "final").example
    assert question == tiny().task.examples("valid")[0].question
    assert question is not None
    assert done.stdout.strip() == str(model.reason([question], max_new_tokens=tiny().task.max_new_tokens))


def test_evaluations_appear_with_their_intervals(run: Path) -> None:
    """Guards figures on a card: those of the evaluated weights, with interval and number, the newest of each name."""
    call("eval run --single 0")
    call("eval run --single 0 --split valid --num 5 --thoughts 1 --weights final")
    summary = read_summary(run / "eval" / "test")
    low, high = summary.interval
    text, data = text_of(run / "best"), front(run / "best")
    line = next(line for line in text.splitlines() if line.startswith("| test |"))
    accuracy = f"{100 * summary.accuracy:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    assert line.startswith(f"| test | Hops, test | {accuracy} | 8 | {summary.tokens:.1f} | 2.0 |")
    result = data["model-index"][0]["results"][0]
    assert result["dataset"] == {"name": "Hops", "type": "hops", "split": "test"}
    assert result["metrics"][0]["value"] == pytest.approx(summary.accuracy, abs=1e-4)
    final = text_of(run / "final")
    assert "| valid-1-thoughts | Hops, valid |" in final
    assert "| test |" not in final
    shutil.rmtree(run / "eval" / "test")
    call("eval run --single 0 --num 3")
    assert [(e.name, e.num) for e in Notes.read(run / "best").evaluations] == [("test", 3)]
    assert text_of(run / "best").count("| test |") == 1


def test_models_of_earlier_versions_get_a_card(run: Path) -> None:
    """Guards folders whose notes know neither stage nor example: nothing is made up, and an evaluation gives the
    snippet a question that the model has words for."""
    old = msgspec.structs.replace(Notes.read(run / "best"), stage=None, num_stages=None, step=None, example=None)
    old.write(run / "best")
    (run / "best" / FILE_NAME).unlink()
    call("eval run --single 0 --num 2")
    text = text_of(run / "best")
    assert "| stage |" not in text
    assert "| base model |" not in text
    assert "not told" not in text
    assert f"model.reason([{tiny().task.examples('test')[0].question!r}]" in text


def test_from_sources_that_are_not_installed_models_are_saved_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Guards PYTHONPATH=src, as on a lent machine: the card asked for our version, and the end of a training raised."""
    found = importlib.metadata.version

    def version(name: str) -> str:
        if name == "unspoken":
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    fit(tiny(max_steps=1), tmp_path / "run")
    assert "unspoken (not installed, from its sources)" in (tmp_path / "run" / "final" / "README.md").read_text()
    (finding,) = check_libraries(tmp_path)
    assert (finding.what, finding.state, finding.todo) == ("unspoken", "note", "pip install -e .")
    call("--version")
    assert capsys.readouterr().out == "unspoken (not installed, from its sources)\n"


def test_a_card_somebody_took_over_is_left_alone(run: Path) -> None:
    """Guards the words of people: an evaluation would overwrite them."""
    path = run / "best" / FILE_NAME
    path.write_text(path.read_text().replace(OURS, "My words."))
    before = path.read_text()
    call("eval run --single 0")
    assert path.read_text() == before
    assert len(Notes.read(run / "best").evaluations) == 1


def test_a_model_that_cannot_be_written_is_evaluated_all_the_same(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """Guards runs on other people's disks: hours of decoding must not end in an error about a card."""

    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("unspoken.notes.write_whole", refuse)
    call("eval run --single 0")
    assert "test, best weights" in capsys.readouterr().out
    assert read_summary(run / "eval" / "test").num == 8
    assert "best: cannot be written (Permission denied)" in caplog.text


def test_a_base_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards descent: the hub's tree of models hangs on it; a local folder is no name there, but is told."""
    monkeypatch.chdir(tmp_path)
    words = ["?", ";", *(tiny().task.words() or ())]
    save(tmp_path / "some-base", words=sorted(set(words)), max_position_embeddings=64)
    first = tiny(
        method=CoT(), curriculum=Curriculum(stage_epochs=(1,)), model=Pretrained(path="some-base"), max_steps=1
    )
    fit(tiny(model=After(first=first), max_steps=1), tmp_path / "run")
    folder = tmp_path / "run" / "final"
    assert "| base model | `some-base` |" in text_of(folder)
    assert "base_model" not in front(folder)
    (tmp_path / "some-base").rename(tmp_path / "away")
    write_card(folder)
    assert front(folder)["base_model"] == "some-base"


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (CoT(), "it has no continuous thoughts"),
        (Pause(pauses=3), "that reads `<|pause|>` x 3 after a question"),
    ],
)
def test_a_model_without_thoughts_says_so(method: Any, says: str, tmp_path: Path) -> None:
    """Guards the warning: on a model that does not think it would be false."""
    fit(tiny(method=method, curriculum=Curriculum(stage_epochs=(1,)), max_steps=1), tmp_path / "run")
    text = text_of(tmp_path / "run" / "final")
    assert says in text
    assert "skips the thoughts" not in text
    assert "which computes the same" in text


def test_the_warning_is_true(run: Path) -> None:
    """Guards the card's central sentence, with a model in which thoughts change what is written: stock transformers
    loads the folder, and writes something else than the model does."""
    model = LatentLM.from_pretrained(run / "final")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.6, generator=torch.Generator().manual_seed(parameter.numel()))
    model.save_pretrained(run / "wild")
    plain = AutoModelForCausalLM.from_pretrained(run / "wild", dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(run / "wild")
    question = Notes.read(run / "wild").example
    assert question is not None
    texts = tiny().task.question_format.format(question=question)
    ids = tokenizer(texts + "".join(model.notes.after_question), return_tensors="pt").input_ids
    is_thought = ids == model.marks.thought
    assert int(is_thought.sum()) == 2
    with torch.no_grad():
        theirs = plain(ids).logits[0, -1]
        ours = model(input_ids=ids, is_thought=is_thought, return_logits=True).logits[0, -1]
        unthinking = model(input_ids=ids, return_logits=True).logits[0, -1]
    torch.testing.assert_close(theirs, unthinking, rtol=1e-4, atol=1e-4)
    assert float((theirs - ours).abs().max()) > 0.01, "thoughts change nothing here, so nothing was shown"
    theirs = plain.generate(input_ids=ids, max_new_tokens=6, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
    unthinking = model.generate(input_ids=ids, max_new_tokens=6)[0]
    assert theirs.tolist()[: len(unthinking)] == unthinking.tolist()


# ------------------------------------------------------------------------------------------------------------ the hub


class FakeHub:
    """Stands for `huggingface_hub.HfApi`; keeps what is uploaded."""

    def __init__(self, kept: Path, error: Exception | None = None) -> None:
        self.kept, self.error = kept, error
        self.made: list[tuple[str, bool]] = []

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> object:
        if self.error is not None:
            raise self.error
        assert exist_ok
        self.made.append((repo_id, private))
        return None

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> object:
        shutil.copytree(folder_path, self.kept)
        return f"https://hub.example/{repo_id}/commit/1"


def test_push_to_hub_uploads_a_whole_model(run: Path) -> None:
    """Guards a repository that others load: weights, tokenizer, notes, and a card whose snippet names it."""
    call("eval run --single 0")
    hub = FakeHub(run.parent / "uploaded")
    address = LatentLM.from_pretrained(run / "best").push_to_hub("me/thinker", private=True, hub=hub)
    assert address == "https://hub.example/me/thinker/commit/1"
    assert hub.made == [("me/thinker", True)]
    names = {path.name for path in hub.kept.iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", "unspoken.json"} <= names
    assert "LatentLM.from_pretrained('me/thinker')" in text_of(hub.kept)
    assert "| test | Hops, test |" in text_of(hub.kept), "evaluations travel with the model"
    want = LatentLM.from_pretrained(run / "best").lm.state_dict()
    for name, value in LatentLM.from_pretrained(hub.kept).lm.state_dict().items():
        assert torch.equal(value, want[name])


@pytest.mark.parametrize("error", [OSError("Token is required\nlong story"), RuntimeError("no route to host")])
def test_an_upload_that_fails_is_one_line(error: Exception, run: Path) -> None:
    """Guards a missing login or network: the hub's library raises errors of several classes, pages long."""
    model = LatentLM.from_pretrained(run / "final")
    first = str(error).splitlines()[0]
    with pytest.raises(ValueError, match=rf"^me/thinker: not uploaded: {first}; .*hf auth login\)\?$"):
        model.push_to_hub("me/thinker", hub=FakeHub(run.parent / "x", error))


@pytest.mark.parametrize("name", ["thinker", "a/b/c", "/thinker", "me/", "./best"])
def test_a_repository_needs_a_user(name: str, run: Path) -> None:
    """Guards folders taken for names: nothing may be sent before the name is clear."""
    with pytest.raises(ValueError, match="as in user/name"):
        LatentLM.from_pretrained(run / "final").push_to_hub(name, hub=FakeHub(run.parent / "x"))


def test_push_uploads_the_best_weights(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Guards the command: the right weights of the right run, and refusals before anything is sent."""
    hub = FakeHub(run.parent / "uploaded")
    monkeypatch.setattr("unspoken.hub.HfApi", lambda: hub)
    assert "as in user/name" in refused("push run --to thinker", capsys)
    assert "nowhere/config.json" in refused("push nowhere --to me/thinker", capsys)
    call("push run --to me/thinker --private")
    assert "uploaded best weights: https://hub.example/me/thinker/commit/1" in capsys.readouterr().out
    assert hub.made == [("me/thinker", True)]
    assert (hub.kept / "model.safetensors").read_bytes() == (run / "best" / "model.safetensors").read_bytes()


def test_saving_twice_is_silent(run: Path, capsys: Capture) -> None:
    """Guards `save_pretrained` over itself, and libraries that print from it."""
    model = LatentLM.from_pretrained(run / "final")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save_pretrained(run / "again")
        model.save_pretrained(run / "again")
    assert text_of(run / "again") == text_of(run / "final")
