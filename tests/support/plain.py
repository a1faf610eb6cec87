"""The judge: the experiment computed slowly, plainly and separately from the package.

One document at a time, one forward pass for every segment and every choice, no batching, padding or caching (but where
`reuse_passes` is asked for); every hidden state and every logit is computed. It follows experiment §4 and §5
(`plain_text` follows §2 and §3) and imports nothing from `lm_eval`, so that agreement with it means something. It knows
nothing of result files and of grids.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from tests.support.plain_text import Row, Samples, draw_documents, make_context

TASKS = {
    "hf": ("hellaswag", "webqs"),
    "dist_sim": ("hellaswag_d",),
    "dist_gen": ("hellaswag_dg", "webqs_dg"),
}
AGGREGATIONS = ("WORD_AGG_SCHEME", "SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME", "OUT_WORD_AGG_SCHEME", "NORM")
SETTINGS = (
    *AGGREGATIONS, "ENCODING_LAYER", "OUT_ENCODING_LAYER", "SIMILARITY_FUNC", "DECODING_SCHEME", "ADD_POS", "ADD_BOS",
    "DECODING_LAYER",
)  # fmt: skip


# --- From a segment to a concept vector: experiment §4 ----------------------------------------------------------------


def tanh_gelu(x: Tensor) -> Tensor:
    """The GELU with the tanh, as GPT-2, BLOOM and T5 v1.1 have it."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": tanh_gelu,
    "gelu_fast": tanh_gelu,
    "gelu_pytorch_tanh": tanh_gelu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "relu": torch.relu,
}
ACTIVATION_OF = {"bloom": "gelu_new", "mpt": "gelu"}
"""The MLP activation of families whose config names none."""
ACTIVATION_FIELDS = ("hidden_activation", "activation_function", "dense_act_fn", "activation", "hidden_act")
"""Where the others' configs name it."""
MAXIMUM_FIELDS = ("max_seq_len", "n_positions", "max_position_embeddings")
"""Where configs name the position limit; those of T5 and Mamba name none."""
POSITION_TABLES = {
    "gpt2": ("transformer.wpe.weight", 0),
    "gpt_neo": ("transformer.wpe.weight", 0),
    "gpt_bigcode": ("transformer.wpe.weight", 0),
    "opt": ("model.decoder.embed_positions.weight", 2),
}
"""Tables of learned absolute positions, and their rows before position 0."""
WITHOUT_FRONT = ("gpt2", "gpt_neo", "gptj", "gpt_neox", "bloom", "opt")
"""The families of the paper, which have no token in front unless ADD_BOS asks for it (experiment §9)."""
OUTPUTS_ONLY = ("mamba", "mamba2")
"""Families whose list of hidden states in transformers begins with what the first block gives."""


def z_norm(x: Tensor) -> Tensor:
    """Centre each vector and divide it by the root of its biased variance + 1e-5."""
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + 1e-5)


