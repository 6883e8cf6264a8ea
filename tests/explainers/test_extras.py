import sys

import pytest
import torch

from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.utils.extras import import_extra


@pytest.mark.parametrize(
    ("name", "module"), [("grad-cam", "pytorch_grad_cam"), ("integrated-gradients", "captum.attr")]
)
def test_a_missing_library_is_named_with_the_command_that_installs_it(vit, images, name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'pm-vit\[eval\]'"):
        EXPLAINERS[name](vit, images, torch.zeros(3, dtype=torch.long))


def test_returns_the_module():
    assert import_extra("json", "this test", "eval").__name__ == "json"
