"""Models whose use of their thoughts is known, because it is written down: what analyses and audits are tested on.

A real `LatentLM` over a Hugging Face model without weights: its "attention" is a script that reads the tokens and
vectors a position may see, so masks, caches, trees, interventions and decoding all work as on any model. Embeddings are
one-hot and the head is the identity times `SHARPNESS`: a hidden state of ones at some nodes names each of them with the
same probability. On problems of `Fork`, laid out by `Coconut(max_stage=hops)`.

    bfs      the state after k thoughts is the set of nodes k + 1 hops away, worked out from the thought before it; the
             answer is the option that the last thought holds. The thoughts carry the answer.
    ignores  thoughts are fixed vectors that say nothing; everything written is worked out from the question.
    copies   every thought is a copy of the node asked about; everything written is worked out from the question.
    parrots  every thought is a copy of the first option, and the answer is read from the last one: its accuracy is
             chance, although the answer does pass through the thoughts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from unspoken.markers import add_markers
from unspoken.methods import Coconut
from unspoken.model import LatentLM
from unspoken.specs import Words
from unspoken.tasks.fork import Fork
from unspoken.tokenization import build_tokenizer

Kind = Literal["bfs", "ignores", "copies", "parrots"]
KINDS: tuple[Kind, ...] = ("bfs", "ignores", "copies", "parrots")
SHARPNESS = 50.0
TASK = Fork(num_test=60)
METHOD = Coconut(max_stage=TASK.hops)


def scripted(kind: Kind, task: Fork = TASK) -> LatentLM:
    """A model of a kind for a task, in evaluation mode."""
    tokenizer = build_tokenizer(Words(), task)
    size = len(tokenizer) + 4
    config = ScriptedConfig(vocab_size=size, hidden_size=size, kind=kind, hops=task.hops)
    config.eos_token_id = tokenizer.eos_token_id
    lm = ScriptedLM._from_config(config, attn_implementation="sdpa", dtype=torch.float32)
    marks = add_markers(lm, tokenizer)
    vocabulary = tokenizer.get_vocab()
    config.words = {word: vocabulary[word] for word in (";", "?", "|")}
    config.bot, config.eot = marks.bot, marks.eot
    lm.set_to_identity()
    return LatentLM(lm.eval(), tokenizer)


class ScriptedConfig(PreTrainedConfig):
    """What a script needs to know."""

    model_type = "scripted"

    def __init__(
        self,
        vocab_size: int = 8,
        hidden_size: int = 8,
        kind: Kind = "bfs",
        hops: int = 3,
        words: dict[str, int] | None = None,
        bot: int = 0,
        eot: int = 0,
        **kwargs: Any,
    ) -> None:
        self.vocab_size, self.hidden_size, self.kind, self.hops = vocab_size, hidden_size, kind, hops
        self.words, self.bot, self.eot = words or {}, bot, eot
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**kwargs)


class _Scripted(PreTrainedModel):
    config_class = ScriptedConfig
    base_model_prefix = "model"
    _supports_sdpa = True

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.eye_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.eye_(module.weight)
            with torch.no_grad():
                module.weight.mul_(SHARPNESS)


class ScriptedBase(_Scripted):
    """Every position's state is what the script says of the inputs it may see."""

    def __init__(self, config: ScriptedConfig) -> None:
        super().__init__(config)
        self.settings = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        use_cache: bool = True,
    ) -> BaseModelOutputWithPast:
        cache = DynamicCache() if past_key_values is None else past_key_values
        seen, _ = cache.update(inputs_embeds[:, None], inputs_embeds[:, None], 0)
        inputs = seen[:, 0].float()
        # A token is an exact one-hot vector; a thought need not be.
        ids = torch.where((inputs.amax(-1) == 1) & (inputs.count_nonzero(dim=-1) == 1), inputs.argmax(-1), -1)
        script = _Script(self.settings)
        out = torch.zeros_like(inputs_embeds)
        visible = attention_mask[:, 0].bool()
        opened = ids == self.settings.bot
        for row, column in (visible & opened[:, None]).any(-1).nonzero().tolist():
            places = visible[row, column].nonzero()[:, 0]
            out[row, column] = script.state(ids[row, places].tolist(), inputs[row, places]).to(out.dtype)
        return BaseModelOutputWithPast(last_hidden_state=out)


