"""What a tokenizer does at the borders of a text: tokens that it puts in front and behind, and a blank of its own.

Also which of a model's configurations have tokens in front (experiment §9). Knows nothing of torch and transformers: a
plan reads it from `tokenizer.json`.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lm_eval.common.file_state import SETTLED_S, FileState, age_s, states_of
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import Family
from lm_eval.models.sentencepiece_files import Pieces
from lm_eval.models.tokenizer_needs import sentencepiece_file

BLANK = "▁"
"""How sentencepiece writes a blank."""
_PROBE = "a"


@dataclass(frozen=True, kw_only=True)
class TextBorders:
    """What a tokenizer does at the borders of a text; tokens by their texts."""

    front: tuple[str, ...] = ()
    """What it puts in front by itself: a BOS token in most, two tokens in some."""
    behind: tuple[str, ...] = ()
    """What it puts behind; never kept in decoder-only models."""
    has_dummy_prefix: bool = False
    """Whether it puts a blank of its own in front of a text (sentencepiece's dummy prefix)."""
    begin: str | None = None
    """Its `bos_token`, whether it puts it there or not."""

    def describe_front(self) -> str:
        """Return in words what it puts in front of a text."""
        return " and ".join([*self.front, *(["a blank"] if self.has_dummy_prefix else [])]) or "nothing"

    @classmethod
    def probe(cls, tokens_of: Callable[[str, bool], list[str]], begin: str | None) -> "TextBorders":
        """Find out by tokenising.

        Args:
            tokens_of: returns the tokens of a text, with special tokens or without.
            begin: the tokenizer's `bos_token`.
        """
        whole, plain = tokens_of(_PROBE, True), tokens_of(_PROBE, False)
        places = range(len(whole) - len(plain) + 1)
        start = next((place for place in places if whole[place : place + len(plain)] == plain), 0)
        return cls(
            front=tuple(whole[:start]),
            behind=tuple(whole[start + len(plain) :]),
            has_dummy_prefix=tokens_of("\n", False)[:1] == [BLANK],
            begin=begin,
        )


def front_tokens(config: RunConfig, family: Family, borders: TextBorders) -> tuple[str, ...]:
    """Return the tokens that stand in front in a configuration of the two tests, by their texts (experiment §9)."""
    add = config.vectors.add_bos
    has_none = family.architecture == "encoder-decoder" or config.model == "hf" or add is False
    if has_none or config.vectors.decoding_scheme is not None or not (add or family.has_front_tokens):
        return ()
    return borders.front or ((borders.begin,) if add and borders.begin is not None else ())


def has_front(config: RunConfig) -> tuple[bool, bool, bool]:
    """Return where front tokens stand: before the segments of contexts, before choices as segments, before generation.

    On a side whose vectors are rows of an embedding matrix nothing is read, so nothing stands in front.
    """
    vectors, generates = config.vectors, config.model == "dist_gen"
    of_context = config.is_segmented and not vectors.context_layer.is_embedding
    return of_context, not generates and not vectors.choice_layer.is_embedding, generates


def identify_borders(config: RunConfig, family: Family, borders: TextBorders, *, from_file: bool) -> Mapping[str, Any]:
    """Return what an identity states of the borders of texts: only what changes the tokens.

    Args:
        config: the configuration.
        family: its model's.
        borders: of its model's tokenizer.
        from_file: whether its task is defined by a file, whose texts ordinary scoring always tokenised together.
    """
    if family.architecture == "encoder-decoder":
        return {}
    if config.model == "hf" and from_file:
        return {"dropped_behind": list(borders.behind)} if borders.behind else {}
    stated: dict[str, Any] = {}
    front = borders.front if config.model == "hf" else front_tokens(config, family, borders)
    if front and (config.model == "hf" or any(has_front(config))):
        stated["front_tokens"] = list(front)
    if borders.has_dummy_prefix:
        stated["dummy_prefix"] = "dropped where a text goes on"
    return stated


def going_on(tokenizer: Any, name: str) -> Tokenizer:  # noqa: ANN401  (of transformers)
    """Return a tokenizer without its dummy prefix, for texts that go on behind others.

    Args:
        tokenizer: one that has such a prefix.
        name: the model's.

    Raises:
        ConfigurationError: it can't be had without.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        bare = Tokenizer.from_str(without_dummy_prefix(backend.to_str()))
        bare.no_padding()
        bare.no_truncation()
        (first, *_) = bare.encode(_PROBE, add_special_tokens=False).tokens or [""]
        if not first.startswith(BLANK):  # of a line break it may still make one, where its normaliser does (XGLM)
            return bare
    raise ConfigurationError(
        f"{name}: the tokenizer puts a blank in front of every text, also of one that goes on, and can't be told not "
        "to; save one with a tokenizer.json"
    )


def without_dummy_prefix(tokenizer: str) -> str:
    """Return a tokenizer, in the form of `tokenizer.json`, with what puts a blank in front of a text switched off."""
    stated = json.loads(tokenizer)
    stated["normalizer"] = _switch_off(stated.get("normalizer"))
    stated["pre_tokenizer"] = _switch_off(stated.get("pre_tokenizer"))
    return json.dumps(stated)


def _switch_off(step: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a step, or a sequence of steps, without its dummy prefix."""
    if step is None or step["type"] == "Prepend":
        return None
    if step["type"] == "Metaspace":
        older = {"add_prefix_space": False} if "add_prefix_space" in step else {}
        return {**step, "prepend_scheme": "never", **older}
    for steps in ("normalizers", "pretokenizers"):
        if step["type"] == "Sequence" and steps in step:
            return {**step, steps: [kept for inner in step[steps] if (kept := _switch_off(inner)) is not None]}
    return step


def read_borders(folder: Path) -> TextBorders | None:
    """Read what the tokenizer in a folder does; None where its files don't tell, so that only loading it does."""
    files = [*(folder / name for name in ("tokenizer.json", *_SETTINGS, "merges.txt")), *sorted(folder.glob("*.model"))]
    try:
        states = states_of(path for path in files if path.is_file())
        is_settled = all(age_s(state) >= SETTLED_S for state in states)
        return (_read_borders if is_settled else _read_borders.__wrapped__)(folder, states)
    except Exception:  # the library raises plain exceptions; loading the model will say what is wrong
        return None


_SETTINGS = ("special_tokens_map.json", "tokenizer_config.json", "config.json")
"""Files that state special tokens, the last by their ids alone."""


@functools.lru_cache(maxsize=64)
def _read_borders(folder: Path, _states: tuple[FileState, ...]) -> TextBorders | None:
    """Read a tokenizer; the states of its files are there so that one that has changed is read again."""
    stated = {name: _read_object(folder / name) for name in _SETTINGS}
    texts = {**stated["special_tokens_map.json"], **stated["tokenizer_config.json"]}
    begin = texts.get("bos_token")
    begin = begin.get("content") if isinstance(begin, Mapping) else begin
    if not (folder / "tokenizer.json").is_file():
        if (model := sentencepiece_file(folder)) is not None:
            return _of_pieces(Pieces(model), texts, begin)
        if not (folder / "merges.txt").is_file():
            return None
        adds = bool(texts.get("add_bos_token")) and begin is not None  # byte-level, as GPT-2's and OPT's
        return TextBorders(front=(str(begin),) if adds else (), begin=begin)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if begin is None and isinstance(number := stated["config.json"].get("bos_token_id"), int):
        begin = tokenizer.id_to_token(number)

    def tokens_of(text: str, special: bool) -> list[str]:
        tokens: list[str] = tokenizer.encode(text, add_special_tokens=special).tokens
        return tokens

    return TextBorders.probe(tokens_of, begin)


_PLAIN_CLASSES = (
    *("LlamaTokenizer", "LlamaTokenizerFast", "GemmaTokenizer", "GemmaTokenizerFast"),
    *("PreTrainedTokenizerFast", "TokenizersBackend", None),
)
"""Classes that put around the tokens of a sentencepiece file what their settings say, and nothing else."""


def _of_pieces(pieces: Pieces, settings: Mapping[str, Any], begin: str | None) -> TextBorders | None:
    """Return what a tokenizer does that is a sentencepiece file; None where only its class or its code knows."""
    if "auto_map" in settings or settings.get("tokenizer_class") not in _PLAIN_CLASSES:
        return None
    end = settings.get("eos_token", pieces.end)
    begin, end = begin or pieces.begin, end.get("content") if isinstance(end, Mapping) else end
    return TextBorders(
        front=(begin,) if settings.get("add_bos_token") and begin is not None else (),
        behind=(end,) if settings.get("add_eos_token") and end is not None else (),
        has_dummy_prefix=settings.get("add_prefix_space") is not False and pieces.of("\n")[:1] == [BLANK],
        begin=begin,
    )


def _read_object(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
