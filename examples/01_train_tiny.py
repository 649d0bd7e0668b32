"""Train a tiny Coconut model from scratch, save it, load it with stock transformers, and ask it something.

    python examples/01_train_tiny.py [OUT]

Takes seconds: the model is far too small and too briefly trained to be right. `unspoken train demo/coconut` is the run
that learns the task.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from transformers import AutoModelForCausalLM

from unspoken import Curriculum, LatentLM, fit
from unspoken.methods import Coconut
from unspoken.recipes import find_recipe
from unspoken.specs import Llama
from unspoken.tasks.hops import Hops

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "run"

# A recipe is a function that returns a complete config; deriving another run is a `replace`.
config = replace(
    find_recipe("demo/coconut"),
    task=Hops(nodes=6, hops=2, num_train=512, num_valid=64),
    method=Coconut(max_stage=2),
    model=Llama(layers=2, width=64, heads=4, mlp_width=128),
    curriculum=Curriculum(stage_epochs=(2, 1, 1, 1)),
)
fit(config, out)

model = LatentLM.from_pretrained(out / "final")
question = config.task.examples("test")[0].question
print(question, "->", model.reason([question], thoughts=2, max_new_tokens=4)[0])

# The same folder is an ordinary Hugging Face model; its own `generate` would run without thoughts.
plain = AutoModelForCausalLM.from_pretrained(out / "final")
print(type(plain).__name__, sum(p.numel() for p in plain.parameters()), "parameters in", out / "final")