class ScriptedLM(_Scripted):
    """Head and embeddings are kept apart: one is the identity, the other sharp."""

    def __init__(self, config: ScriptedConfig) -> None:
        super().__init__(config)
        self.model = ScriptedBase(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        assert isinstance(value, nn.Embedding)
        self.model.embed_tokens = value

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.lm_head = new_embeddings

    def set_to_identity(self) -> None:
        """`add_markers` has written into both matrices."""
        self.model._init_weights(self.model.embed_tokens)
        self.model._init_weights(self.lm_head)


AutoConfig.register("scripted", ScriptedConfig)
AutoModelForCausalLM.register(ScriptedConfig, ScriptedLM)


class _Script:
    """The state at the last of some inputs. A node is its token's id."""

    def __init__(self, config: ScriptedConfig) -> None:
        self.config = config

    def state(self, ids: Sequence[int], inputs: Tensor) -> Tensor:
        config = self.config
        at = ids.index(config.bot)
        self._read(ids[:at])
        slots = list(inputs[at + 1 :])
        closed = next((i for i, id_ in enumerate(ids[at + 1 :]) if id_ == config.eot), None)
        if closed is None:
            return self._thought(slots)
        return self._next(slots[:closed], list(ids[at + 2 + closed :]))

    def _read(self, question: Sequence[int]) -> None:
        words = self.config.words
        mark = list(question).index(words["?"])
        told = [id_ for id_ in question[:mark] if id_ != words[";"]]
        self.children: dict[int, set[int]] = {}
        for parent, child in zip(told[::2], told[1::2], strict=True):
            self.children.setdefault(parent, set()).add(child)
        self.options = list(question[mark + 1 : mark + 3])
        self.root = question[mark + 4]

    def _thought(self, slots: list[Tensor]) -> Tensor:
        """What is fed next, after these thoughts."""
        think: dict[Kind, Callable[[], Tensor]] = {
            "bfs": lambda: self._ones(self._after(_nodes(slots[-1]) if slots else {self.root})),
            "ignores": lambda: torch.cos(torch.arange(self.config.hidden_size) * (2.0 + len(slots))),
            "copies": lambda: self._ones({self.root}),
            "parrots": lambda: self._ones({self.options[0]}),
        }
        return think[self.config.kind]()

    def _next(self, slots: list[Tensor], written: list[int]) -> Tensor:
        """The next word, after thoughts and some words."""
        answers_at_once = len(slots) >= self.config.hops
        if written:
            last = written[-1]
            said = answers_at_once or (len(written) > 1 and written[-2] == last)
            if said or last == self.config.eos_token_id:
                return self._ones({self.config.eos_token_id})
            return self._ones(self.children.get(last, {last}))
        if answers_at_once:
            return self._answer(slots[-1])
        if self.config.kind == "bfs" and slots:
            return self._ones(self._after(_nodes(slots[-1])))
        return self._ones(self._frontier(len(slots) + 1))

    def _answer(self, last: Tensor) -> Tensor:
        if self.config.kind in ("ignores", "copies"):
            ends = self._frontier(self.config.hops)
            return self._ones({option for option in self.options if option in ends} or set(self.options))
        # Always one of the options: the one the last thought holds more of, the first where it holds both alike.
        first, second = (float(last[option]) for option in self.options)
        return self._ones({self.options[int(second > first)]})

    def _frontier(self, hops: int) -> set[int]:
        nodes = {self.root}
        for _ in range(hops):
            nodes = self._after(nodes)
        return nodes

    def _after(self, nodes: set[int]) -> set[int]:
        """One hop on; a leaf stays where it is."""
        return {child for node in nodes for child in self.children.get(node, {node})}

    def _ones(self, nodes: set[int]) -> Tensor:
        out = torch.zeros(self.config.hidden_size)
        out[sorted(nodes)] = 1.0
        return out


def _nodes(thought: Tensor) -> set[int]:
    """The nodes a thought holds."""
    return set((thought > 0.5).nonzero()[:, 0].tolist())
