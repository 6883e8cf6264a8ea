"""A hash of the weights of a model."""

import hashlib

from torch import nn


def fingerprint(model: nn.Module) -> str:
    """A hash of the weights. Results are stored with it, so that results of other weights are not reused."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
