"""Problems, what stands in their slots, and who may lend thoughts to whom: all that an intervention may ask for.

Letters: N problems, K slots (the most that any problem has), D hidden size.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from numpy.typing import NDArray

from unspoken.audit.slots import as_fed, shortened, slotted, thoughts_of, write_fed
from unspoken.data import tokenize
from unspoken.evaluate import evaluate
from unspoken.layout import Layout
from unspoken.methods import Method
from unspoken.model import LatentLM
from unspoken.records import Record
from unspoken.tasks.base import Example, Task

if TYPE_CHECKING:
    from torch import Tensor

ASKED = "_"
"""Stands for whoever is asked about, where answers of different problems are compared."""


@final
@dataclass(frozen=True, kw_only=True)
class Change:
    """What an intervention does: to which problems, what is asked there and what is fed. M problems, K slots."""

    problems: NDArray[np.int64]
    """(M,) numbers of the problems, ascending; some interventions exist for some problems only."""
    examples: tuple[Example, ...]
    """(M,) what is asked."""
    vectors: NDArray[np.float32]
    """(M, K, D) what is fed at the slots in order, NaN beyond a problem's own; a NaN vector at a slot: what the model
    itself puts there. A prompt has as many slots as `slots` says."""
    slots: NDArray[np.int64]
    """(M,) how many slots each prompt has."""
    donors: tuple[Example, ...] | None = None
    """(M,) whose thoughts are fed: an answer that follows the thoughts is this problem's. None: nobody's."""


@final
@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came of a change; all in the order of its problems."""

    records: tuple[Record, ...]
    """`index` is the number of the problem."""
    followed: NDArray[np.bool_] | None
    """(M,) whether the answer is the donor's; None where there is no donor."""


