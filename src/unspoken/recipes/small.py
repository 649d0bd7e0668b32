"""The small world: the paper's Table 1 with models of 0.3M parameters on three symbolic tasks, for two CPU cores.

    walk            pointers followed in writing (`Hops`): the model learns to look facts up; stands where the paper's
                    runs have GPT-2's pretraining
      fork          symbolic ProsQA: the same where a node has up to three successors
        every row   none has seen the task before
      chain         symbolic ProntoQA: the task, every step written behind a <bot>; stage 0 of the rows that have one
        the rest    `no-cot`, `pause` and `without-curriculum` start from the walk and get the chain's problems too

A row of Table 1 is one recipe with the task's settings, model, optimizer, and number of training problems. On symbolic
ProsQA rows with stages have two runs: in the first the options are not told, since told options tempt a model into
naming one of them, which is right in half of the problems and drowns what the graph would teach (`planning.py`). Word
problems need no looking up and start from random weights; c is 2 there, as for GSM8K.

The released ProsQA problems themselves, in symbols, are in reach of the same models by going on from the small ones.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from unspoken.config import After, BatchSize, Muon, RunConfig, Schedule
from unspoken.curriculum import Curriculum
from unspoken.methods import Coconut, ICoT, OpenedCoT
from unspoken.recipes.ablations import ablations
from unspoken.recipes.rows import Recipe, table1, with_method
from unspoken.specs import Llama
from unspoken.tasks.base import SymbolicTask
from unspoken.tasks.fork import HIDDEN
from unspoken.tasks.graphs.released import Released
from unspoken.tasks.hops import Hops
from unspoken.tasks.prontoqa import GeneratedProntoQA
from unspoken.tasks.proofs.ontology import ProntoQAGenerator
from unspoken.tasks.proofs.words import CONCEPTS, FURTHER_CONCEPTS
from unspoken.tasks.prosqa import ProsQA
from unspoken.tasks.symbolic import SymbolicProsQA
from unspoken.tasks.symbolic_prontoqa import SymbolicProntoQA
from unspoken.tasks.word_problems import WordProblems

EPOCH = 12_800
"""Training problems of an epoch: 200 steps of 64."""

PROSQA = SymbolicProsQA(
    problems=ProsQA(graphs=Released(num_nodes=14, max_hops=4), num_train=EPOCH, num_valid=256, num_test=1_000),
    max_hops=4,
    # As many as the longer problems that these models are asked have nodes.
    symbols=28,
)
"""The released process on 14 nodes instead of 28: 15 facts on average, chains of 3 and 4 hops."""
RELEASED = SymbolicProsQA(problems=ProsQA(num_train=EPOCH), max_hops=6, symbols=28)
"""The released problems, 36 facts on average, chains of 3 to 6 hops: validated and tested on the published files,
trained on as many generated ones as the others here."""
PRONTOQA = SymbolicProntoQA(
    problems=GeneratedProntoQA(
        generator=ProntoQAGenerator(hops=3, distractors="irrelevant"), num_train=EPOCH, num_valid=256, num_test=1_000
    )
)
"""ProntoQA with 3 hops instead of 5, and with its own option of distractors on another entity."""
WORDS = WordProblems(num_train=EPOCH)
RELEASED_NAME = "small/prosqa-released"
UNSEEN = ("no-cot", "pause", "without-curriculum")
"""Rows that never see a chain of their task."""
FOUR_LAYERS = ("coconut", "cot", "pause-as-thought")
"""Rows of symbolic ProsQA that are trained with four layers as well."""


USUAL = Muon(lr=5e-3, others_lr=2e-3, betas=(0.9, 0.95), clip_norm=1.0)
FASTER = replace(USUAL, lr=1e-2, others_lr=3e-3)
"""For models from random weights."""


def _base(task: SymbolicTask, recipe: str, layers: int) -> RunConfig:
    """What all runs of the small world share."""
    return RunConfig(
        recipe=recipe,
        task=task,
        method=OpenedCoT(),
        model=Llama(layers=layers, heads=2, mlp_width=256, embedding_std=0.3, final_gain=0.3),
        curriculum=Curriculum(stage_epochs=(1,), reset_optimizer="never"),
        optimizer=USUAL,
        schedule=Schedule(decay="linear", warmup_steps=20, hold=0.5, floor=0.1),
        batch=BatchSize(rows=64, evaluation=256),
        precision="bf16",
        log_every=20,
    )


def walk(where: str, symbols: tuple[str, ...], others: tuple[str, ...], layers: int = 2) -> RunConfig:
    """Walk fourteen pointers on over a task's own symbols."""
    task = Hops(nodes=12, hops=14, num_train=EPOCH, symbols=symbols, other_words=others)
    base = _base(task, f"{where}/walk", layers)
    return replace(
        base,
        curriculum=replace(base.curriculum, stage_epochs=(2,)),
        optimizer=FASTER,
        schedule=replace(base.schedule, warmup_steps=50, hold=0.6),
    )