def apply_prefix(x: Tensor, prefix: str, act: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply the prefix of a word aggregation scheme to token vectors [token, dim] (experiment §4.3)."""
    results: dict[str, Callable[[], Tensor]] = {
        "": lambda: x,
        "relu|": lambda: act(x),
        "relu+|": lambda: act(x) + x,
        "-relu|": lambda: -act(-x),
        "-relu+|": lambda: x - act(-x),
        "relu|zNorm|": lambda: z_norm(act(x)),
        "relu|zNorm+|": lambda: z_norm(act(x)) + x,
        "-relu|zNorm|": lambda: z_norm(-act(-x)),
        "-relu|zNorm+|": lambda: z_norm(-act(-x)) + x,
    }
    if prefix not in results:
        raise ValueError(f"unknown prefix {prefix!r}; choose from {', '.join(results)}")
    return results[prefix]()


def aggregate_tokens(x: Tensor, scheme: str, act: Callable[[Tensor], Tensor]) -> Tensor:
    """Aggregate token vectors [token, dim] into [vector, dim], several for `concat` and `chunkN` (experiment §4.3)."""
    prefix, bar, name = scheme.rpartition("|")
    x = apply_prefix(x, prefix + bar, act)
    if name == "mean":
        return x.mean(0, keepdim=True)
    if name == "w1mean":
        weights = torch.arange(1, len(x) + 1, dtype=x.dtype)[:, None]
        return torch.sum(weights * x, 0, keepdim=True) / weights.sum()
    if name == "last":
        return x[-1:]
    if name == "concat":
        return x
    if name.startswith("chunk"):
        size = int(name.removeprefix("chunk"))
        return torch.stack([x[start : start + size].mean(0) for start in range(0, len(x), size)])
    raise ValueError(f"unknown word aggregation scheme {scheme!r}")


def length(x: Tensor) -> Tensor:
    """The Euclidean length of each vector."""
    return x.square().sum(-1).sqrt()


def normalise(x: Tensor, norm: str | None) -> Tensor:
    """Apply NORM to each vector of [vector, dim] (experiment §4.4)."""
    if norm is None:
        return x
    if norm == "L2":
        return x / length(x)[..., None]
    if norm == "varNorm":
        return x / x.std(-1, correction=1, keepdim=True)
    if norm == "zNorm":
        return z_norm(x)
    raise ValueError(f"unknown norm {norm!r}")


def run_on(forward: Callable[..., Any], signature: inspect.Signature, rest: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Run a block on some of a row's positions; the others stay as they are."""
    given = signature.bind(*args, **kwargs).arguments
    given.update(given.pop("kwargs", {}))
    hidden, length = given["hidden_states"], given["hidden_states"].shape[1]
    for name, value in given.items():
        if value is None:
            continue
        if name == "hidden_states":
            given[name] = value[:, rest]
        elif name == "attention_mask":
            given[name] = value[..., rest, :][..., rest]
        elif name == "position_embeddings":
            given[name] = tuple(part[..., rest, :] for part in value)
        elif name in ("position_ids", "cache_position", "alibi", "position_bias"):
            given[name] = value[..., -length:][..., rest]
    output = forward(**given)
    states = hidden.clone()
    states[:, rest] = output[0] if isinstance(output, tuple) else output
    return (states, *output[1:]) if isinstance(output, tuple) else states


class Plain:
    """A model and its tokenizer, asked one segment or one choice at a time."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, add_bos: str | None = None) -> None:
        self.model, self.tokenizer, self.config = model.eval(), tokenizer, model.config
        self.add_bos = add_bos
        self.states_of = self.run
        self.num_contexts = self.num_vectors = self.num_tokens = 0  # of all contexts that were encoded
        self.encoder_decoder = bool(self.config.is_encoder_decoder)
        # of a model of text alone, of the text part of a larger one, of the encoder
        self.text: Any = getattr(self.config, "text_config", getattr(self.config, "encoder", self.config))
        self.output_matrix: Tensor = model.get_output_embeddings().get_parameter("weight").detach().float()
        named = (getattr(self.text, field, None) for field in ACTIVATION_FIELDS)
        self.act = ACTIVATIONS[ACTIVATION_OF.get(self.config.model_type) or next(name for name in named if name)]

    @property
    def max_length(self) -> int:
        """How many positions the model takes (experiment §4.1)."""
        if self.config.model_type == "bloom":
            return int(self.tokenizer.model_max_length)
        named = (getattr(self.text, field, None) for field in MAXIMUM_FIELDS)
        return next((int(limit) for limit in named if limit), 10_240)

    def embed(self, ids: list[int], *, of_decoder: bool = False) -> Tensor:
        """The input embeddings [token, dim] of tokens; an encoder-decoder's decoder may have its own."""
        module = self.model.get_decoder() if of_decoder and self.encoder_decoder else self.model
        vectors: Tensor = module.get_input_embeddings()(torch.tensor(ids, dtype=torch.long))
        return vectors.detach().float()

    def tokenise(self, text: str, *, special: bool) -> list[int]:
        """Tokenise one text by itself."""
        ids = [int(i) for i in self.tokenizer(text, add_special_tokens=special)["input_ids"]]
        if not ids:
            raise ValueError(f"no tokens in {text!r}")
        return ids

    def around(self) -> tuple[list[int], int]:
        """What the tokenizer puts in front of a text by itself, and how many tokens behind it."""
        whole, bare = self.tokenise("a", special=True), self.tokenise("a", special=False)
        for start in range(len(whole)):
            if whole[start : start + len(bare)] == bare:
                return whole[:start], len(whole) - start - len(bare)
        raise ValueError("special tokens change those of the text")

    def front(self) -> list[int]:
        """The tokens in front, in the two tests (experiment §9)."""
        if self.encoder_decoder or self.add_bos == "False":
            return []
        if self.add_bos is None and self.config.model_type in WITHOUT_FRONT:
            return []
        in_front = self.around()[0]
        if self.add_bos == "True" and not in_front:
            return [int(self.tokenizer.bos_token_id)]
        return in_front

    def tokenise_behind(self, text: str) -> list[int]:
        """Tokenise a text that goes on: as it is behind a line break, where a dummy prefix would stand in front."""
        (first, *_) = self.tokenizer.tokenize("\n") or [""]
        if self.encoder_decoder or first != "▁":
            return self.tokenise(text, special=False)
        line_break, joined = self.tokenise("\n", special=False), self.tokenise("\n" + text, special=False)
        if joined[: len(line_break)] != line_break:
            raise ValueError(f"a line break merges with {text!r}")
        return joined[len(line_break) :]

    def tokenise_segment(self, text: str, *, goes_on: bool) -> list[int]:
        """Tokenise a segment, whole (experiment §4.1, 9)."""
        if self.encoder_decoder:
            return self.tokenise(text, special=True)
        return self.tokenise_behind(text) if goes_on else self.tokenise(text, special=False)

    def cut(self, ids: list[int], layer: str | None) -> list[int]:
        """Keep the end of a segment that is too long, beside the tokens in front, if a pass reads it."""
        return ids[-(self.max_length - (0 if layer in ("E", "OE") else len(self.front()))) :]

    def position(self, offset: int) -> Tensor:
        """The learned position embedding [dim] of an offset (experiment §4, ADD_POS)."""
        if self.config.model_type not in POSITION_TABLES:
            raise ValueError(f"ADD_POS: {self.config.model_type} has no learned absolute positions")
        name, first = POSITION_TABLES[self.config.model_type]
        table = self.model.get_parameter(name).detach().float()[first:]
        if offset >= len(table):
            raise ValueError(f"ADD_POS: offset {offset} is beyond the model's {len(table)} positions")
        return table[offset] if offset else torch.zeros(table.shape[1])

    def token_vectors(self, ids: list[int], layer: str | None, position: Tensor | None = None) -> Tensor:
        """The vectors [token, dim] of a segment's tokens in one layer (experiment §4.2)."""
        if layer == "OE":
            return self.output_matrix[ids]
        embeddings = self.embed(ids) + (0.0 if position is None else position)
        if layer == "E":
            return embeddings
        before = self.front()
        ids, embeddings = before + ids, torch.cat([self.embed(before), embeddings])
        if position is None or self.encoder_decoder:
            states = self.states_of(tuple(ids))
        else:
            states = self.model(inputs_embeds=embeddings[None], output_hidden_states=True).hidden_states
        if (
            self.config.model_type in OUTPUTS_ONLY
        ):  # [block 1, …, block L, final norm] → [input, block 1, …, final norm]
            states = (embeddings[None], *states[:-2], states[-1])
        index = -1 if layer is None else len(states) // 2 if layer == "middle" else int(layer)
        vectors: Tensor = states[index][0].float()
        return vectors[len(before) :]

    def reuse_passes(self) -> None:
        """Run a segment that comes again, for another layer or in another document, no second time."""
        self.states_of = cache(self.run)

    def run(self, ids: tuple[int, ...]) -> tuple[Tensor, ...]:
        """All hidden states [1, token, dim] of a row of tokens, by one pass."""
        stack = self.model.get_encoder() if self.encoder_decoder else self.model
        states: tuple[Tensor, ...] = stack(torch.tensor([ids]), output_hidden_states=True).hidden_states
        return states

    def encode_segment(self, ids: list[int], settings: Row, *, side: str = "", offset: int = 0) -> Tensor:
        """Encode a segment as [vector, dim] by the context's settings, or the choices' where side is "OUT_"."""
        scheme = settings[side + "WORD_AGG_SCHEME"] or settings["WORD_AGG_SCHEME"]
        layer = settings[side + "ENCODING_LAYER"] or settings["ENCODING_LAYER"]
        ids = self.cut(ids, layer)
        position = self.position(offset) if settings["ADD_POS"] and layer != "OE" else None
        vectors = aggregate_tokens(self.token_vectors(ids, layer, position), scheme, self.act)
        return vectors if scheme.endswith("last") else normalise(vectors, settings["NORM"])

    def encode_context(self, samples: Samples, settings: Row) -> tuple[Tensor, int]:
        """Encode a context as [vector, dim]; the second value is the offset at which it ends (experiment §4.5, 4.6)."""
        encoded, offset = [], 0
        for sample in samples:
            parts = []
            for segment in sample:
                ids = self.tokenise_segment(segment, goes_on=segment[0].isspace())
                ids = self.cut(ids, settings["ENCODING_LAYER"])
                parts.append(self.encode_segment(ids, settings, offset=offset))
                offset += len(ids)
                around = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id) if self.encoder_decoder else ()
                self.num_tokens += sum(number not in around for number in ids)
            vectors = torch.cat(parts)
            if settings["SEGMENT_AGG_SCHEME"] == "mean":
                vectors = normalise(vectors.mean(0, keepdim=True), settings["NORM"])
            encoded.append(vectors)
        context = torch.cat(encoded)
        if settings["EXAMPLE_AGG_SCHEME"] == "mean" and len(context) > 1:
            context = normalise(context.mean(0, keepdim=True), settings["NORM"])
        self.num_contexts, self.num_vectors = self.num_contexts + 1, self.num_vectors + len(context)
        return context, offset

    # --- Scores: experiment §5 ----------------------------------------------------------------------------------------

    def similarities(self, samples: Samples, choices: Sequence[str], settings: Row) -> list[float]:
        """`dist_sim`: the softmax over the choices of their similarities to the context."""
        return [float(score) for score in self.raw_similarities(samples, choices, settings).softmax(0)]

    def raw_similarities(self, samples: Samples, choices: Sequence[str], settings: Row) -> Tensor:
        """The similarities [choice] of choices to the context."""
        context, end = self.encode_context(samples, settings)
        similarities = []
        for choice in choices:
            ids = self.tokenise_segment(choice, goes_on=True)
            vector = self.encode_segment(ids, settings, side="OUT_", offset=end)[0]
            vectors = context
            if settings["EXAMPLE_AGG_SCHEME"] == "soft_cluster":
                vectors = ((context @ vector).softmax(0) @ context)[None]
            products = vectors @ vector
            if settings["SIMILARITY_FUNC"] == "cosine_sim":
                products = products / (length(vectors) * length(vector))
            similarities.append(products.max())
        return torch.stack(similarities)

    def similarities_to_centre(self, choices: Sequence[str], settings: Row) -> list[float]:
        """`dist_sim` with `no_context`: the softmax of the choices' similarities to the mean of their own vectors."""
        ids = [self.tokenise_segment(choice, goes_on=True) for choice in choices]
        vectors = torch.cat([self.encode_segment(tokens, settings, side="OUT_") for tokens in ids])
        centre = vectors.sum(0) / len(vectors)
        products = torch.stack([torch.dot(vector, centre) for vector in vectors])
        if settings["SIMILARITY_FUNC"] == "cosine_sim":
            products = products / (length(vectors) * length(centre))
        return [float(score) for score in products.softmax(0)]

    def nothing(self) -> list[int]:
        """The tokens of no context: the end-of-text token, or an encoder's special tokens around an empty text."""
        if self.encoder_decoder:
            return self.tokenise("", special=True)
        end = self.tokenizer.eos_token_id
        return [int(self.config.eos_token_id if end is None else end)]

    def generation(self, context: str | Tensor | None, choice: str, settings: Row) -> tuple[float, bool]:
        """`dist_gen` and ordinary scoring: a choice's log-probability, and whether it is matched exactly.

        The context is its text for `cross_encoding`, None for `no_context`, its vectors [vector, dim] otherwise.
        """
        labels = self.tokenise_behind(choice)
        if len(labels) > self.max_length:
            raise ValueError(f"the choice's {len(labels)} tokens are more than the model's {self.max_length} positions")
        bare = settings["DECODING_SCHEME"] == "parameterless_attention"
        if context is None and bare:
            context = self.token_vectors(self.nothing(), None if self.encoder_decoder else "E")
        if isinstance(context, str):
            logits = self.cross_encoding_logits(context, labels)
        elif context is None:
            logits = self.no_context_logits(labels)
        elif bare:
            logits = self.parameterless_logits(context, labels)
        else:
            logits = self.vector_logits(context, labels, self.entry(settings))
        return self.total(logits, labels)

    def total(self, logits: Tensor, labels: list[int]) -> tuple[float, bool]:
        """The log-probability of labels that the last logits predict, and whether each is the most probable."""
        log_probabilities = logits[-len(labels) :].float().log_softmax(-1)
        target = torch.tensor(labels)
        exact = bool((log_probabilities.argmax(-1) == target).all())
        return float(log_probabilities.gather(1, target[:, None]).sum()), exact

    def ordinary(self, context: str, choice: str) -> tuple[float, bool]:
        """`hf`: a choice's log-probability, tokenised together with its context as upstream does (experiment §9)."""
        if self.encoder_decoder:
            labels = self.tokenise(choice, special=False)
            return self.total(self.cross_encoding_logits(context, labels), labels)
        stripped = context.rstrip()
        rows = [self.tokenise(text, special=True) for text in (stripped, context + choice)]
        known, whole = (row[: len(row) - self.around()[1]] for row in rows)
        if whole[: len(known)] != known:
            raise ValueError(f"a token is part of the context and of {choice!r}")
        labels = whole[len(known) :]
        sequence = torch.tensor(known + labels)[-(self.max_length + 1) :]
        return self.total(self.model(sequence[None, :-1]).logits[0], labels)

    def window(self, sequence: Tensor, num_front: int = 0) -> Tensor:
        """Keep what is in front and the last of maximum + 1 positions; then drop the end, which is only predicted."""
        excess = max(0, len(sequence) - self.max_length - 1)
        return torch.cat([sequence[:num_front], sequence[num_front + excess :]])[:-1]

    def decoder_inputs(self, labels: list[int]) -> list[int]:
        """The start token, then the choice shifted right."""
        return [int(self.config.decoder_start_token_id), *labels[:-1]]

    def cross_encoding_logits(self, context: str, labels: list[int]) -> Tensor:
        """Logits [token, vocabulary] of context tokens and choice tokens in one sequence."""
        if self.encoder_decoder:
            source = torch.tensor([self.tokenise(context, special=True)[-self.max_length :]])
            logits: Tensor = self.model(source, decoder_input_ids=torch.tensor([self.decoder_inputs(labels)])).logits
        else:
            before = self.front()
            ids = torch.tensor(before + self.tokenise(context, special=False) + labels)
            logits = self.model(self.window(ids, len(before))[None]).logits
        return logits[0]

    def no_context_logits(self, labels: list[int]) -> Tensor:
        """Logits [token, vocabulary] of choice tokens behind the end-of-text token alone, or of an empty input."""
        if self.encoder_decoder:
            target = torch.tensor([self.decoder_inputs(labels)])
            logits: Tensor = self.model(torch.tensor([self.nothing()]), decoder_input_ids=target).logits
        else:
            logits = self.model(torch.tensor([[*(self.front() or self.nothing()), *labels[:-1]]])).logits
        return logits[0]

    def entry(self, settings: Row) -> int | None:
        """The block before which vectors enter (experiment §10); None where they are input embeddings."""
        stated = settings["DECODING_LAYER"]
        if stated is None:
            return None
        if stated == "same":
            stated = "0" if settings["ENCODING_LAYER"] == "E" else settings["ENCODING_LAYER"] or "-1"
        number = int(self.text.num_hidden_layers)
        entry = (number + 1) // 2 if stated == "middle" else range(number + 1)[int(stated)]
        if entry == number:
            raise ValueError("no block stands behind the last hidden state")
        return entry

    def entering_logits(self, context: Tensor, labels: list[int], entry: int) -> Tensor:
        """Logits [token, vocabulary] of vectors that enter at a block: those before it run on all other positions.

        Where something stands in front, GPT-Neo isn't judged, whose windows count places in the row.
        """
        before = self.front()
        assert not before or self.config.model_type != "gpt_neo"
        context = context[max(0, len(before) + len(context) + len(labels) - 1 - self.max_length) :]
        start, end = len(before), len(before) + len(context)
        held = torch.zeros(len(context), self.embed(labels).shape[1])
        begun = torch.cat([self.embed(before), held, self.embed(labels)[:-1]])
        rest = torch.cat([torch.arange(start), torch.arange(end, len(begun))])
        is_list = (part for part in self.model.base_model.modules() if isinstance(part, torch.nn.ModuleList))
        blocks = list(next(part for part in is_list if len(part) == int(self.text.num_hidden_layers)))

        def enter(_block: Any, args: Any, kwargs: Any) -> Any:
            hidden = (args[0] if args else kwargs["hidden_states"]).clone()
            hidden[0, start:end] = context
            return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

        hook = blocks[entry].register_forward_pre_hook(enter, with_kwargs=True)
        for block in blocks[:entry]:
            block.forward = partial(run_on, block.forward, inspect.signature(block.forward), rest)
        try:
            logits: Tensor = self.model(inputs_embeds=begun[None], use_cache=False).logits
        finally:
            hook.remove()
            for block in blocks[:entry]:
                del block.forward
        return logits[0]

    def vector_logits(self, context: Tensor, labels: list[int], entry: int | None = None) -> Tensor:
        """Logits [token, vocabulary] with the context's vectors in place of its tokens, or entering at a block."""
        if entry is not None:
            return self.entering_logits(context, labels, entry)
        if self.encoder_decoder:
            source = BaseModelOutput(last_hidden_state=context[None])
            target = torch.tensor([self.decoder_inputs(labels)])
            logits: Tensor = self.model(encoder_outputs=source, decoder_input_ids=target).logits
        else:
            before = self.front()
            inputs = self.window(torch.cat([self.embed(before), context, self.embed(labels)]), len(before))
            logits = self.model(inputs_embeds=inputs[None]).logits
        return logits[0]

    def parameterless_logits(self, context: Tensor, labels: list[int]) -> Tensor:
        """Logits [token, vocabulary] of layers of attention without parameters."""
        if self.encoder_decoder:
            constant, queries = context, self.embed(self.decoder_inputs(labels), of_decoder=True)
            decoder = getattr(self.config, "decoder", self.config)
            fields = ("num_decoder_layers", "decoder_layers", "num_hidden_layers")
            num_layers = next(int(getattr(decoder, field)) for field in fields if hasattr(decoder, field))
        else:
            constant, queries = context[:0], self.window(torch.cat([context, self.embed(labels)]))
            num_layers = int(self.text.num_hidden_layers)
        future = torch.ones(len(queries), len(queries)).triu(1).bool()
        hidden = torch.cat([torch.zeros(len(queries), len(constant)).bool(), future], dim=1)
        for _ in range(num_layers):
            memory = torch.cat([constant, queries])
            queries = (queries @ memory.T).masked_fill(hidden, -math.inf).softmax(-1) @ memory
        return queries @ self.output_matrix.T


