"""What the fields of a protocol file may hold, whatever they are about."""

from typing import Annotated

from pydantic import ConfigDict, Field

from pathb_jax.config import SEED_LIMIT
from pathb_jax.store.models import Model

Text = Annotated[
    str,
    Field(
        pattern=r"^\S.*$",
        max_length=1000,
        description="give one line of text, of at most 1000 characters",
    ),
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]
"""In folder names: no upper case, so none coincide."""
Seed = Annotated[int, Field(ge=0, le=SEED_LIMIT - 1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[int, Field(ge=1, le=2**20)]
Rows = Annotated[int, Field(ge=2, le=10**9)]
Steps = Annotated[int, Field(ge=0, le=10**15)]
Rate = Annotated[float, Field(ge=0, le=1)]
Alignment = Annotated[float, Field(ge=-1, le=1)]
Figure = Annotated[float, Field(ge=-1e6, le=1e6)]
Loss = Annotated[float, Field(ge=0, le=1e12)]
Hours = Annotated[float, Field(ge=0, le=1e6)]
Lambda = Annotated[float, Field(gt=0, lt=1)]
Epochs = Annotated[int, Field(ge=1, le=1000)]
Minibatch = Annotated[int, Field(ge=1, le=2**30)]
LogStd = Annotated[float, Field(ge=-20, le=5)]


class Table(Model):
    """A table of a protocol file."""

    model_config = ConfigDict(frozen=True)