def prosqa_walk(layers: int = 2) -> RunConfig:
    """Walk pointers over ProsQA's symbols."""
    return walk(_prosqa_name(layers), PROSQA.names, ("|", HIDDEN), layers)


def prosqa_fork(layers: int = 2) -> RunConfig:
    """Walk on where a node has up to three successors, any of which may come next."""
    first = prosqa_walk(layers)
    assert isinstance(first.task, Hops)
    return replace(
        _base(replace(first.task, successors=3), f"{_prosqa_name(layers)}/fork", layers),
        model=After(first=first),
        curriculum=replace(first.curriculum, stage_epochs=(2,)),
    )


def prosqa(layers: int = 2) -> RunConfig:
    """Coconut on symbolic ProsQA, options told; before it the same stages with options untold."""
    method, mixing = Coconut(max_stage=4), Curriculum(stage_epochs=(1,), mix=0.2, mix_over="past")
    untold = replace(
        _base(replace(PROSQA, hidden=1.0), f"{_prosqa_name(layers)}/coconut-untold", layers),
        method=method,
        model=After(first=prosqa_fork(layers), marker_from="bot"),
        curriculum=replace(mixing, stage_epochs=(0, 2, 2, 2, 0, 0), reset_optimizer="never"),
    )
    return replace(
        untold,
        recipe=f"{_prosqa_name(layers)}/coconut",
        task=replace(PROSQA, hidden=0.1),
        model=After(first=untold),
        # Four thoughts are all there can be, so the stage that removes all text is stage 4 again and needs no time.
        curriculum=replace(untold.curriculum, stage_epochs=(0, 0, 1, 1, 4, 0)),
        optimizer=replace(untold.optimizer, lr=4e-3),
    )


def released() -> RunConfig:
    """Coconut on the released ProsQA problems in symbols, after the small ones."""
    small = prosqa()
    return replace(
        small,
        recipe=f"{RELEASED_NAME}/coconut",
        task=replace(RELEASED, hidden=0.1),
        method=Coconut(max_stage=6),
        model=After(first=small),
        curriculum=replace(small.curriculum, stage_epochs=(0, 0, 1, 1, 2, 1, 7, 0)),
    )


def released_icot() -> RunConfig:
    """A token a stage; a chain has up to six."""
    base, method = released(), ICoT(tokens_per_stage=1, remove_all_beyond=5)
    return with_method(base, f"{RELEASED_NAME}/icot", method, base.curriculum.stage_epochs[: method.stages])


def prontoqa_walk() -> RunConfig:
    """Walk pointers over ProntoQA's concepts."""
    concepts = (*CONCEPTS, *FURTHER_CONCEPTS)
    return walk("small/prontoqa", concepts, tuple(w for w in PRONTOQA.words() if w not in (*concepts, ";", "?")))


def prontoqa_chain() -> RunConfig:
    """Write the proof behind a <bot>: stage 0 of all rows that have one, and where they start."""
    base = _base(PRONTOQA, "small/prontoqa/chain", 2)
    return replace(base, model=After(first=prontoqa_walk()), curriculum=replace(base.curriculum, stage_epochs=(2,)))


def prontoqa() -> RunConfig:
    """Coconut on symbolic ProntoQA: three hops and the property, a thought for each."""
    return replace(
        _base(PRONTOQA, "small/prontoqa/coconut", 2),
        method=Coconut(max_stage=4),
        model=After(first=prontoqa_chain(), marker_from="bot"),
        curriculum=Curriculum(stage_epochs=(0, 1, 1, 2, 5, 0), mix=0.2, mix_over="past", reset_optimizer="never"),
    )


