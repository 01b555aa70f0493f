"""The vocabulary in, a CLIPTokenizer out that has one token for each known word."""

from itertools import pairwise
from string import ascii_lowercase, digits

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"
MAX_LENGTH = 32


def make_tokenizer(words: tuple[str, ...]) -> CLIPTokenizer:
    """Token ids depend on the words and their order alone; unknown words fall into letters."""
    merges = _merges(words)
    letters = [*ascii_lowercase, *digits, *"',.-!?"]
    tokens = letters + [letter + END_OF_WORD for letter in letters]
    tokens += [one + other for one, other in merges] + [START, END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def _merges(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Join each word from its left end; a later merge never splits an earlier word."""
    ranks: dict[tuple[str, str], int] = {}
    for word in words:
        while len(pieces := _split(word, ranks)) > 1:
            ranks[(pieces[0], pieces[1])] = len(ranks)
    return list(ranks)


def _split(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    pieces = [*word[:-1], word[-1] + END_OF_WORD]
    while True:
        known = [(ranks[pair], at) for at, pair in enumerate(pairwise(pieces)) if pair in ranks]
        if not known:
            return pieces
        _, at = min(known)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
