"""Crops of several sizes through one network."""

from itertools import groupby

import torch


def by_resolution(encoder, views):
    """Features of all views one after the other, [views x batch, feature_dim]: one pass per run of equal sizes."""
    runs = groupby(views, key=lambda view: view.shape[-1])
    return torch.cat([encoder(torch.cat(list(run))) for _, run in runs])
