"""Pictures of explanations. The functions are in files that travel with the weights."""

from .figure_pm_vit import figure
from .overlay_pm_vit import CLASS_COLOURS, heatmap, overlay

heatmap_image = heatmap  # its former name

__all__ = ["CLASS_COLOURS", "figure", "heatmap", "heatmap_image", "overlay"]
