"""`Compression`: how many tokens of the contexts stand behind each of their concept vectors (experiment §10)."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Compression:
    """Tokens and concept vectors of the contexts that a run was scored on, as they were encoded and aggregated."""

    num_contexts: int = 0
    num_tokens: int = 0
    """After cutting; without tokens that stand in front, and without special tokens."""
    num_vectors: int = 0
    """After all aggregation, before `soft_cluster` and before the decoder's cut."""

    def add(self, num_tokens: int, num_vectors: int) -> None:
        """Count a context."""
        self.num_contexts += 1
        self.num_tokens += num_tokens
        self.num_vectors += num_vectors

    def join(self, other: "Compression") -> None:
        """Count the contexts of another block too."""
        self.num_contexts += other.num_contexts
        self.num_tokens += other.num_tokens
        self.num_vectors += other.num_vectors

    def content(self) -> dict[str, float]:
        """Return what a result file states of it, in numbers of vectors a context and of tokens a vector."""
        if not self.num_vectors:
            return {}
        return {
            "vectors_per_context": self.num_vectors / self.num_contexts,
            "tokens_per_vector": self.num_tokens / self.num_vectors,
        }
