"""The four tokens a method may insert, and their rows in a model's embeddings."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from unspoken.layout import MARKERS, Marks


def find_markers(tokenizer: PreTrainedTokenizerBase) -> Marks:
    """The markers' ids.

    Raises:
        ValueError: the tokenizer lacks one.
    """
    vocabulary = tokenizer.get_vocab()
    missing = [name for name in MARKERS.values() if name not in vocabulary]
    if missing:
        raise ValueError(
            f"the tokenizer has no {', '.join(missing)}; load the model with LatentLM.from_pretrained, which adds them"
        )
    return Marks(**{field: vocabulary[name] for field, name in MARKERS.items()})


def name_markers(tokenizer: PreTrainedTokenizerBase) -> None:
    """Gives the markers that a tokenizer lacks ids after all others, in the published code's order, the pause last."""
    vocabulary = tokenizer.get_vocab()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [name for name in MARKERS.values() if name not in vocabulary]},
        replace_extra_special_tokens=False,
    )


def add_markers(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Marks:
    """Adds the markers the tokenizer lacks, and an embedding row for each.

    A new row starts as a copy of the row of `<<`, as in the published code, where the tokenizer has that token; else
    as the mean of all rows. It is written even where the model has spare rows, whose values mean nothing.
    """
    vocabulary = tokenizer.get_vocab()
    name_markers(tokenizer)
    marks = find_markers(tokenizer)
    embeddings = lm.get_input_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    rows = embeddings.num_embeddings
    new = [id_ for name, id_ in tokenizer.get_vocab().items() if name not in vocabulary or id_ >= rows]
    if not new:
        return marks
    num_known = min(len(vocabulary), rows)
    if len(tokenizer) > rows:
        lm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    source = vocabulary.get("<<")
    head = lm.get_output_embeddings()
    assert head is not None
    with torch.no_grad():
        # Tied matrices are written twice, with the same values.
        for module in (lm.get_input_embeddings(), head):
            matrix = module.get_parameter("weight")
            matrix[new] = matrix[:num_known].mean(0) if source is None else matrix[source].clone()
    return marks


def find_or_add_markers(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Marks:
    """As `add_markers`, but a model of the published implementation stays what it is.

    That has rows for all markers but our pause. One more row would take its share of every probability, a large one
    where it copies a trained `<<`; so the pause gets an id and no row, until a training asks for one (`add_markers`).
    """
    rows = len(lm.get_input_embeddings().get_parameter("weight"))
    vocabulary = tokenizer.get_vocab()
    names = [name for field, name in MARKERS.items() if field != "pause"]
    published = all(vocabulary.get(name, rows) < rows for name in names)
    if not published or vocabulary.get(MARKERS["pause"], len(vocabulary)) < rows:
        return add_markers(lm, tokenizer)
    name_markers(tokenizer)
    return find_markers(tokenizer)


def copy_markers(lm: PreTrainedModel, marks: Marks) -> None:
    """Gives <eot> and the pause token the rows of <bot>, in input and output embeddings."""
    head = lm.get_output_embeddings()
    assert head is not None
    with torch.no_grad():
        for module in (lm.get_input_embeddings(), head):
            matrix = module.get_parameter("weight")
            matrix[[marks.eot, marks.pause]] = matrix[marks.bot].clone()
