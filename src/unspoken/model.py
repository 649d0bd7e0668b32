"""A causal LM whose marked positions are fed its own last hidden state.

How a forward pass goes:

1. embed all tokens at once;
2. cut the columns into spans (`batch.Plan`): every column with a thought stands alone, text between goes in one piece;
3. run the spans one after another in one session, which keeps keys and values. In a thought column the input is
   `where(is_thought, last hidden state, embedding)`: n thought columns cost n + 1 passes, as in the paper;
4. unembed the hidden states that have a label, and no others.

A batch from `collate` brings its plan along. Without one, `forward` makes it from the tensors, which waits for a GPU.

Letters: B rows, T tokens, D hidden size, V vocabulary, K thoughts.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from unspoken import processor
from unspoken.backbones import Session, backbone_of
from unspoken.batch import Plan, Span, collate, even_chunks, make_plan
from unspoken.generate import FeedBack, Sampling, Written, decode
from unspoken.layout import MARKERS, Layout, Marks, lay_out
from unspoken.markers import add_markers, find_markers
from unspoken.notes import Notes
from unspoken.slots import Slots
from unspoken.specs import DEFAULT_ENGINE, Engine
from unspoken.tokenization import encode


def itself(hidden: Tensor, is_thought: Tensor) -> Tensor:
    """The paper's thought: the last hidden state, unchanged."""
    return hidden


@dataclass(frozen=True, kw_only=True)
class LatentOutput:
    """What a forward pass gives. Loss is None without labels, logits are None unless asked for.

    C columns have an output: all T, or where the caller brought a plan those that the plan keeps.
    """

    loss: Float[Tensor, ""] | None
    """Mean over labelled tokens."""
    loss_sum: Float[Tensor, ""] | None
    logits: Float[Tensor, "B C V"] | None
    thoughts: Float[Tensor, "B K D"]
    """What was fed at each row's thoughts in order; zero beyond a row's own count."""
    hidden: Float[Tensor, "B C D"]
    """Last hidden states after the final norm."""
    session: Session
    """What has been run, ready to go on."""