@final
class Context:
    """Some problems under a model; everything beyond the problems is worked out once, when it is first asked for.

    `thoughts` (N, K, D) is what the model fed itself, where that is known already. `slots` is the number of thoughts
    asked for; None: as in training.

    Raises:
        ValueError: there are no problems, or the method has no slots.
    """

    def __init__(
        self,
        model: LatentLM,
        task: Task,
        method: Method,
        examples: Sequence[Example],
        *,
        thoughts: NDArray[np.float32] | None = None,
        slots: int | None = None,
        rows: int = 64,
        seed: int = 0,
    ) -> None:
        if not examples:
            raise ValueError("there are no problems to audit; is the split empty?")
        if rows < 1:
            raise ValueError(f"the number of rows must be at least 1, got {rows}")
        model.eval()
        self.model, self.task, self.method = model, task, method
        self.examples = tuple(examples)
        self.rows, self.seed = max(rows, method.min_rows(slots)), seed
        self._forced = slots
        self._laid_out: dict[int, tuple[Example, Layout]] = {}
        if len(self.examples) < method.min_rows(slots):
            raise ValueError(
                f"{type(method).__name__} needs at least {method.min_rows(slots)} problems together, got "
                f"{len(examples)}"
            )
        prompts = self.prompts(self.examples)
        self.slots: NDArray[np.int64] = np.array([prompt.num_thoughts for prompt in prompts])
        """(N,) slots of each problem."""
        if not self.slots.any():
            raise ValueError(
                f"{type(method).__name__}{'' if slots is None else f' with {slots} thoughts'} puts nothing between "
                "question and answer that could be changed; audit a run with thoughts or pauses (Coconut, "
                "PauseAsThought, Pause)"
            )
        given = {token for prompt in prompts for token, t in zip(prompt.input_ids, prompt.is_thought, strict=True) if t}
        self.constant = model.marks.thought not in given
        """Whether the same pause token stands in every slot of every problem, so that no slot is fed anything of a
        problem's own."""
        # What a method without continuous thoughts "thought" is nothing; its slots hold the pause token.
        self._thoughts = thoughts if thoughts is not None and thoughts.shape[1] and not self.constant else None

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def most(self) -> int:
        """K, the largest number of slots."""
        return int(self.slots.max())

    def rng(self, name: str) -> np.random.Generator:
        """A random stream of a name's own, so that what else is done changes nothing."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def prompts(self, examples: Sequence[Example]) -> list[Layout]:
        """What the model is given for these, with every slot marked as a thought."""
        assert self.model.tokenizer is not None
        marks = self.model.marks
        # Every intervention asks for the same ones again.
        new = [example for example in examples if id(example) not in self._laid_out]
        for example, tokens in zip(new, tokenize(new, self.task, self.model.tokenizer), strict=True):
            prompt = slotted(self.method.prompt(tokens, marks, thoughts=self._forced), marks)
            self._laid_out[id(example)] = example, prompt
        return [self._laid_out[id(example)][1] for example in examples]

    @cached_property
    def pause(self) -> NDArray[np.float32]:
        """(D,) what must be fed for a slot to hold the pause token's embedding."""
        return self._embedding(torch.tensor([self.model.marks.pause]))

    @cached_property
    def mean_embedding(self) -> NDArray[np.float32]:
        """(D,) the mean of all token embeddings."""
        return self._embedding(torch.arange(self.model.lm.get_input_embeddings().get_parameter("weight").shape[0]))

    @torch.inference_mode()
    def _embedding(self, ids: Tensor) -> NDArray[np.float32]:
        backbone = self.model.backbone
        mean = backbone.embed(ids.to(self.model.device)).float().mean(0, keepdim=True)
        return as_fed(backbone, mean)[0].cpu().numpy()

    @property
    def own(self) -> Callable[[Tensor, Tensor], Tensor]:
        """What stands in a slot that nobody interferes with."""
        if not self.constant:
            return self.method.feed_back
        pause = torch.from_numpy(self.pause).to(self.model.device)
        return lambda hidden, is_thought: pause.to(hidden.dtype).expand_as(hidden)

    @cached_property
    def thoughts(self) -> NDArray[np.float32]:
        """(N, K, D) what stands in the slots; NaN beyond a problem's own."""
        if self._thoughts is None:
            return thoughts_of(self.model, self.prompts(self.examples), own=self.own, rows=self.rows)
        # A cache may hold more thoughts than a problem's last stage has; those before are the same.
        return self._cut(self._thoughts[:, : self.most], self.slots)

    @staticmethod
    def _cut(vectors: NDArray[np.float32], slots: NDArray[np.int64]) -> NDArray[np.float32]:
        beyond = np.arange(vectors.shape[1]) >= slots[:, None]
        return np.where(beyond[..., None], np.float32(np.nan), vectors)

    @cached_property
    def means(self) -> NDArray[np.float32]:
        """(K, D) the mean of each slot over problems."""
        return np.nanmean(self.thoughts, axis=0)

    @cached_property
    def others(self) -> dict[int, Example]:
        """By number of problem: the same facts and options, asked so that the other option is right.

        Only questions with a chain as long as some problem here has: a model that has never been asked for a shorter
        one may well fail it, which says nothing of its thoughts. In ProsQA, where the right option lies deepest, most
        other questions are of that kind.
        """
        lengths = {len(example.steps) for example in self.examples}
        found = {i: self.task.asked_otherwise(example) for i, example in enumerate(self.examples)}
        return {i: other for i, other in found.items() if other is not None and len(other.steps) in lengths}

    @cached_property
    def other_thoughts(self) -> dict[int, NDArray[np.float32]]:
        """By number of problem: (K, D) what the model thinks of the other question, where it has as many slots."""
        if len(self.others) < self.method.min_rows(self._forced) or not self.others:
            return {}
        prompts = self.prompts(list(self.others.values()))
        vectors = thoughts_of(self.model, prompts, own=self.own, rows=self.rows)
        same = {i: vectors[at] for at, i in enumerate(self.others) if prompts[at].num_thoughts == self.slots[i]}
        return {i: _padded(found, self.most) for i, found in same.items()}

    @cached_property
    def asked(self) -> tuple[str | None, ...]:
        """Who each problem asks about, as it is called; None: the task has no graphs."""
        return tuple(asked_name(self.task, example) for example in self.examples)

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """Each problem's answer, with `ASKED` for whoever is asked about, so that answers can be compared."""
        return tuple(
            _told(example.answer, name, ASKED) for example, name in zip(self.examples, self.asked, strict=True)
        )

    def deal(self, groups: Sequence[Hashable], rng: np.random.Generator) -> dict[int, int]:
        """A random donor for each problem: another one of its group with as many slots, everybody lends once.

        Problems that are alone in their group have none.
        """
        members: dict[Hashable, list[int]] = {}
        for i, group in enumerate(groups):
            members.setdefault((group, int(self.slots[i])), []).append(i)
        donors: dict[int, int] = {}
        for each in members.values():
            if len(each) > 1:
                order = rng.permutation(each).tolist()
                donors.update(zip(order, order[1:] + order[:1], strict=True))
        return donors

    def deal_unlike(self, rng: np.random.Generator) -> dict[int, int]:
        """A random donor with another answer and as many slots, for every problem for which there is one."""
        answers = np.unique(self.answers, return_inverse=True)[1]
        donors: dict[int, int] = {}
        for i in range(len(self)):
            fits = np.flatnonzero((answers != answers[i]) & (self.slots == self.slots[i]))
            if len(fits):
                donors[i] = int(rng.choice(fits))
        return donors

    @cached_property
    def clean(self) -> list[Record]:
        """What the model answers when left alone, by the ordinary evaluation."""
        return evaluate(self.model, self.task, self.method, self.examples, rows=self.rows, thoughts=self._forced)

    def answer(self, change: Change) -> Answered:
        """Asks what a change asks, feeds what it feeds."""
        if not len(change.problems):
            return Answered(records=(), followed=None)
        assert self.model.tokenizer is not None
        prompts = [shortened(each, num) for each, num in zip(self.prompts(change.examples), change.slots, strict=True)]
        assert [prompt.num_thoughts for prompt in prompts] == change.slots.tolist(), "a prompt lacks slots"
        written = write_fed(
            self.model,
            prompts,
            change.vectors,
            own=self.own,
            rows=self.rows,
            max_new_tokens=self.task.max_new_tokens,
        )
        records: list[Record] = []
        for i, example, prompt, row in zip(change.problems.tolist(), change.examples, prompts, written, strict=True):
            text = str(self.model.tokenizer.decode(row.tokens, skip_special_tokens=True))
            prediction = self.task.extract(text)
            records.append(
                Record(
                    index=i,
                    prompt=self.task.write(example).question,
                    output=text,
                    prediction=prediction,
                    target=example.answer,
                    correct=self.task.correct(prediction, example),
                    num_tokens=len(row.tokens),
                    num_thoughts=0 if self.constant else prompt.num_thoughts,
                    seconds=row.prefill_seconds + row.thought_seconds + row.text_seconds,
                    prefill_seconds=row.prefill_seconds,
                    thought_seconds=row.thought_seconds,
                    text_seconds=row.text_seconds,
                    path_class=self.task.classify(text, example, hidden=self._hidden(prompt)),
                )
            )
        if change.donors is None:
            return Answered(records=tuple(records), followed=None)
        said = [
            says(self.task, record.prediction, donor, asked=example)
            for record, donor, example in zip(records, change.donors, change.examples, strict=True)
        ]
        return Answered(records=tuple(records), followed=np.array(said))

    def _hidden(self, prompt: Layout) -> int:
        """How many steps of the chain a prompt stands for."""
        if self._forced is None and self.method.trained_thoughts in (None, prompt.num_thoughts):
            return self.method.hidden_steps()
        return self.method.hidden_steps(thoughts=prompt.num_thoughts)


def says(task: Task, prediction: str, donor: Example, *, asked: Example) -> bool:
    """Whether a prediction is the donor's answer, with the donor's own name or that of whoever is asked about in it.

    "Tom is a lempus.", to a question about Tom, is the answer of a donor of whom "Sam is a lempus." is right.
    """
    ours, theirs = asked_name(task, asked), asked_name(task, donor)
    answers = {donor.answer, _told(donor.answer, theirs, ours if ours is not None else ASKED)}
    return any(task.correct(prediction, replace(donor, answer=answer)) for answer in answers)


def asked_name(task: Task, example: Example) -> str | None:
    """What whoever is asked about is called; None where the problem has no graph."""
    graph = task.graph(example)
    return None if graph is None else str(example.meta["idx_to_symbol"][graph.root])


def _told(answer: str, name: str | None, other: str) -> str:
    """An answer told of somebody else: "Tom is a lempus." of Sam is "Sam is a lempus."."""
    return answer if name is None else re.sub(rf"\b{re.escape(name)}\b", lambda _: other, answer)


def _padded(vectors: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    out = np.full((most, vectors.shape[1]), np.nan, np.float32)
    num = min(most, len(vectors))
    out[:num] = vectors[:num]
    return out
