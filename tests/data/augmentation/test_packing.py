import torch
from hypothesis import given
from hypothesis import strategies as st

from modeling_pm_vit.data.augmentation.packing import PackedTensors

DTYPES = (torch.bool, torch.uint8, torch.int64, torch.float32)
shapes = st.lists(st.integers(0, 3), max_size=3)


@given(st.lists(st.tuples(st.sampled_from(DTYPES), shapes), max_size=5))
def test_tensors_come_back_as_they_were(kinds):
    tensors = {str(i): torch.randint(0, 2, shape).to(dtype) for i, (dtype, shape) in enumerate(kinds)}
    found = PackedTensors(tensors).on(torch.device("cpu"))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
