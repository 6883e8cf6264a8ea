"""Which weights a model has."""

import hashlib

from torch import nn


def fingerprint(model: nn.Module) -> str:
    """Of the weights, so that results of one checkpoint are not taken for another's."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