class LatentLM(nn.Module):
    """Any Hugging Face causal LM, with continuous thoughts where `is_thought` says so.

    The base model is `lm`, unchanged: saving writes it as stock transformers knows it. `engine` is how it is run:
    "plain" leaves every fast path off (see `specs.Engine`); the others also tell this process how to use its CPU
    (`processor.py`).

    Raises:
        ValueError: the model has no embeddings to feed, or uses Hugging Face's gradient checkpointing in training.
    """

    def __init__(
        self,
        lm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        notes: Notes | None = None,
        *,
        engine: Engine = DEFAULT_ENGINE,
    ) -> None:
        super().__init__()
        self.lm = lm
        self.engine: Engine = engine
        self.backbone = backbone_of(lm, engine)
        if engine != "plain":
            processor.tune()
        self.tokenizer = tokenizer
        self.notes = notes if notes is not None else Notes()
        # A loaded model is in evaluation mode, a new one in training mode; a wrapper must not say otherwise.
        self.training = lm.training

    @property
    def device(self) -> torch.device:
        return self.lm.device

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, dtype: torch.dtype = torch.float32, engine: Engine = DEFAULT_ENGINE, **kwargs: Any
    ) -> LatentLM:
        """Loads a plain Hugging Face causal LM, or one that `save_pretrained` wrote.

        Markers the tokenizer lacks are added, with an embedding row each (see `add_markers`). float32 unless told
        otherwise, because that is what training needs. Further arguments go to `AutoModelForCausalLM`.

        Raises:
            ValueError: `path` is a local folder without a model, or our notes in it are malformed.
        """
        folder = Path(path)
        if (folder.exists() or folder.is_absolute()) and not (folder / "config.json").is_file():
            raise ValueError(f"{folder}: no config.json, so not a saved model; a run folder keeps its model in final/")
        try:
            lm = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, **kwargs)
            tokenizer = AutoTokenizer.from_pretrained(path)
        except Exception as error:  # each library underneath raises classes of its own
            raise ValueError(f"{path}: no model could be loaded: {str(error).splitlines()[0]}") from error
        assert isinstance(tokenizer, PreTrainedTokenizerBase)
        add_markers(lm, tokenizer)
        return cls(lm, tokenizer, Notes.read(folder), engine=engine)

    def save_pretrained(self, path: str | Path) -> None:
        """Writes model, tokenizer and our notes; stock transformers loads the folder as the plain base model.

        Stock `generate` on it runs *without thoughts*: only `LatentLM` feeds hidden states back.
        """
        folder = Path(path)
        self.lm.save_pretrained(folder)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
        self.notes.write(folder)

    @property
    def marks(self) -> Marks:
        """Ids of the markers.

        Raises:
            ValueError: this model has no tokenizer, or its tokenizer lacks a marker.
        """
        return find_markers(self._tokenizer())

    def _tokenizer(self) -> PreTrainedTokenizerBase:
        if self.tokenizer is None:
            raise ValueError(
                "this model has no tokenizer, so no markers; load it with LatentLM.from_pretrained or pass a tokenizer"
            )
        return self.tokenizer

    @torch.inference_mode()
    def write(
        self,
        prompts: Sequence[Layout],
        *,
        max_new_tokens: int,
        rows: int = 128,
        eos_token_id: int | list[int] | None = None,
        feed_back: FeedBack = itself,
        on_finished: Callable[[int], None] = lambda num_rows: None,
    ) -> list[Written]:
        """Answers any number of prompts greedily, at most `rows` at a time; what each wrote and how long it took.

        Finished rows make room for waiting prompts (`slots.py`), so rows of one call share passes in no particular
        order; a `feed_back` that mixes rows needs calls of at most `rows` prompts, which stay together. `on_finished`
        is told how many rows have just been answered.

        Raises:
            ValueError: `rows` or `max_new_tokens` is below 1, a prompt does not fit into the model's positions, or the
                model is in training mode.
        """
        if rows < 1:
            raise ValueError(f"rows must be at least 1, got {rows}")
        self._check_room(max(map(len, prompts), default=0), max_new_tokens)
        stop_ids = self._stop_ids(eos_token_id)
        if not prompts:
            return []
        if self.backbone.blocks is not None:
            slots = Slots(
                self.backbone,
                rows=min(rows, len(prompts)),
                feed_back=feed_back,
                stop_ids=stop_ids,
                max_new_tokens=max_new_tokens,
                pad_id=self.pad_id,
            )
            return slots.write(prompts, on_finished=on_finished)
        results: dict[int, Written] = {}
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for chunk in even_chunks(order, rows):
            written = self._write_together([prompts[i] for i in chunk], max_new_tokens, stop_ids, feed_back)
            results.update(zip(chunk, written, strict=True))
            on_finished(len(chunk))
        return [results[i] for i in range(len(prompts))]

    def _write_together(
        self, prompts: Sequence[Layout], max_new_tokens: int, stop_ids: list[int], feed_back: FeedBack
    ) -> list[Written]:
        """One batch, which no new prompt joins: what any model can do."""
        batch = collate(prompts, pad_id=self.pad_id).to(self.device)
        clock = _Clock(self.device)
        new = self._decode(
            batch.input_ids,
            batch.attention_mask,
            batch.position_ids,
            batch.is_thought,
            max_new_tokens=max_new_tokens,
            stop_ids=stop_ids,
            sampling=None,
            feed_back=feed_back,
            on_pass=clock.on_pass,
        ).tolist()
        clock.on_text()
        stop = set(stop_ids)
        written = []
        for ids in new:
            end = next((n for n, token in enumerate(ids, start=1) if token in stop), len(ids))
            share = {kind: seconds / len(prompts) for kind, seconds in clock.seconds.items()}
            written.append(Written(tokens=ids[:end], **share))
        return written

    @torch.no_grad()
    def generate(
        self,
        *,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None = None,
        position_ids: Int[Tensor, "B T"] | None = None,
        is_thought: Bool[Tensor, "B T"] | None = None,
        max_new_tokens: int,
        sampling: Sampling | None = None,
        eos_token_id: int | list[int] | None = None,
        feed_back: FeedBack = itself,
    ) -> Int[Tensor, "B N"]:
        """New token ids, the end-of-text token included and padding after it; any mix of lengths and thought counts.

        Greedy without `sampling`. `eos_token_id` defaults to the tokenizer's, else the model's; rows that never write
        it run to `max_new_tokens`.

        Raises:
            ValueError: as `forward`; or `max_new_tokens` is below 1 or does not fit into the model's positions.
        """
        attention_mask, position_ids, is_thought = self._complete(input_ids, attention_mask, position_ids, is_thought)
        self._check_room(int((position_ids * attention_mask).max()) + 1, max_new_tokens)
        return self._decode(
            input_ids,
            attention_mask,
            position_ids,
            is_thought,
            max_new_tokens=max_new_tokens,
            stop_ids=self._stop_ids(eos_token_id),
            sampling=sampling,
            feed_back=feed_back,
        )

    def _check_room(self, longest: int, max_new_tokens: int) -> None:
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
        limit, needed = self.backbone.max_positions, longest + max_new_tokens
        if limit is not None and needed > limit:
            raise ValueError(
                f"prompt and max_new_tokens need {needed} positions, but this model has {limit}; shorten the prompt or "
                f"lower max_new_tokens to {max(limit - longest, 0)}"
            )
        if self.training:
            raise ValueError("generate needs the model in evaluation mode; call model.eval() first")

    def _stop_ids(self, eos_token_id: int | list[int] | None) -> list[int]:
        stop = eos_token_id if eos_token_id is not None else self._eos_token_ids()
        return [stop] if isinstance(stop, int) else stop

    def _decode(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"],
        position_ids: Int[Tensor, "B T"],
        is_thought: Bool[Tensor, "B T"],
        *,
        max_new_tokens: int,
        stop_ids: list[int],
        sampling: Sampling | None,
        feed_back: FeedBack,
        on_pass: Callable[[Span], None] = lambda span: None,
    ) -> Int[Tensor, "B N"]:
        plan = _whole_plan(is_thought, position_ids, None)
        hidden, _, session = self._walk(
            input_ids, attention_mask, position_ids, is_thought, plan, feed_back, on_pass=on_pass
        )
        columns = torch.arange(input_ids.shape[1], device=input_ids.device)
        last = (columns * attention_mask).amax(1)
        return decode(
            self.backbone,
            session,
            last_hidden=hidden[torch.arange(len(hidden), device=hidden.device), last],
            next_position=(position_ids * attention_mask).amax(1) + 1,
            max_new_tokens=max_new_tokens,
            stop_ids=torch.tensor(stop_ids, dtype=torch.long, device=input_ids.device),
            pad_id=self.pad_id,
            sampling=sampling,
        )

    def _eos_token_ids(self) -> list[int]:
        if self.tokenizer is not None and self.tokenizer.eos_token_id is not None:
            return [self.tokenizer.eos_token_id]
        eos = self.lm.config.eos_token_id
        return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)

    @property
    def pad_id(self) -> int:
        """The id that fills padding; masked wherever the model looks, so any id would do."""
        if self.tokenizer is not None and self.tokenizer.pad_token_id is not None:
            return self.tokenizer.pad_token_id
        stop = self._eos_token_ids()
        return stop[0] if stop else 0

    def reason(
        self,
        questions: Sequence[str],
        *,
        thoughts: int | None = None,
        max_new_tokens: int = 64,
        sampling: Sampling | None = None,
    ) -> list[str]:
        """Answers questions: text in, the text written after `thoughts` continuous thoughts out.

        Without `thoughts` the question is followed by what followed it in the last stage of training (thoughts, pauses
        or nothing); `thoughts=0` writes after empty markers.

        Raises:
            ValueError: a single string was given, there are no questions, or `thoughts` is negative.
        """
        if isinstance(questions, str):
            raise ValueError("reason takes a list of questions, got one string; write reason([question])")
        if not questions:
            raise ValueError("reason needs at least one question, got none")
        tokenizer, marks = self._tokenizer(), self.marks
        if thoughts is not None and thoughts < 0:
            raise ValueError(f"the number of thoughts must be at least 0, got {thoughts}")
        trained = self.notes.after_question.count(MARKERS["thought"])
        if thoughts is not None and thoughts > trained:
            warnings.warn(f"thoughts={thoughts} is more than this model was trained with ({trained})", stacklevel=2)
        given = [marks.bot, *[marks.thought] * thoughts, marks.eot] if thoughts is not None else []
        if thoughts is None and self.notes.after_question:
            vocabulary = tokenizer.get_vocab()
            given = [vocabulary[name] for name in self.notes.after_question]
        texts = [self.notes.question_format.format(question=question) for question in questions]
        rows = [lay_out([*ids, *given], [], thought=marks.thought) for ids in encode(texts, tokenizer)]
        training = self.training
        self.eval()
        try:
            if sampling is None:
                new = [written.tokens for written in self.write(rows, max_new_tokens=max_new_tokens)]
            else:
                batch = collate(rows, pad_id=self.pad_id).to(self.device)
                new = self.generate(
                    input_ids=batch.input_ids,
                    attention_mask=batch.attention_mask,
                    position_ids=batch.position_ids,
                    is_thought=batch.is_thought,
                    max_new_tokens=max_new_tokens,
                    sampling=sampling,
                ).tolist()
        finally:
            self.train(training)
        return [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]

    def forward(
        self,
        *,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None = None,
        position_ids: Int[Tensor, "B T"] | None = None,
        labels: Int[Tensor, "B T"] | None = None,
        is_thought: Bool[Tensor, "B T"] | None = None,
        plan: Plan | None = None,
        feed_back: FeedBack = itself,
        return_logits: bool = False,
    ) -> LatentOutput:
        """Runs a batch; rows may be padded on either side and have any number of thoughts.

        `labels` are not shifted: the label at position t is the token at t, predicted from t - 1, and `IGNORE_INDEX`
        carries no loss. `plan` (`Batch.plan`, of this very batch, thoughts and labels) spares the device the questions
        it answers and leaves out outputs nobody reads; then `labels` only says that a loss is wanted. `feed_back` says
        what stands at a thought (the paper: the last hidden state itself).

        Raises:
            ValueError: the batch is empty, a thought comes first in its row, a row is longer than the model's
                positions, or a label is outside the vocabulary.
        """
        attention_mask, position_ids, is_thought = self._complete(input_ids, attention_mask, position_ids, is_thought)
        if labels is not None and labels.shape != input_ids.shape:
            raise ValueError(f"labels has shape {tuple(labels.shape)}, expected {tuple(input_ids.shape)} as input_ids")
        if plan is None:
            plan = _whole_plan(is_thought, position_ids, labels)
        hidden, thoughts, session = self._walk(
            input_ids, attention_mask, position_ids, is_thought, plan, feed_back
        )  # fmt: skip
        loss = loss_sum = None
        if labels is not None:
            loss_sum = self._loss_sum(hidden, plan)
            loss = loss_sum / max(len(plan.label_ids), 1)
        return LatentOutput(
            loss=loss,
            loss_sum=loss_sum,
            logits=self.backbone.unembed(hidden) if return_logits else None,
            thoughts=thoughts,
            hidden=hidden,
            session=session,
        )

    def _complete(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None,
        position_ids: Int[Tensor, "B T"] | None,
        is_thought: Bool[Tensor, "B T"] | None,
    ) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
        if input_ids.numel() == 0:
            raise ValueError(f"an empty batch: input_ids has shape {tuple(input_ids.shape)}, expected rows and tokens")
        if self.training and any(vars(m).get("gradient_checkpointing", False) for m in self.lm.modules()):
            raise ValueError(
                "Hugging Face's gradient checkpointing drops the cache between passes, so thoughts would be silently "
                "wrong; call lm.gradient_checkpointing_disable() and lower the batch size or accumulate instead"
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if position_ids is None:
            position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)
        if is_thought is None:
            is_thought = torch.zeros_like(input_ids, dtype=torch.bool)
        others = {"attention_mask": attention_mask, "position_ids": position_ids, "is_thought": is_thought}
        for name, tensor in others.items():
            if tensor.shape != input_ids.shape:
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}, expected {tuple(input_ids.shape)} as input_ids"
                )
        limit = self.backbone.max_positions
        # The width bounds every position, so the check needs no value from the device in the usual case.
        if limit is not None and input_ids.shape[1] > limit and (longest := int(position_ids.max()) + 1) > limit:
            raise ValueError(
                f"a row has {longest} positions, but this model has {limit}; shorten the prompt or take a model with "
                "more positions"
            )
        return attention_mask, position_ids, is_thought

    def _walk(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"],
        position_ids: Int[Tensor, "B T"],
        is_thought: Bool[Tensor, "B T"],
        plan: Plan,
        feed_back: FeedBack,
        *,
        on_pass: Callable[[Span], None] = lambda span: None,
    ) -> tuple[Float[Tensor, "B C D"], Float[Tensor, "B K D"], Session]:
        embeds = self.backbone.embed(input_ids)
        session = self.backbone.start(attention_mask, position_ids)
        outputs: list[Tensor] = []
        fed: list[Tensor] = []
        for span in plan.spans:
            x = embeds[:, span.columns]
            if span.thinking:
                think = is_thought[:, span.start]
                thought = feed_back(outputs[-1][:, -1], think).to(x.dtype)
                back = self.backbone.feed_back(thought)[:, None]
                x = back if span.thinking == len(x) else torch.where(think[:, None, None], back, x)
                fed.append(thought)
            outputs.append(session.run(x, span.columns, keep=span.keep))
            on_pass(span)
        hidden = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
        return hidden, _gather_thoughts(fed, plan, like=hidden), session

    def _loss_sum(self, hidden: Float[Tensor, "B C D"], plan: Plan) -> Float[Tensor, ""]:
        # Rows with a label only: the unembedding is the larger part of a small model's arithmetic.
        logits = self.backbone.unembed(hidden.flatten(0, 1)[plan.label_index])
        if plan.label_range is not None:
            smallest, largest = plan.label_range
            if not 0 <= smallest <= largest < logits.shape[-1]:
                raise ValueError(
                    f"labels go from {smallest} to {largest}, but the vocabulary has {logits.shape[-1]} tokens; were "
                    "the labels made with another tokenizer?"
                )
        if logits.dtype != torch.float64:
            logits = logits.float()
        return F.cross_entropy(logits, plan.label_ids, reduction="sum")


