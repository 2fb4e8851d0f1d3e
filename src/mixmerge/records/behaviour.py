"""How alike models behave on the same prompts: part of `inspect`'s result."""

from mixmerge.records.rows import RowModel


class Agreement(RowModel):
    """How alike two models are at the start of their answers."""

    first: str
    second: str
    kl: float
    """Half the sum of both KL divergences between the probabilities of the next token, in nats,
    averaged over the prompts. 0: the same."""
    same_token: float
    """Share of the prompts on which both find the same next token most probable."""
    cka: float
    """Linear centred kernel alignment of the hidden states, averaged over the layers. 1: the same
    but for rotation, scale and shift; about 0: unrelated."""
    change_cosine: float | None
    """Cosine between what training changed in the hidden states of the first and of the second
    model, averaged over prompts and layers. None: one of them is the base, or there is none."""


class Behaviour(RowModel):
    """How alike models behave on the same prompts."""

    prompts: int
    agreements: tuple[Agreement, ...]
    """For every two models, the base first."""
