"""What the parts of a ladder's record are made of: their base, and kinds of figures."""

from typing import Annotated

from pydantic import ConfigDict, Field

from pathb_jax.store.models import AsGiven, Items, Model

Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Figure = Annotated[float, Field(ge=-1e100, le=1e100), AsGiven()]
"""Beyond these limits it is no figure of a run; sums and shares of it could not be told."""
Figures = dict[str, Figure | None]
Interval = Annotated[Items[Figure], Field(min_length=2, max_length=2)]
Successes = Annotated[tuple[Whole, Whole], Field(strict=False)]
"""Successes and seeds of an evaluation set."""


class RecordPart(Model):
    """An object of the record; keys that this version does not know are kept."""

    model_config = ConfigDict(extra="allow")
