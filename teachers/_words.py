"""A word-level tokenizer for the pocket text towers, over the vocabulary of the ``scenes`` dataset."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bench.data.scenes import vocabulary

PAD, BEGIN, CLS, ENCODE, UNKNOWN = range(5)
WORDS = {word: index for index, word in enumerate(vocabulary(), start=5)}
END = 5 + len(WORDS)  # the highest id, as CLIP's argmax pooling expects
SIZE = END + 1
CONTEXT = 32


def encode(captions: Sequence[str], first: int) -> Tensor:
    """Captions to ids ``[C, L]``: ``first``, the words, END, then PAD up to the longest of this batch.

    Words outside the vocabulary become UNKNOWN; captions longer than CONTEXT are cut, END kept.
    """
    rows = [
        [first, *(WORDS.get(word, UNKNOWN) for word in caption.split()[: CONTEXT - 2]), END] for caption in captions
    ]
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD)
