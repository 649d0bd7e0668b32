"""Nothing is unpickled: neither what a folder holds beside its weights, nor what its own files point to."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from command_line import Capture, refused
from test_pretrained import save
from tiny_runs import tiny
from unspoken.cli import main
from unspoken.model import LatentLM
from unspoken.recipes import RECIPES
from unspoken.specs import Pretrained

UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
SOURCE = Path(__file__).parents[1] / "src" / "unspoken"


class Payload:
    """Unpickled, it writes a file: what a malicious checkpoint would do with something worse."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


def plant(path: Path, mark: Path) -> None:
    """A malicious file in torch's own format, which really does run when unpickled without care."""
    torch.save({"weight": torch.zeros(2), "more": Payload(mark)}, path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small plain model's folder."""
    save(tmp_path / "model")
    return tmp_path / "model"


def test_the_payload_is_real(tmp_path: Path) -> None:
    """Guards the other tests of this file, which a harmless payload would pass."""
    plant(tmp_path / "evil.pt", tmp_path / "ran")
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_in_a_folder_are_refused(name: str, model: Path, tmp_path: Path) -> None:
    """Guards the library's fallback to pytorch_model.bin where there is no model.safetensors."""
    (model / "model.safetensors").unlink()
    plant(model / name, tmp_path / "ran")
    with pytest.raises(ValueError, match=rf"pickled \({name}\).*expected model.safetensors.*unspoken import .*{name}"):
        LatentLM.from_pretrained(model)
    assert not (tmp_path / "ran").exists()


def test_pickled_files_beside_the_weights_are_never_opened(model: Path, tmp_path: Path) -> None:
    """Guards folders as many people have them, with both formats: only one is read, and it is not the pickle."""
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        plant(model / name, tmp_path / "ran")
    LatentLM.from_pretrained(model)
    assert not (tmp_path / "ran").exists()


def test_an_index_may_not_name_a_pickle(model: Path, tmp_path: Path) -> None:
    """Guards sharded models: the library opens whatever file the index names, and a .bin with torch.load."""
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    plant(model / "evil.bin", tmp_path / "ran")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "evil.bin"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ValueError, match=r"index\.json: names 'evil\.bin'"):
        LatentLM.from_pretrained(model)
    shards["b"] = "../elsewhere.safetensors"
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ValueError, match=r"expected a \.safetensors file beside it"):
        LatentLM.from_pretrained(model)
    assert not (tmp_path / "ran").exists()


def test_a_config_may_not_name_a_pickle(model: Path, tmp_path: Path) -> None:
    """Guards `transformers_weights`, by which a config.json chooses the file of weights."""
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "transformers_weights": "evil.bin"}))
    (model / "model.safetensors").unlink()
    plant(model / "evil.bin", tmp_path / "ran")
    with pytest.raises(ValueError, match=r"pickled \(evil\.bin\)"):
        LatentLM.from_pretrained(model)
    assert not (tmp_path / "ran").exists()


def test_a_pickled_adapter_is_refused(model: Path, tmp_path: Path) -> None:
    """Guards peft, which transformers calls by itself where a folder holds an adapter."""
    (model / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    plant(model / "adapter_model.bin", tmp_path / "ran")
    with pytest.raises(ValueError, match=r"adapter_model\.bin: a pickled adapter"):
        LatentLM.from_pretrained(model)
    assert not (tmp_path / "ran").exists()


def test_code_beside_a_model_is_not_run(model: Path, tmp_path: Path) -> None:
    """Guards `auto_map`: unanswered, the library asks on the terminal whether to run the file."""
    (model / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    for name in ("config.json", "tokenizer_config.json"):
        settings = json.loads((model / name).read_text())
        settings.pop("tokenizer_class", None)
        auto = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoTokenizer": [None, "evil.T"]}
        (model / name).write_text(json.dumps({**settings, "model_type": "made-up", "auto_map": auto}))
    with pytest.raises(ValueError, match="custom code"):
        LatentLM.from_pretrained(model)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["evil.pt", "evil.bin"])
def test_a_pickle_in_a_folders_place_is_refused(name: str, tmp_path: Path) -> None:
    """Guards the plainest mistake: a downloaded checkpoint file where a folder is wanted."""
    plant(tmp_path / name, tmp_path / "ran")
    with pytest.raises(ValueError, match=rf"expected a saved model's folder, got a file; .*unspoken import .*{name}"):
        LatentLM.from_pretrained(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("command", ["eval", "train --resume"])
def test_a_run_folder_with_pickles_in_it_runs_nothing(
    command: str, finished: tuple[Path, LatentLM], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards run folders of other people: weights, optimizer state and tokenizer are each looked at somewhere else."""
    shutil.copytree(finished[0], tmp_path / "here" / "run")
    run = tmp_path / "here" / "run"
    monkeypatch.chdir(tmp_path / "here")
    shutil.rmtree(run / "best")
    if command == "eval":
        (run / "final" / "model.safetensors").unlink()
        plant(run / "final" / "pytorch_model.bin", tmp_path / "ran")
        assert "pickled (pytorch_model.bin)" in refused("eval run --name new", capsys)
    else:
        shutil.rmtree(run / "final")
        for checkpoint in (run / "checkpoints").iterdir():
            for name in ("model", "optimizer"):
                (checkpoint / f"{name}.safetensors").unlink()
                plant(checkpoint / f"{name}.safetensors", tmp_path / "ran")
                plant(checkpoint / f"{name}.pt", tmp_path / "ran")
        with pytest.raises(SystemExit) as stop:
            main(["train", "--resume", "run"])
        assert stop.value.code == 2
        assert "unspoken: error: " in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_a_model_spec_of_a_pickle_is_refused(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards training from a downloaded model: the command line's way to `from_pretrained`."""
    save(tmp_path / "here" / "model")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "model" / "model.safetensors").unlink()
    plant(tmp_path / "here" / "model" / "pytorch_model.bin", tmp_path / "ran")
    monkeypatch.setitem(RECIPES, "tiny/from", lambda: tiny(model=Pretrained(path="model")))
    assert "pickled (pytorch_model.bin)" in refused("train tiny/from --out new", capsys)
    assert not (tmp_path / "ran").exists()


def called_unsafely(node: ast.Call) -> bool:
    """Whether a call may unpickle."""
    name = ast.unparse(node.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name == "torch.load":
        return keywords.get("weights_only") != "True"
    if name in ("np.load", "numpy.load"):
        return keywords.get("allow_pickle", "False") != "False"
    return name in ("yaml.load", "torch.jit.load", "pickle.load", "pickle.loads")


def test_no_source_file_can_unpickle() -> None:
    """Guards the next load path: whoever adds one uses safetensors, or torch.load with weights_only=True."""
    found: list[str] = []
    calls = 0
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path.name} imports {m}" for m in modules if m.split(".")[0] in UNPICKLERS]
            if isinstance(node, ast.Call):
                calls += 1
                if called_unsafely(node):
                    found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert found == []
    assert calls > 1000
