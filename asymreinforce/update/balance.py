"""Distribute a step's sequences over ranks, so that every rank has the same cost and row count.

    cost of a block = 6 N tokens + 6 D V scored tokens + 12 L D_attention (query, key) pairs

Costs are floating-point operations, forward and backward, with N parameters of the body, D the
model's width, V vocabulary, L layers. The costliest block goes first, each to the rank with least
cost so far (longest processing time, Graham 1969: at most 4/3 of the best). A group's block may be
cut if the costliest rank then has less to do; each part computes the prompt again. Ranks pack their
blocks into rows and compute their rows at the same time, the costliest first. A rank with fewer
rows computes idle rows.
"""

import heapq
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from asymreinforce.model import model_config
from asymreinforce.update.packing import (
    Block,
    PackedRow,
    Segment,
    Sequences,
    blocks_of,
    fill_bins,
    pack_blocks,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Cost(NamedTuple):
    """Costs of a token, a scored token and a (query, key) pair, in floating-point operations."""

    token: float
    scored: float
    pair: float

    @classmethod
    def of(cls, model: "PreTrainedModel") -> "Cost":
        """Return the costs of a model whose parameters are not sharded yet."""
        head: Any = model.get_output_embeddings()
        embedding: Any = model.get_input_embeddings()
        # by identity: a tied weight of head and embedding counts once
        ends = {id(p): p.numel() for m in (head, embedding) for p in m.parameters()}
        body = sum(p.numel() for p in model.parameters()) - sum(ends.values())
        decoder = model_config.of_model(model).decoder
        width = decoder.layers * decoder.heads * decoder.head_width if decoder else 0
        return cls(6.0 * body, 6.0 * head.weight.numel(), 12.0 * width)

    def block(self, sequences: Sequences, block: Block) -> float:
        """Return the cost of a block: its prompt once, and its completions."""
        prompt = len(sequences.prompts[block.members[0]])
        lengths = [len(sequences.completions[member]) for member in block.members]
        pairs = prompt**2 / 2 + sum(prompt * n + n**2 / 2 for n in lengths)
        return self.token * block.length + self.scored * sum(lengths) + self.pair * pairs


CUTS = (1, 2, 4, 8, 16)
"""Blocks are cut to 1/CUT of a rank's fair share of tokens; the best CUT is used."""


class Assignment(NamedTuple):
    """Blocks, their costs, and the indices of each rank's blocks."""

    blocks: list[Block]
    costs: list[float]
    blocks_of_rank: list[list[int]]

    @property
    def slowest(self) -> float:
        """Cost of the rank that has the most to do."""
        return max(sum(self.costs[i] for i in hand) for hand in self.blocks_of_rank)


def rows_of_rank(
    sequences: Sequences, *, number: int, count: int, tokens: int, cost: Cost
) -> list[PackedRow]:
    """Return the rows of rank `number` of `count`; every rank gets as many rows, some idle."""
    blocks, costs, blocks_of_rank = _best_assignment(
        sequences, count=count, tokens=tokens, cost=cost
    )
    bins = [
        [
            [hand[i] for i in part]
            for part in fill_bins([blocks[i].length for i in hand], capacity=tokens)
        ]
        for hand in blocks_of_rank
    ]
    bins_of_rank = sorted(bins[number], key=lambda part: -sum(costs[i] for i in part))
    rows = [pack_blocks(sequences, [blocks[i] for i in part]) for part in bins_of_rank]
    return rows + [idle_row()] * (max(map(len, bins)) - len(rows))


def _best_assignment(sequences: Sequences, *, count: int, tokens: int, cost: Cost) -> Assignment:
    total = sum(block.length for block in blocks_of(sequences, longest=tokens))
    assignments = []
    for longest in sorted({min(tokens, math.ceil(total / count / cut)) for cut in CUTS}):
        blocks = blocks_of(sequences, longest=longest)
        costs = [cost.block(sequences, block) for block in blocks]
        assignments.append(Assignment(blocks, costs, assign_items(costs, ranks=count)))
    return min(assignments, key=lambda assignment: assignment.slowest)


def assign_items(costs: Sequence[float], *, ranks: int) -> list[list[int]]:
    """Assign items to ranks, the costliest first, each to the rank with the least cost so far."""
    items_of_rank: list[list[int]] = [[] for _ in range(ranks)]
    heap = [(0.0, rank) for rank in range(ranks)]
    for item in sorted(range(len(costs)), key=lambda i: -costs[i]):
        held, rank = heapq.heappop(heap)
        items_of_rank[rank].append(item)
        heapq.heappush(heap, (held + costs[item], rank))
    return items_of_rank


def idle_row() -> PackedRow:
    """Return a row of one token without targets, for a rank that has fewer rows than others."""
    # a collective waits for every rank, so each must run a forward and a backward pass
    token, nothing = torch.zeros(1, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    return PackedRow([], token, token, [[Segment(0, 1, slice(0, 0))]], nothing, nothing, nothing)
