"""How a step's sequences are shared out over ranks: each gets the same cost, in as many rows.

    cost of a block = 6 N tokens + 6 D V scored tokens + 12 L D_attention (query, key) pairs

in floating-point operations, forward and backward: N parameters of the body, D the model's width,
V vocabulary, L layers. A block goes to the rank that has least so far, the costliest block first
(longest processing time, Graham 1969: at most 4/3 of the best). Blocks of a group may be cut, its
prompt computed again in each part, where the costliest rank has less to do then. Ranks pack their
blocks into rows, and go through their rows in step, the costliest first; who has fewer runs idle
rows.
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
    """What a token, a scored token and a (query, key) pair cost, in floating-point operations."""

    token: float
    scored: float
    pair: float

    @classmethod
    def of(cls, model: "PreTrainedModel") -> "Cost":
        """Read the sizes off a model whose parameters are whole."""
        head: Any = model.get_output_embeddings()
        embedding: Any = model.get_input_embeddings()
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
"""Parts of a rank's fair share of tokens that blocks are cut to, of which the best is taken."""


class Assignment(NamedTuple):
    """Blocks, what each costs, and which of them each rank has."""

    blocks: list[Block]
    costs: list[float]
    blocks_of_rank: list[list[int]]

    @property
    def slowest(self) -> float:
        """What the rank with most to do has to do."""
        return max(sum(self.costs[i] for i in hand) for hand in self.blocks_of_rank)


def rows_of_rank(
    sequences: Sequences, *, number: int, count: int, tokens: int, cost: Cost
) -> list[PackedRow]:
    """Return the rows of rank `number` of `count`: as many as every other rank's, some idle."""
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
    """Deal items out, the costliest first, each to the hand that holds least."""
    items_of_rank: list[list[int]] = [[] for _ in range(ranks)]
    heap = [(0.0, rank) for rank in range(ranks)]
    for item in sorted(range(len(costs)), key=lambda i: -costs[i]):
        held, rank = heapq.heappop(heap)
        items_of_rank[rank].append(item)
        heapq.heappush(heap, (held + costs[item], rank))
    return items_of_rank


def idle_row() -> PackedRow:
    """Return a row of one token that scores nothing: what a rank computes to keep step."""
    token, nothing = torch.zeros(1, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    return PackedRow([], token, token, [[Segment(0, 1, slice(0, 0))]], nothing, nothing, nothing)
