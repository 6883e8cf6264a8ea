import torch

from benchmarks.flops import matrix_flops


def test_products_are_counted_forward_and_backward():
    linear, inputs = torch.nn.Linear(8, 4, bias=False), torch.zeros(2, 8, requires_grad=True)
    assert matrix_flops(lambda: linear(inputs)) == 2 * 2 * 8 * 4
    assert matrix_flops(lambda: linear(inputs).sum().backward()) == 3 * 2 * 2 * 8 * 4  # by weights and inputs too
    linear.requires_grad_(False)
    assert matrix_flops(lambda: linear(inputs).sum().backward()) == 2 * 2 * 2 * 8 * 4
