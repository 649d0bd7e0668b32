"""What is measured on: four models, each with real problems of a task, laid out by `Coconut`'s last stage and by `CoT`.

Weights are random: no time here depends on what a model has learned, since the number of tokens written is fixed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig, PreTrainedModel

from unspoken.batch import Batch, collate
from unspoken.data import tokenize
from unspoken.layout import Layout, Marks, Tokens
from unspoken.methods import Coconut, Method
from unspoken.specs import GPT2Tokenizer, TokenizerSpec, Words
from unspoken.tasks.base import Task
from unspoken.tasks.gsm8k import GSM8K
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import SymbolicProsQA
from unspoken.tokenization import build_tokenizer

_NO_SPECIALS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
# No end-of-text id either: random weights could write it by chance, and every way is to write equally many tokens.


def gpt2(vocabulary: int, *, layers: int = 12, width: int = 768, heads: int = 12) -> PreTrainedConfig:
    """GPT-2's architecture, small unless told otherwise. No dropout, so that the losses of all ways can be compared."""
    return GPT2Config(
        vocab_size=vocabulary,
        n_positions=1024,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        **_NO_SPECIALS,
    )


def two_layers(vocabulary: int) -> PreTrainedConfig:
    """Two blocks of GPT-2's architecture, width 256."""
    return gpt2(vocabulary, layers=2, width=256, heads=8)


def smollm2(vocabulary: int) -> PreTrainedConfig:
    """SmolLM2-135M: Llama's architecture; its vocabulary is its own, whatever the tokenizer's."""
    return LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        **_NO_SPECIALS,
    )


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One model size on one task."""

    name: str
    title: str
    config: Callable[[int], PreTrainedConfig]
    """From the tokenizer's vocabulary, markers included, to a model's configuration. A function of a module, so that
    another process can be told."""
    task: Task
    coconut: Coconut
    """Measured in its last stage: all steps gone, every thought there."""
    tokenizer: TokenizerSpec
    training_rows: int
    """Rows of a training step on a CPU. The published splice costs rows squared, so it sets how many there can be."""
    training_rows_gpu: int = 32
    decoding_rows: int = 64
    singles: int = 2
    """Problems that decoding one by one is timed on; the published way has no other."""


TINY = Shape(
    name="tiny",
    title="2 layers, width 256, symbolic ProsQA",
    config=two_layers,
    task=SymbolicProsQA(),
    coconut=Coconut(),
    tokenizer=Words(),
    training_rows=32,
    singles=4,
)
GPT2_PROSQA = Shape(
    name="gpt2-prosqa",
    title="GPT-2 small, ProsQA",
    config=gpt2,
    task=ProsQA(),
    coconut=Coconut(),
    tokenizer=GPT2Tokenizer(),
    training_rows=4,
    singles=1,
)
GPT2_GSM8K = Shape(
    name="gpt2-gsm8k",
    title="GPT-2 small, GSM8K",
    config=gpt2,
    task=GSM8K(),
    coconut=Coconut(max_stage=3, thoughts_per_step=2),
    tokenizer=GPT2Tokenizer(),
    training_rows=8,
)
SMOLLM2_GSM8K = Shape(
    name="smollm2-gsm8k",
    title="SmolLM2-135M, GSM8K",
    config=smollm2,
    task=GSM8K(),
    coconut=Coconut(max_stage=3, thoughts_per_step=2),
    tokenizer=GPT2Tokenizer(),
    training_rows=8,
)
SHAPES = {shape.name: shape for shape in (TINY, GPT2_PROSQA, GPT2_GSM8K, SMOLLM2_GSM8K)}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A shape made real: a model, and problems as ids."""

    shape: Shape
    lm: PreTrainedModel
    marks: Marks
    problems: Sequence[Tokens]
    """Validation and test problems, in an order that is random once and for all."""

    @property
    def device(self) -> torch.device:
        return self.lm.device

    @property
    def training_rows(self) -> int:
        return self.shape.training_rows_gpu if self.device.type == "cuda" else self.shape.training_rows

    def layouts(self, method: Method, problems: Sequence[Tokens]) -> list[Layout]:
        """Problems as the method trains on them in its last stage."""
        return [method.layout(tokens, method.stages - 1, self.marks) for tokens in problems]

    def prompts(self, method: Method, problems: Sequence[Tokens]) -> list[Layout]:
        """Problems as the method is given them."""
        return [layout.prompt for layout in self.layouts(method, problems)]

    def batch(self, method: Method, *, rows: int, columns: int) -> Batch:
        """The first problems, the same ones for every method, as a batch of the training loop; on the CPU."""
        return collate(self.layouts(method, self.problems[:rows]), pad_id=0, columns=columns)

    def new_tokens(self, method: Method) -> int:
        """How many tokens each problem is given to write: the mean of the gold text in this method's layout."""
        counts = [len(layout) - len(layout.prompt) for layout in self.layouts(method, self.problems)]
        return round(sum(counts) / len(counts))

    def typical(self, num: int) -> list[Tokens]:
        """The problems nearest to the mean question length."""
        lengths = [len(tokens.question) for tokens in self.problems]
        mean = sum(lengths) / len(lengths)
        order = sorted(range(len(lengths)), key=lambda i: abs(lengths[i] - mean))
        return [self.problems[i] for i in order[:num]]


def build(shape: Shape, device: torch.device) -> Subject:
    """The shape's model, the same weights every time, and its problems; on the device "meta" it has no weights.

    Raises:
        ValueError: a file of the task or the tokenizer is missing.
    """
    tokenizer = build_tokenizer(shape.tokenizer, shape.task)
    config = shape.config(len(tokenizer) + 4)
    with torch.random.fork_rng(devices=[]), torch.device("meta" if device.type == "meta" else "cpu"):
        torch.manual_seed(0)
        lm = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
    # Markers are the last four rows; ids beyond a smaller vocabulary than the tokenizer's are folded into it.
    vocabulary = config.vocab_size
    ordinary = vocabulary - 4
    marks = Marks(bot=ordinary, eot=ordinary + 1, thought=ordinary + 2, pause=ordinary + 3)
    examples = [example for split in ("valid", "test") for example in shape.task.examples(split)]
    random.Random(0).shuffle(examples)
    problems = [
        Tokens(
            question=_fold(tokens.question, ordinary),
            steps=[_fold(step, ordinary) for step in tokens.steps],
            answer=_fold(tokens.answer, ordinary),
        )
        for tokens in tokenize(examples, shape.task, tokenizer)
    ]
    return Subject(shape=shape, lm=lm.to(device).eval(), marks=marks, problems=problems)


def _fold(ids: Sequence[int], vocabulary: int) -> list[int]:
    return [token % vocabulary for token in ids]
