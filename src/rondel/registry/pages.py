"""What the pages Models show: versions, the card, what is in the file, and where it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rondel.registry.models import Lineage, ModelVersion


class Branch(NamedTuple):
    """A version in the picture of its family: `depth` counts from the oldest ancestor."""

    version: ModelVersion
    depth: int
    is_here: bool


@dataclass(frozen=True, slots=True)
class ModelPage:
    """One model version. `served_by` names the deployments that run it."""

    version: ModelVersion
    family: tuple[Branch, ...]
    versions: Sequence[ModelVersion]
    served_by: tuple[str, ...]


def model_page(lineage: Lineage, versions: Sequence[ModelVersion], served_by: Sequence[str]) -> ModelPage:
    """The page: ancestors above, this version, what was made of it below."""
    above = list(reversed(lineage.ancestors))
    depth = len(above)
    family = [Branch(version, level, is_here=False) for level, version in enumerate(above)]
    family.append(Branch(lineage.version, depth, is_here=True))
    family += [Branch(child, depth + 1, is_here=False) for child in lineage.children]
    return ModelPage(lineage.version, tuple(family), versions, tuple(served_by))