@final
class _Clock:
    """Splits the time of a batch into prefill, thoughts and text; waits for the device at every lap."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds = {"prefill_seconds": 0.0, "thought_seconds": 0.0, "text_seconds": 0.0}
        self._thought = False
        self._last = time.perf_counter()

    def on_pass(self, span: Span) -> None:
        self._thought = self._thought or span.thinking > 0
        self._lap("thought_seconds" if span.thinking else "text_seconds" if self._thought else "prefill_seconds")

    def on_text(self) -> None:
        self._lap("text_seconds")

    def _lap(self, kind: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.seconds[kind] += now - self._last
        self._last = now


def _whole_plan(
    is_thought: Bool[Tensor, "B T"], position_ids: Int[Tensor, "B T"], labels: Int[Tensor, "B T"] | None
) -> Plan:
    """A plan that keeps every output, for tensors that came without one."""
    plan = make_plan(is_thought, labels, whole=True)
    if plan.spans[0].thinking or bool((is_thought & (position_ids == 0)).any()):
        raise ValueError("a continuous thought needs at least one token before it in its row")
    return plan.to(is_thought.device)


def _gather_thoughts(
    fed: Sequence[Float[Tensor, "B D"]], plan: Plan, *, like: Float[Tensor, "B C D"]
) -> Float[Tensor, "B K D"]:
    """Each row's own thoughts in order, out of the columns in which some row thinks; zero-padded."""
    if not fed:
        return like.new_zeros(len(like), 0, like.shape[-1])
    columns = torch.stack(list(fed), dim=1)
    if plan.thoughts is None:
        return columns
    order, there = plan.thoughts
    return columns.gather(1, order[..., None].expand(-1, -1, columns.shape[-1])) * there[..., None]
