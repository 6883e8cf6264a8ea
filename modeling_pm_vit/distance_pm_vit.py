"""How far an image is from those of the training, by its features: two scores of confidence, with what they need."""

import torch
from torch import nn

from .confidence_pm_vit import DISTANCE_SCORES

NEIGHBOURS = 10  # of some hundred references; the paper's k is 1 % of those of ImageNet that it uses


class FeatureDistance(nn.Module):
    """
    The distance of features to references, which are buffers and so are stored with the weights.

    - `"mahalanobis"`: the squared distance to the nearest class mean, after whitening by the covariance that all
      classes share, divided by the number of dimensions (Lee et al., *A simple unified framework for detecting
      out-of-distribution samples*, 2018). The references are the whitened means.
    - `"nearest_neighbours"`: the distance to the 10th nearest reference, at unit length (Sun et al.,
      *Out-of-distribution detection with deep nearest neighbors*, 2022).

    Args:
        score: one of `DISTANCE_SCORES`.
        references: their number.
        features: dimensions of a feature.
    """

    references: torch.Tensor
    whitening: torch.Tensor

    def __init__(self, score: str, references: int, features: int):
        super().__init__()
        self.score = score
        self.register_buffer("references", torch.zeros(references, features))
        if score == "mahalanobis":
            self.register_buffer("whitening", torch.zeros(features, features))

    @classmethod
    def fitted(cls, score: str, features: torch.Tensor, labels: torch.Tensor) -> "FeatureDistance":
        """
        Args:
            score: one of `DISTANCE_SCORES`.
            features, labels: `(n, dimensions)` and `(n,)`, of images of the training.
        """
        if score not in DISTANCE_SCORES:
            raise ValueError(f"score must be one of {', '.join(DISTANCE_SCORES)}, got {score!r}.")
        features = features.double()
        if score == "nearest_neighbours":
            found = cls(score, len(features), features.shape[1])
            found.references = nn.functional.normalize(features, dim=1).float()
            return found
        classes, numbers = labels.unique(return_inverse=True)
        means = torch.stack([features[numbers == number].mean(0) for number in range(len(classes))])
        centred = features - means[numbers]
        covariance = centred.T @ centred / len(features)
        # Few images do not span all dimensions: a thousandth of the mean variance keeps the inverse finite.
        covariance += torch.eye(len(covariance)) * (1e-3 * covariance.trace() / len(covariance)).clamp(min=1e-12)
        whitening = torch.linalg.cholesky(torch.linalg.inv(covariance))
        found = cls(score, len(means), features.shape[1])
        found.references, found.whitening = (means @ whitening).float(), whitening.float()
        return found

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """From features `(batch, dimensions)` to distances `(batch,)`."""
        references = self.references.float()
        if self.score == "mahalanobis":
            whitened = features.float() @ self.whitening.float()
            return (whitened[:, None] - references).square().mean(-1).amin(-1)
        cosines = nn.functional.normalize(features.float(), dim=1) @ references.T
        nearest = cosines.topk(min(NEIGHBOURS, references.shape[0])).values[:, -1]
        return (2 - 2 * nearest).clamp(min=0).sqrt()


__all__ = ["FeatureDistance"]
