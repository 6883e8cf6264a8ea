"""All explainers, in the order of the tables of a report. A new explainer is a file beside this one and a line here."""

from collections.abc import Iterable
from functools import partial

from ..utils.names import resolve_names
from .explainer import Explainer
from .finer_cam import finer_cam
from .gaussian import centred_gaussian
from .grad_cam import grad_cam
from .integrated_gradients import integrated_gradients
from .legrad import legrad
from .patch_logits import patch_logits
from .pm_vit_map import pm_vit_map
from .random_map import random_map
from .raw_attention import raw_attention
from .relevance import attention_relevance
from .rise import CELLS, KEPT, MASKS, rise
from .rollout import attention_rollout
from .vit_cx import vit_cx


def explainers(
    *,
    rise_masks: int = MASKS,
    rise_cells: int = CELLS,
    rise_kept: float = KEPT,
    integration_steps: int = 50,
    rollout_start_layer: int = 0,
    legrad_layers: int | None = None,
) -> dict[str, Explainer]:
    """
    The explainers by name.

    Args:
        rise_masks, rise_cells, rise_kept: number of masks of RISE, cells along a side of a mask, and the share of cells
            that are kept. The defaults are published (see [`rise`]).
        integration_steps: of integrated gradients. The authors recommend 20 to 300.
        rollout_start_layer: first layer of rollout; 0 in the paper, 1 in the scripts of Chefer et al.
        legrad_layers: number of layers of LeGrad, the last ones; all in the paper, 2 in the authors' package.
    """
    rise_settings = {"rise_masks": rise_masks, "rise_cells": rise_cells, "rise_kept": rise_kept}
    cams = {
        "grad-cam": ("Grad-CAM", "GradCAM", "Selvaraju et al., ICCV 2017"),
        "grad-cam-plus-plus": ("Grad-CAM++", "GradCAMPlusPlus", "Chattopadhay et al., WACV 2018"),
        "xgrad-cam": ("XGrad-CAM", "XGradCAM", "Fu et al., BMVC 2020"),
        "layer-cam": ("LayerCAM", "LayerCAM", "Jiang et al., IEEE TIP 2021"),
    }
    table = [
        Explainer("random", "Random", random_map, 0, 0, "uniform noise, seeded by the image", depends_on_class=False),
        Explainer(
            "gaussian", "Centred Gaussian", centred_gaussian, 0, 0, "Choe et al., CVPR 2020", depends_on_class=False
        ),
        Explainer(
            "raw-attention",
            "Raw attention",
            raw_attention,
            1,
            0,
            "Caron et al., ICCV 2021",
            depends_on_class=False,
            needs_attentions=True,
        ),
        Explainer(
            "rollout",
            "Attention rollout",
            partial(attention_rollout, start_layer=rollout_start_layer),
            1,
            0,
            "Abnar, Zuidema, ACL 2020",
            depends_on_class=False,
            needs_attentions=True,
            settings={"rollout_start_layer": rollout_start_layer},
        ),
        *(
            Explainer(name, title, partial(grad_cam, method=method), 1, 1, f"{paper}; grad-cam")
            for name, (title, method, paper) in cams.items()
        ),
        Explainer("finer-cam", "Finer-CAM", finer_cam, 1, 1, "Zhang et al., CVPR 2025; grad-cam"),
        Explainer(
            "relevance",
            "Attention-gradient relevance",
            attention_relevance,
            1,
            1,
            "Chefer et al., ICCV 2021",
            needs_attentions=True,
        ),
        Explainer(
            "legrad",
            "LeGrad",
            partial(legrad, layers=legrad_layers),
            1,
            1,
            "Bousselham et al., ICCV 2025",
            needs_attentions=True,
            settings={"legrad_layers": legrad_layers},
        ),
        Explainer(
            "integrated-gradients",
            "Integrated gradients",
            partial(integrated_gradients, steps=integration_steps),
            integration_steps,
            integration_steps,
            "Sundararajan et al., ICML 2017; captum",
            settings={"integration_steps": integration_steps},
        ),
        Explainer(
            "rise",
            "RISE",
            partial(rise, masks=rise_masks, cells=rise_cells, kept=rise_kept),
            rise_masks,
            0,
            "Petsiuk et al., BMVC 2018",
            settings=rise_settings,
        ),
        Explainer("vit-cx", "ViT-CX", vit_cx, 121, 0, "Xie et al., IJCAI 2023", passes_vary=True),
        Explainer("patch-logits", "Patch logits", patch_logits, 1, 0, "the image classifier on every patch"),
        Explainer("pm-vit", "PM-ViT", pm_vit_map, 1, 0, "Kang et al., PRL 2025", gives_probabilities=True),
    ]
    return {explainer.name: explainer for explainer in table}


EXPLAINERS = explainers()
RENAMED_EXPLAINERS = {"prediction-map": "patch-logits"}  # former names, which records on disk may still have


def explainer_names(names: Iterable[str]) -> tuple[str, ...]:
    """
    The names of explainers that a user asks for ("all" for every one), each once, former names replaced by present
    ones.

    Raises:
        InputError: if there is no such explainer; lists those that there are.
    """
    return resolve_names(names, EXPLAINERS, RENAMED_EXPLAINERS, "explainer")
