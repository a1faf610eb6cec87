"""A network that the caller has loaded, hooked or patched: taken as it is, and left as it was.

What the engine does for speed must change nothing for code that hangs on a module. So a network that carries such code
runs whole (`inference.whole`): each choice in a row of its own, every module called as in an ordinary pass. Whether
that is enough is tried: the engine's values are compared with those of the network, run by itself, a text at a time.
"""

import logging
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lm_eval.common.text import short_name
from lm_eval.config.checkpoint import CHECKPOINT_KEYS
from lm_eval.config.run_config import EXECUTION_KEYS, MODEL_KEYS
from lm_eval.errors import ConfigurationError
from lm_eval.inference.interventions import find_interventions
from lm_eval.inference.loading import untried_model, wrap_model
from lm_eval.inference.patches import acts_in_front, find_patches
from lm_eval.inference.trials import Check, fits, fits_in_batches, repeats
from lm_eval.inference.untouched import untouched
from lm_eval.models.content import LoadedContent
from lm_eval.models.families import find_family
from lm_eval.models.info import ModelFacts
from lm_eval.models.language_model import Care, LanguageModel

logger = logging.getLogger(__name__)

_LOADING_KEYS = tuple(
    key for key in (*MODEL_KEYS, *CHECKPOINT_KEYS, *EXECUTION_KEYS) if key not in ("pretrained", "tokenizer")
)
_SHOWN = 3
"""Places of the caller's code in a message."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Given:
    """A loaded network and its tokenizer, as one call gives them."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    """What results and messages call it: its own name and class, and a number that no other call has."""
    weights: Mapping[str, str]
    """Its part of an identity. Nobody can say what hooks compute, so that no two calls have the same."""

    def wrap(self, device: str | None = None) -> LanguageModel:
        """Return the model, with the way found in which its passes run.

        Args:
            device: where the caller wants it.

        Raises:
            ConfigurationError: it lies elsewhere, the experiment doesn't fit it, or its hooks can't be respected.
        """
        _refuse_device(self.network, device)
        with untouched(self.network):
            model = _settle(self)
            content = LoadedContent(weights=self.weights, borders=model.borders, family=model.family)
            return replace(model, content=content)


def take_given(model_args: str | Mapping[str, Any]) -> tuple[str | Mapping[str, Any], Given | None]:
    """Return `model_args` of plain values, and the loaded network that stands among them.

    Raises:
        ConfigurationError: the network or its tokenizer is of no use, or a key says how a model is loaded.
    """
    if not isinstance(model_args, Mapping):
        return model_args, None
    network, tokenizer = model_args.get("pretrained"), model_args.get("tokenizer")
    if isinstance(network, str | PathLike | None):
        if not isinstance(tokenizer, str | PathLike | None):
            raise ConfigurationError(
                f"model_args: tokenizer is an object of the class {type(tokenizer).__name__}, and such a one goes with "
                f"a loaded network only, but pretrained is {network!r}; give the tokenizer's name or folder"
            )
        return model_args, None
    _check_network(network)
    _check_tokenizer(tokenizer)
    if stated := [_say(key, model_args[key]) for key in _LOADING_KEYS if str(model_args.get(key)) not in _UNSET]:
        raise ConfigurationError(
            f"model_args: {', '.join(stated)}: such keys say how a model is loaded, but pretrained is a network that "
            f"is loaded already ({type(network).__name__}), and is used as it is; leave them out, and load it so"
        )
    given = _name(network, tokenizer)
    plain = {key: value for key, value in model_args.items() if key not in ("tokenizer", *_LOADING_KEYS)}
    return {**plain, "pretrained": given.name}, given


_UNSET = ("None", "False")


def _say(key: str, value: object) -> str:
    return f"{key}={value}" if isinstance(value, str | bool | PathLike) else f"{key}, a {type(value).__name__}"


def facts_of(model: LanguageModel) -> ModelFacts:
    """Return what a loaded model says of itself, in place of its files."""
    config = model.network.config.to_dict()
    family = replace(model.family, sharing=find_family(config, model.name).sharing)  # whatever its care makes of that
    return ModelFacts(name=model.name, family=family, num_layers=model.num_layers, config=config, borders=model.borders)


def _name(network: Any, tokenizer: Any) -> Given:  # noqa: ANN401  (of transformers)
    number, kind = uuid.uuid4().hex, type(network).__name__
    own = re.sub(r"[^\w.+-]", "-", short_name(str(network.name_or_path or "")))
    title = f"{kind} given from Python {number[:8]}"
    weights = {"loaded": f"{kind} given from Python", "name": own, "call": number}
    if done := find_interventions(network):
        weights["interventions"] = "; ".join(done)
    return Given(network=network, tokenizer=tokenizer, name=f"{own} ({title})" if own else title, weights=weights)


_REMEDIES = {
    "PeftModel": "its get_base_model(), which keeps the adapter",
    "OptimizedModule": "the network that was compiled (its _orig_mod)",
    "LanguageModel": "its network and its tokenizer",
}
"""What to give in place of what isn't taken, by a class among its bases."""