def words() -> RunConfig:
    """Coconut on word problems of two operations: two thoughts a step, as on GSM8K."""
    base = _base(WORDS, "small/words/coconut", 2)
    return replace(
        base,
        method=Coconut(max_stage=2, thoughts_per_step=2),
        curriculum=Curriculum(stage_epochs=(4, 4, 5, 0), mix=0.2, mix_over="past", reset_optimizer="never"),
        optimizer=FASTER,
        schedule=replace(base.schedule, warmup_steps=50),
    )


def prontoqa_icot() -> RunConfig:
    """A token a stage; a chain has up to five, `not` included."""
    return with_method(
        prontoqa(), "small/prontoqa/icot", ICoT(tokens_per_stage=1, remove_all_beyond=4), (0, 1, 1, 1, 1, 5)
    )


def words_icot() -> RunConfig:
    """Half a step a stage and a little more; a chain has ten tokens."""
    return with_method(words(), "small/words/icot", ICoT(tokens_per_stage=3, remove_all_beyond=9), (4, 2, 1, 2, 4))


def _prosqa_name(layers: int) -> str:
    return "small/prosqa" if layers == 2 else f"small/prosqa-{layers}-layers"


def _prosqa_row(row: Recipe) -> RunConfig:
    """A row with both of Coconut's runs, where its method has stages, else with one as long as both."""
    final = row()
    assert isinstance(final.model, After)
    untold = final.model.first
    method, epochs = final.method, untold.curriculum.stage_epochs
    if method.stages == 1:
        curriculum = replace(final.curriculum, stage_epochs=(final.curriculum.epochs + untold.curriculum.epochs,))
        return replace(final, model=untold.model, curriculum=curriculum)
    first = with_method(untold, f"{final.recipe}-untold", method, epochs[: method.stages])
    return replace(final, model=replace(final.model, first=first))


def _prontoqa_row(row: Recipe) -> RunConfig:
    """A row as it is; one that never sees a chain of the task starts before `chain`, and has its epochs too."""
    final = row()
    if final.recipe.rpartition("/")[2] not in UNSEEN:
        return final
    assert isinstance(final.model, After)
    chain = final.model.first
    epochs = final.curriculum.epochs + chain.curriculum.epochs
    return replace(final, model=chain.model, curriculum=replace(final.curriculum, stage_epochs=(epochs,)))


def _prosqa_rows(layers: int) -> dict[str, Recipe]:
    coconut, where = partial(prosqa, layers), _prosqa_name(layers)

    def icot() -> RunConfig:
        """A token a stage; a chain has up to four."""
        base, method = coconut(), ICoT(tokens_per_stage=1, remove_all_beyond=3)
        return with_method(base, f"{where}/icot", method, base.curriculum.stage_epochs[: method.stages])

    rows = table1(where, coconut, icot=icot)
    return {name: partial(_prosqa_row, row) for name, row in rows.items()}


def _released_row(row: Recipe, small: Recipe) -> RunConfig:
    """A row after the same row on the small problems."""
    return replace(row(), model=After(first=small()))


def _released_rows(small: dict[str, Recipe]) -> dict[str, Recipe]:
    rows = table1(RELEASED_NAME, released, icot=released_icot)
    return {
        name: partial(_released_row, row, small[f"{_prosqa_name(2)}/{name.rpartition('/')[2]}"])
        for name, row in rows.items()
    }


RECIPES: dict[str, Recipe] = {
    "small/prosqa/walk": prosqa_walk,
    "small/prosqa/fork": prosqa_fork,
    **_prosqa_rows(2),
    **_released_rows(_prosqa_rows(2)),
    **{name: row for name, row in _prosqa_rows(4).items() if name.rpartition("/")[2] in FOUR_LAYERS},
    "small/prontoqa/walk": prontoqa_walk,
    "small/prontoqa/chain": prontoqa_chain,
    **{
        name: partial(_prontoqa_row, row)
        for name, row in table1("small/prontoqa", prontoqa, icot=prontoqa_icot).items()
    },
    **table1("small/words", words, icot=words_icot),
    **ablations("small/prontoqa", prontoqa),
    **ablations("small/words", words),
}
