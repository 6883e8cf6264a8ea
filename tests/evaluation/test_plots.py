import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from modeling_pm_vit.evaluation.plots import curve_plot
from modeling_pm_vit.metrics.metric import Curves
from modeling_pm_vit.metrics.registry import METRICS


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.curves])
@pytest.mark.parametrize("points", [10, 33])
def test_curves_are_means_at_their_own_places(name, points, tmp_path, monkeypatch):
    """Insertion of ten points runs from 0 to 1 too; only perturbation declares other places."""
    curves: Curves = METRICS[name].curves
    points = points if curves.x is None else len(curves.x)
    random, keys = np.random.default_rng(0), curves.panels.values()
    records = {title: {key: random.random((4, points)) for key in keys} for title in ("RISE", "PM-ViT")}
    drawn = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    curve_plot(tmp_path / "curves.png", curves, records)
    monkeypatch.undo()
    (figure,) = drawn
    places = np.linspace(0, 1, points) if curves.x is None else curves.x
    for axis, (title, key) in zip(figure.axes, curves.panels.items(), strict=True):
        assert (axis.get_title(), axis.get_xlabel()) == (title, curves.x_title)
        for line, found in zip(axis.lines, records.values(), strict=True):
            assert np.allclose(line.get_xdata(), places)
            assert np.allclose(line.get_ydata(), found[key].mean(0))
    pyplot.close(figure)
    assert Image.open(tmp_path / "curves.png").width > 300