def _check_network(network: object) -> None:
    """Refuse what is no language model of transformers."""
    found = type(network).__name__
    rule = "model_args: pretrained must be a hub name, a folder or a loaded language model of transformers"
    if not isinstance(network, PreTrainedModel):
        classes = [base.__name__ for base in type(network).__mro__]
        remedy = next((text for name, text in _REMEDIES.items() if name in classes), "what from_pretrained returns")
        raise ConfigurationError(f"{rule}, got an object of the class {found}; give {remedy}")
    if network.get_output_embeddings() is None:
        raise ConfigurationError(
            f"{rule} that predicts tokens, got a {found}, which has no output embeddings; load it by "
            "AutoModelForCausalLM or AutoModelForSeq2SeqLM"
        )
    places = {"input embeddings": network.get_input_embeddings(), "output embeddings": network.get_output_embeddings()}
    for place, module in places.items():
        if not isinstance(getattr(module, "weight", None), torch.Tensor):
            raise ConfigurationError(
                f"model_args: the {place} of the {found} (class {type(module).__name__}) have no matrix under the name "
                "weight, from which vectors are taken; keep the module, and hook it instead"
            )
    if any(parameter.is_meta for parameter in network.parameters()):
        raise ConfigurationError(
            f"model_args: parts of the {found} have no weights here (device meta); load it whole, without offloading"
        )
    if network._compiled_call_impl is not None:  # noqa: SLF001
        raise ConfigurationError(
            f"model_args: the {found} is compiled, and its parts aren't called one by one then; leave compile() out"
        )


def _check_tokenizer(tokenizer: object) -> None:
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return
    got = "it is missing" if tokenizer is None else f"got an object of the class {type(tokenizer).__name__}"
    raise ConfigurationError(
        f"model_args: beside a loaded network, tokenizer must be its tokenizer, loaded too, but {got}; give "
        "AutoTokenizer.from_pretrained(NAME), with the name that the network was loaded by"
    )


def _refuse_device(network: PreTrainedModel, device: str | None) -> None:
    if device is None:
        return
    place = network.get_input_embeddings().weight.device
    try:
        wanted = torch.device(device)
    except RuntimeError:
        wanted = None
    if wanted is None or wanted.type != place.type or wanted.index not in (None, place.index):
        raise ConfigurationError(
            f"device={device}: the loaded network lies on {place}, and is used where it lies; leave device out, or "
            f"move it before, by network.to({device!r})"
        )


def _settle(given: Given) -> LanguageModel:
    """Return the model with the fastest way of running that gives what the network itself gives.

    Raises:
        ConfigurationError: there is none; says what differs.
    """
    patches = list(dict.fromkeys(find_patches(given.network)))
    ways: tuple[Care, ...] = ("whole", "alone") if patches else ("fast", "whole", "alone")
    untried = untried_model(given.network, given.tokenizer, name=given.name, care=ways[0])
    _refuse_in_front(untried)
    again = repeats(untried)
    if again.fault is not None:  # or whatever is asked of it next gives no answer
        raise _refusal(again, given, patches)
    model = wrap_model(given.network, given.tokenizer, name=given.name, care=ways[0])
    faults = [check for check in fits(model) if check.fault is not None][:1]
    for care in () if faults else ways:
        way = model if care == ways[0] else wrap_model(given.network, given.tokenizer, name=given.name, care=care)
        slower = next((check for check in fits_in_batches(way) if check.fault is not None), None)
        if slower is None:
            for check in faults:
                trial = f"{check.what}: {check.fault}"
                logger.warning("%s: it runs more slowly, as the fast way failed a trial (%s)", given.name, trial)
            return way
        faults.append(slower)
    raise _refusal(faults[-1], given, patches)


def _refusal(check: Check, given: Given, patches: list[str]) -> ConfigurationError:
    more = f" and {len(patches) - _SHOWN} more" if len(patches) > _SHOWN else ""
    where = f" (code of yours: {', '.join(patches[:_SHOWN])}{more})" if patches else ""
    return ConfigurationError(
        f"{given.name}: it can't be used as it is{where}: {check.what}, but {check.fault}; what hangs on its modules "
        "must give a text the same values in every equal pass, also where vectors stand in place of tokens"
    )


def _refuse_in_front(model: LanguageModel) -> None:
    """Refuse code that changes what goes into the whole network, which isn't called where segments are encoded."""
    for name, module in _around(model.network, model.encoder):
        if acts_in_front(module):
            where = f"{name} ({type(module).__name__})" if name else f"the whole {type(module).__name__}"
            raise ConfigurationError(
                f"{model.name}: a pre-forward hook, or another forward, was put on {where}, which isn't called where "
                "segments become vectors: only the stack inside it is; put it on that stack, or on a module in it"
            )


def _around(network: Any, stack: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield the modules that a stack is in."""
    for name, module in network.named_modules():
        if module is not stack and any(inner is stack for inner in module.modules()):
            yield name, module
