import sys

import pytest
import torch

from modeling_pm_vit.utils.allocation import keep_freed_memory

resource = pytest.importorskip("resource")


@pytest.mark.skipif(sys.platform != "linux", reason="of the C library of Linux")
def test_the_memory_of_a_freed_tensor_is_used_again():
    keep_freed_memory()

    def pages():
        """What the system gives for 20 tensors of 8 MiB, one after the other: each has 2048 of 4 KiB."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            torch.ones(2**21)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    pages()
    assert pages() < 2048
