"""Balanced assignments (conformance suite, `sinkhorn`)."""

import torch


def sinkhorn(logits, iterations):
    """Rows of probabilities, while every column is as likely as the others; in logarithms, which cannot overflow."""
    rows, columns = logits.shape
    q = logits - torch.logsumexp(logits.flatten(), 0)
    for _ in range(iterations):
        q = q - torch.logsumexp(q, 0, keepdim=True) - torch.tensor(float(columns)).log()
        q = q - torch.logsumexp(q, 1, keepdim=True) - torch.tensor(float(rows)).log()
    return q.exp() * rows
