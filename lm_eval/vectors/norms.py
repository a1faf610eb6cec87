"""Normalisations of a vector: what `NORM` names, and the z-norm of the prefixes (experiment §4.3, §4.4).

A norm has a function here and its name in `config.settings`; `results.canonical_form` knows which of them change
nothing where they are applied twice.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from lm_eval.config.settings import Norm

Z_NORM_EPSILON = 1e-5
"""Added to the variance in zNorm, for every model (experiment §4.3)."""


def z_norm(x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Centre each vector and divide by the root of its biased variance."""
    return functional.layer_norm(x, x.shape[-1:], eps=Z_NORM_EPSILON)


def var_norm(x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Divide each vector by the unbiased standard deviation of its components, without centring."""
    return x / x.std(dim=-1, keepdim=True, correction=1)


def l2_norm(x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Scale each vector to length 1."""
    return functional.normalize(x, dim=-1)


NORMS: dict[Norm, Callable[[Tensor], Tensor]] = {"L2": l2_norm, "varNorm": var_norm, "zNorm": z_norm}
