"""Global clustering: student groups must choose the prototypes that the teacher's were assigned to."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def global_loss(f1: Tensor, prototypes: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Cross-entropy -sum_c y_c log p_c with p = softmax(f1 . F_g / tau) [deck].

    Args:
        f1: float [K, D], unit rows, student.
        prototypes: float [C, D], unit rows F_g, without gradient.
        target: float [K, C], rows y that sum to one.
        temperature: tau.

    Returns:
        Mean over groups, scalar; 0 without groups.
    """
    if len(f1) == 0:
        return f1.sum()
    return functional.cross_entropy(f1 @ prototypes.T / temperature, target)
