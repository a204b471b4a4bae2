"""A pandas array of a user's own type, whose methods can be told never to return."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy
from pandas.api.extensions import ExtensionArray, ExtensionDtype


class Dtype(ExtensionDtype):
    name = "letters"
    type = str

    @classmethod
    def construct_array_type(cls) -> Any:
        return Letters


class Letters(ExtensionArray):
    answers = True

    def __init__(self, letters: Iterable[str]) -> None:
        self.letters = list(letters)

    @classmethod
    @contextlib.contextmanager
    def that_never_answer(cls) -> Iterator[None]:
        cls.answers = False
        try:
            yield
        finally:
            cls.answers = True

    def _answer(self) -> None:
        while not self.answers:
            pass

    @property
    def dtype(self) -> Any:
        self._answer()
        return Dtype()

    def __len__(self) -> int:
        self._answer()
        return len(self.letters)

    def __getitem__(self, key: Any) -> Any:
        self._answer()
        found = self.letters[key]
        return Letters(found) if isinstance(key, slice) else found

    def __iter__(self) -> Any:
        self._answer()
        return iter(self.letters)

    def isna(self) -> Any:
        self._answer()
        return numpy.zeros(len(self.letters), bool)

    def copy(self) -> Letters:
        return Letters(self.letters)

    def view(self, dtype: object = None) -> Any:
        return self