# --- Metrics and the entry point: experiment §5 -----------------------------------------------------------------------


def document_metrics(task: str, choices: Sequence[str], gold: Sequence[int], sample: Row) -> dict[str, float]:
    """The metrics of one document: similarity tasks end in `_d`, generation tasks in `_dg`."""
    scores, exact = sample["scores"], sample.get("is_exact_match", [])
    matched = float(any(exact[index] for index in gold if exact))
    if task.startswith("webqs"):
        return {"acc": matched}
    metrics = {"acc": float(scores.index(max(scores)) in gold)}
    if task.endswith(("_d", "_dg")):
        metrics["rand_acc"] = 1 / len(choices)
    if not task.endswith("_d"):
        blank = 0 if task.endswith("_dg") else 1  # the standard task doesn't count the leading blank
        rates = [score / (len(choice) - blank) for score, choice in zip(scores, choices, strict=True)]
        metrics["acc_norm"] = float(rates.index(max(rates)) in gold)
    if task.endswith("_dg"):
        metrics["em"] = matched
    return metrics


def aggregate(documents: list[dict[str, float]]) -> dict[str, float | None]:
    """Mean and standard error of every metric over the documents."""
    results: dict[str, float | None] = {}
    for name in documents[0]:
        values = [metrics[name] for metrics in documents]
        mean, n = sum(values) / len(values), len(values)
        results[name] = mean
        squares = sum((value - mean) ** 2 for value in values)
        results[f"{name}_stderr"] = math.sqrt(squares / (n - 1)) / math.sqrt(n) if n > 1 else None
    return results


