"""A causal LM whose marked positions are fed its own last hidden state.

`LatentLM` is the model as its users see it: load, save, `forward` for training and analysis, `write`, `generate` and
`reason` for answers. How a batch is run, pass after pass, is in `walk.py`; how answers are written is in `slots.py`
(models whose blocks are known) and `generate.py` (any model, and sampling).

A batch from `collate` brings its plan along. Without one, `forward` makes it from the tensors, which waits for a GPU.

Letters: B rows, T tokens, C columns whose output is kept, D hidden size, V vocabulary, K thoughts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from unspoken import processor
from unspoken.adapters import adapted, merged, save_adapter
from unspoken.backbones import Session, backbone_of
from unspoken.batch import Plan, collate, even_chunks
from unspoken.cards import write_card
from unspoken.generate import Sampling, Written, run_and_decode, write_batch
from unspoken.hub import Hub, upload
from unspoken.layout import MARKERS, Layout, Marks, lay_out
from unspoken.markers import find_markers, find_or_add_markers
from unspoken.notes import Notes
from unspoken.safety import check_model_folder
from unspoken.slots import Slots
from unspoken.specs import DEFAULT_ENGINE, Engine
from unspoken.tokenization import check_tokenizer, encode
from unspoken.walk import Columns, FeedBack, complete, itself, summed_loss, walk


@final
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


@final
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

    def train(self, mode: bool = True) -> LatentLM:
        """As any module's; weights are about to change, so what decoding has packed (`packed.py`) is let go of."""
        self.backbone.forget_packed()
        return super().train(mode)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, dtype: torch.dtype = torch.float32, engine: Engine = DEFAULT_ENGINE, **kwargs: Any
    ) -> LatentLM:
        """Loads a plain Hugging Face causal LM, or one that `save_pretrained` wrote.

        Markers the tokenizer lacks are added, with an embedding row each (see `find_or_add_markers`). float32 unless
        told otherwise, because that is what training needs. Further arguments go to `AutoModelForCausalLM`. Only
        safetensors and JSON are read (`safety.py`), and no code that comes with a model is run unless
        `trust_remote_code` asks for it.

        Raises:
            ValueError: `path` is a file or a local folder without a model in safetensors or without a tokenizer, or our
                notes in it are malformed.
        """
        folder = Path(path)
        if (folder.exists() or folder.is_absolute()) and "gguf_file" not in kwargs:
            check_model_folder(folder)
            check_tokenizer(folder)
        # Not said at all, it would be asked on the terminal.
        trust = kwargs.pop("trust_remote_code", False)
        safely = {**kwargs, "use_safetensors": True, "trust_remote_code": trust}
        try:
            lm = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, **safely)
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust)
        except Exception as error:  # each library underneath raises classes of its own
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{path}: no model could be loaded: {why}") from error
        assert isinstance(tokenizer, PreTrainedTokenizerBase)
        find_or_add_markers(lm, tokenizer)
        return cls(lm, tokenizer, Notes.read(folder), engine=engine)

    def save_pretrained(self, path: str | Path) -> None:
        """Writes model, tokenizer, our notes and a card; stock transformers loads the folder as the plain base model.

        Stock `generate` on it runs *without thoughts*: only `LatentLM` feeds hidden states back.
        """
        self._save(Path(path), source=".")

    def _save(self, folder: Path, *, source: str) -> None:
        merged(self.lm).save_pretrained(folder)
        if adapted(self.lm):
            save_adapter(self.lm, folder / "adapter")
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)
        self.notes.write(folder)
        write_card(folder, source=source)

    def push_to_hub(self, name: str, *, private: bool = False, hub: Hub | None = None) -> str:
        """Uploads what `save_pretrained` writes, its card naming the repository; the address of the commit.

        The repository (`user/name`) is made where it is not there. `hub` stands for `huggingface_hub.HfApi()`.

        Raises:
            ValueError: as `hub.upload`.
        """
        return upload(partial(self._save, source=name), name, private=private, hub=hub)

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
            batch = collate([prompts[i] for i in chunk], pad_id=self.pad_id).to(self.device)
            written = write_batch(
                self.backbone,
                batch,
                max_new_tokens=max_new_tokens,
                stop_ids=stop_ids,
                pad_id=self.pad_id,
                feed_back=feed_back,
            )
            results.update(zip(chunk, written, strict=True))
            on_finished(len(chunk))
        return [results[i] for i in range(len(prompts))]

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
        columns = self._columns(input_ids, attention_mask, position_ids, is_thought)
        self._check_room(int((columns.position_ids * columns.attention_mask).max()) + 1, max_new_tokens)
        return run_and_decode(
            self.backbone,
            columns,
            max_new_tokens=max_new_tokens,
            stop_ids=self._stop_ids(eos_token_id),
            pad_id=self.pad_id,
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
        columns = self._columns(input_ids, attention_mask, position_ids, is_thought)
        if labels is not None and labels.shape != input_ids.shape:
            raise ValueError(f"labels has shape {tuple(labels.shape)}, expected {tuple(input_ids.shape)} as input_ids")
        if plan is None:
            plan = columns.whole_plan(labels)
        walked = walk(self.backbone, columns, plan, feed_back)
        loss = loss_sum = None
        if labels is not None:
            loss_sum = summed_loss(self.backbone, walked.hidden, plan)
            loss = loss_sum / max(len(plan.label_ids), 1)
        return LatentOutput(
            loss=loss,
            loss_sum=loss_sum,
            logits=self.backbone.unembed(walked.hidden) if return_logits else None,
            thoughts=walked.thoughts,
            hidden=walked.hidden,
            session=walked.session,
        )

    def _columns(
        self,
        input_ids: Int[Tensor, "B T"],
        attention_mask: Int[Tensor, "B T"] | None,
        position_ids: Int[Tensor, "B T"] | None,
        is_thought: Bool[Tensor, "B T"] | None,
    ) -> Columns:
        if self.training and any(vars(m).get("gradient_checkpointing", False) for m in self.lm.modules()):
            raise ValueError(
                "Hugging Face's gradient checkpointing drops the cache between passes, so thoughts would be silently "
                "wrong; call lm.gradient_checkpointing_disable() and lower the batch size or accumulate instead"
            )
        return complete(
            input_ids, attention_mask, position_ids, is_thought, max_positions=self.backbone.max_positions
        )  # fmt: skip
