"""A prompt -> the same with words that help a model. Pure: the words are the catalogue's."""

import re
from typing import Final

from schemas.common import PROMPT_LIMIT
from services.engine.sizes import Entry

END: Final = " \t\n.,;"
_WORD: Final = re.compile(r"[^\W_]+")


class Rule(Entry):
    """`add` follows a prompt that has none of `unless`, and one of `when` where that is given."""

    add: str
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    def fits(self, words: set[str]) -> bool:
        wanted = not self.when or not words.isdisjoint(self.when)
        return wanted and words.isdisjoint(self.unless)


class Enhancement(Entry):
    """How prompts for a model are made better."""

    advice: str = ""  #: what a language model is told of this model
    rules: tuple[Rule, ...] = ()  #: what is done where there is none, one after the other

    def expanded(self, prompt: str) -> str:
        """Everything that was said stays; the same prompt always becomes the same."""
        text = prompt
        for rule in self.rules:
            if rule.fits(set(_WORD.findall(text.lower()))):
                text = text.rstrip(END) + rule.add
        return text if len(text) <= PROMPT_LIMIT else prompt
