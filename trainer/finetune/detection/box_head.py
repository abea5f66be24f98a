"""The box at a centre, told from a patch of the grid around it.

Boxes are asked for at some hundred places of a scene, not at its tens of thousands of cells: so this head may look
farther and be wider than a layer that answers everywhere, at next to no cost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from iscc_lidar.trainer.finetune.detection.targets import CODE, Z

# B scenes, C classes, W width, X and Y cells, R places


class BoxHead(nn.Module):
    """Two layers on a patch of ``patch`` x ``patch`` cells; each class has its own last one."""

    def __init__(self, width: int, classes: int, patch: int, hidden: int) -> None:
        super().__init__()
        self.patch = patch
        self.classes = classes
        self.hidden = nn.Linear(width * patch**2, hidden)
        self.code = nn.Linear(hidden, classes * CODE)

    def forward(self, grid: Tensor, ground: Tensor, at: Tensor) -> Tensor:
        """Codes of boxes, float32 [R, CODE].

        Args:
            grid: float32 [B, X, Y, W].
            ground: float32 [B, X, Y], z of the ground, metres, from which bottoms are told.
            at: int64 [R], where boxes are told, of which class: ((scene * C + class) * X + x) * Y + y.
        """
        scene, kind, x, y = torch.unravel_index(at, (len(grid), self.classes, *ground.shape[1:]))
        half = self.patch // 2
        along = torch.arange(self.patch, device=at.device)
        rows = functional.pad(grid, (0, 0, half, half, half, half))
        first = (scene * rows.shape[1] + x) * rows.shape[2] + y  # the patch's lower corner
        cells = first[:, None, None] + along[:, None] * rows.shape[2] + along
        # Indexing would add up gradients in any order of the threads: no run would end as another does.
        patch = functional.embedding(cells, rows.flatten(0, 2))
        codes: Tensor = self.code(functional.relu(self.hidden(patch.flatten(1)))).view(-1, self.classes, CODE)
        code = (codes * functional.one_hot(kind, self.classes)[:, :, None]).sum(dim=1)
        code[:, Z] += ground[scene, x, y]
        return code

    @torch.no_grad()
    def start_from(self, code: Tensor) -> None:
        """Let a new head say codes [C, CODE] whatever it sees; their bottoms above the ground."""
        self.code.bias.copy_(code.flatten())
