"""Text to ids: from a description to a tokenizer, and what every text goes through. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast, TokenizersBackend
from transformers import GPT2Tokenizer as HFGPT2Tokenizer

from unspoken.layout import MARKERS
from unspoken.specs import GPT2Tokenizer, TokenizerSpec, Words
from unspoken.tasks.base import Task
from unspoken.tasks.rows import data_file

TOKENIZER_FILES = ("tokenizer", "vocab", "spiece", "sentencepiece", "tekken")
"""How the names of tokenizers' files begin."""

END_OF_TEXT = "<|endoftext|>"


def word_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """An ordinary Hugging Face tokenizer over a closed vocabulary, split at whitespace; unknown words are errors."""
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([END_OF_TEXT, *MARKERS.values(), *words]))}
    # WordLevel has no unknown token here, so that a word outside the vocabulary cannot pass as another one.
    inner = Tokenizer(WordLevel(vocabulary))
    inner.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        extra_special_tokens=list(MARKERS.values()),
        clean_up_tokenization_spaces=False,
    )


def build_tokenizer(spec: TokenizerSpec, task: Task) -> PreTrainedTokenizerBase:
    """The tokenizer of a model from scratch, markers included.

    Raises:
        ValueError: the task's vocabulary is open but the tokenizer needs a closed one, or its files are missing.
    """
    match spec:
        case Words():
            words = task.words()
            if words is None:
                raise ValueError(
                    f"{type(task).__name__} has no closed vocabulary for a word-level tokenizer; use GPT2Tokenizer"
                )
            return word_tokenizer(list(words))
        case GPT2Tokenizer(folder=folder):
            vocab = data_file("tokenizer/gpt2/vocab.json") if folder is None else folder / "vocab.json"
            return _gpt2_tokenizer(vocab)
        case _:
            raise ValueError(
                f"no tokenizer is known for {type(spec).__name__}; add a case to tokenization.build_tokenizer"
            )


def _gpt2_tokenizer(vocab: Path) -> PreTrainedTokenizerBase:
    if not vocab.is_file():
        raise ValueError(f"{vocab}: no such file; expected GPT-2's vocab.json and merges.txt in that folder")
    tokenizer = HFGPT2Tokenizer(vocab=str(vocab), merges=str(vocab.parent / "merges.txt"))
    tokenizer.add_special_tokens({"pad_token": END_OF_TEXT})
    return tokenizer


def check_tokenizer(folder: Path) -> None:
    """Refuses a folder without a tokenizer's files, for which the library makes up a tokenizer of no words.

    Raises:
        ValueError: there is none.
    """
    if not any(path.name.startswith(TOKENIZER_FILES) for path in folder.iterdir()):
        raise ValueError(f"{folder}: no tokenizer there, tokenizer.json say; copy it from the model it belongs to")


def tokenizer_named(name: str) -> PreTrainedTokenizerBase:
    """`gpt2` among the shared data, a folder with vocab.json and merges.txt, or the tokenizer of a saved model.

    Raises:
        ValueError: there is none.
    """
    folder = Path(name)
    if name == "gpt2" and not folder.is_dir():
        return _gpt2_tokenizer(data_file("tokenizer/gpt2/vocab.json"))
    if (folder / "merges.txt").is_file() and not (folder / "tokenizer.json").is_file():
        return _gpt2_tokenizer(folder / "vocab.json")
    if folder.is_dir():
        check_tokenizer(folder)
    try:
        # Local or in the hub's cache: looking for a mistyped name on the network takes minutes where there is none.
        found = AutoTokenizer.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{name}: no tokenizer there; expected gpt2, a folder that holds a tokenizer, or a hub name that has been "
            "loaded before"
        ) from error
    assert found is not None
    return found


def encode(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Each text as ids. Text that spells a marker is text: it must not become a thought.

    Raises:
        ValueError: a word is outside a closed vocabulary.
    """
    if not texts:
        return []
    try:
        if not isinstance(tokenizer, TokenizersBackend):
            return tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        # The library beneath, at twice the speed: offsets and masks that nobody reads cost the other half.
        backend = tokenizer.backend_tokenizer
        words = _closed_vocabulary(backend)
        if words is not None:
            # At ten times the speed: a call into the library costs more than looking up a dozen words.
            return [[words[word] for word in text.split()] for text in texts]
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True
        return [found.ids for found in backend.encode_batch_fast(list(texts), add_special_tokens=False)]
    except KeyError as error:
        known = set(tokenizer.get_vocab())
        word = next(w for text in texts for w in text.split() if w not in known)
        raise ValueError(
            f"the word {word!r} is not in this model's vocabulary of {len(known)} words; was it trained on "
            "another task?"
        ) from error


def _closed_vocabulary(backend: Tokenizer) -> dict[str, int] | None:
    """Ids by word, where text is split at whitespace and every other word is an error; None for all else."""
    model = backend.model
    plain = backend.normalizer is None and isinstance(backend.pre_tokenizer, WhitespaceSplit)
    if not plain or not isinstance(model, WordLevel):
        return None
    words = backend.get_vocab()
    return None if model.unk_token in words else words