def check_settings(model_kind: str, scheme: str | None, given: Mapping[str, Any]) -> Row:
    """Give every setting a value, None where it is absent, and refuse what experiment §4 and 5 refuse."""
    texts = {name: None if value is None or str(value) == "None" else str(value) for name, value in given.items()}
    if unknown := set(texts) - set(SETTINGS):
        raise ValueError(f"unknown settings {sorted(unknown)}")
    settings: Row = {name: texts.get(name) for name in SETTINGS}
    settings["ADD_POS"] = settings["ADD_POS"] == "True"
    similarity = settings["SIMILARITY_FUNC"]
    words = [settings[name] or "" for name in ("WORD_AGG_SCHEME", "OUT_WORD_AGG_SCHEME")]
    no_vectors = scheme == "cross_encoding" or (scheme == "no_context" and model_kind == "dist_gen")
    of_contexts = ("SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME", "ADD_POS")
    examples = (None, "mean", "soft_cluster") if model_kind == "dist_sim" else (None, "mean")
    faults = {
        f"aggregation with {scheme}": no_vectors and any(settings[name] for name in AGGREGATIONS),
        "a context's settings without one": scheme == "no_context" and any(settings[name] for name in of_contexts),
        "cross_encoding in dist_sim": model_kind == "dist_sim" and scheme == "cross_encoding",
        "several vectors in dist_sim": model_kind == "dist_sim"
        and any(word.rpartition("|")[2].startswith(("concat", "chunk")) for word in words),
        "SIMILARITY_FUNC": model_kind == "dist_sim" and similarity not in ("dot_product", "cosine_sim"),
        "WORD_AGG_SCHEME is missing": not no_vectors and not words[0],
        "SEGMENT_AGG_SCHEME": settings["SEGMENT_AGG_SCHEME"] not in (None, "mean"),
        "EXAMPLE_AGG_SCHEME": settings["EXAMPLE_AGG_SCHEME"] not in examples,
        "cross_encoding has no vectors to decode": scheme == "cross_encoding" and settings["DECODING_SCHEME"],
        "DECODING_SCHEME": settings["DECODING_SCHEME"] not in (None, "parameterless_attention"),
        "OE is for choices only": settings["ENCODING_LAYER"] == "OE",
        "DECODING_LAYER": settings["DECODING_LAYER"] and (no_vectors or model_kind != "dist_gen"),
        "attention without parameters has no layers": settings["DECODING_LAYER"] and settings["DECODING_SCHEME"],
    }
    if found := [name for name, is_fault in faults.items() if is_fault]:
        raise ValueError(f"{model_kind} can't have: {', '.join(found)}")
    return settings


