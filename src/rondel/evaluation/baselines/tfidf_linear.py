"""TF-IDF and logistic regression, a field at a time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion

from rondel.datasets.models import Example, is_object
from rondel.datasets.rules import enumerated_fields, schema_from_examples, text_of
from rondel.errors import Invalid

ALONE = ""
"""The one field of an answer that is no object."""


@dataclass(frozen=True, slots=True)
class TfidfLinear:
    """Learns every field with a closed set of values from word and letter n-grams; other fields get their commonest
    value (often null). Nothing is tuned to the test examples.
    """

    strength: float = 10.0

    def answers(self, train: Sequence[Example], test: Sequence[object], *, seed: int = 0) -> tuple[object, ...]:
        """Answers in the form of the expected values: objects with every field, or one value."""
        known = [example for example in train if example.expected is not None]
        if not known:
            raise Invalid("The baseline needs train examples with known answers, and there is none.")
        schema = schema_from_examples([example.expected for example in known])
        is_one_value = schema.get("type") != "object"
        closed = {ALONE: ()} if "enum" in schema else enumerated_fields(schema)
        names = [ALONE] if is_one_value else list(_names(known))
        texts, questions = [text_of(example.input) for example in known], [text_of(input_) for input_ in test]
        features = FeatureUnion(
            [
                ("words", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)),
                ("letters", TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), min_df=2, sublinear_tf=True)),
            ]
        )
        columns: dict[str, list[object]] = {}
        seen: tuple[csr_matrix, csr_matrix] | None = None
        for name in names:
            values = [_field(example.expected, name) for example in known]
            is_learned = name in closed and len({_key(value) for value in values}) > 1 and bool(questions)
            if is_learned:
                seen = seen or (features.fit_transform(texts), features.transform(questions))
                columns[name] = self._learned(seen, values, seed)
            else:
                columns[name] = _commonest(values, len(test))
        if is_one_value:
            return tuple(columns[ALONE])
        return tuple({name: columns[name][i] for name in names} for i in range(len(test)))

    def _learned(self, seen: tuple[csr_matrix, csr_matrix], values: list[object], seed: int) -> list[object]:
        model = LogisticRegression(C=self.strength, max_iter=200, class_weight="balanced", random_state=seed)
        model.fit(seen[0], [_key(value) for value in values])
        return [msgspec.json.decode(str(key)) for key in model.predict(seen[1])]  # numpy gives its own strings


def _names(examples: Sequence[Example]) -> dict[str, None]:
    return dict.fromkeys(name for example in examples if is_object(example.expected) for name in example.expected)


def _field(expected: object, name: str) -> object:
    return expected.get(name) if is_object(expected) and name != ALONE else expected if name == ALONE else None


def _key(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _commonest(values: Sequence[object], n: int) -> list[object]:
    key, _ = Counter(map(_key, values)).most_common(1)[0]
    return [msgspec.json.decode(key)] * n