@torch.no_grad()
def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    model_kind: str,
    task: str,
    rows: Mapping[str, list[Row]],
    num_fewshot: int,
    limit: str | int | None = None,
    task_args: Mapping[str, Any] | None = None,
    model_args: Mapping[str, Any] | None = None,
    description: str | None = None,
    reuse_passes: bool = False,
) -> dict[str, Any]:
    """Evaluate one configuration and return its metrics and the scores of every choice.

    Args:
        model_kind: `dist_sim`, `dist_gen` or `hf` (ordinary scoring).
        task: a task of that kind (experiment §2).
        rows: the rows of each split, in the order of their file.
        task_args: holds `encoding_scheme`; model_args: the settings of experiment §4 and 5. Values may be strings.
        reuse_passes: whether a segment that comes again is run once, where nobody measures how long that takes.

    Raises:
        ValueError: a setting is refused, or a score is not a number.
    """
    if task not in TASKS[model_kind]:
        raise ValueError(f"{model_kind} has no task {task!r}; choose from {', '.join(TASKS[model_kind])}")
    scheme = "cross_encoding" if model_kind == "hf" else (task_args or {}).get("encoding_scheme")
    settings = check_settings(model_kind, scheme, model_args or {})
    plain = Plain(model, tokenizer, "False" if settings["DECODING_SCHEME"] else settings["ADD_BOS"])
    if reuse_passes:
        plain.reuse_passes()
    if settings["ADD_POS"]:
        plain.position(0)  # raises where the model has no such positions
    samples: list[Row] = []
    documents = []
    for doc_id, query, shots in draw_documents(task, rows, int(num_fewshot), limit):
        context = None if scheme == "no_context" else make_context(query, shots, str(scheme), description)
        sample: Row = {"doc_id": doc_id}
        if model_kind == "dist_sim":
            sample["scores"] = (
                plain.similarities_to_centre(query.choices, settings)
                if context is None
                else plain.similarities(context, query.choices, settings)
            )
        else:
            source: str | Tensor | None = None
            if context is not None:
                source = context[0][0] if scheme == "cross_encoding" else plain.encode_context(context, settings)[0]
            if model_kind == "hf":
                pairs = [plain.ordinary(str(source), choice) for choice in query.choices]
            else:
                pairs = [plain.generation(source, choice, settings) for choice in query.choices]
            sample["scores"] = [score for score, _ in pairs]
            sample["is_exact_match"] = [exact for _, exact in pairs]
        if any(math.isnan(score) for score in sample["scores"]):
            raise ValueError(f"document {doc_id}: a score is not a number")
        samples.append(sample)
        documents.append(document_metrics(task, query.choices, query.gold, sample))
    found: Row = {"results": aggregate(documents), "samples": samples}
    if plain.num_vectors:
        found["vectors_per_context"] = plain.num_vectors / plain.num_contexts
        found["tokens_per_vector"] = plain.num_tokens / plain.num_vectors
    return found
