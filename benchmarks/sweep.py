"""Images per second over batch sizes, compiled, and their share of the device's measured matrix throughput."""

import time
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm

from modeling_pm_vit.evaluation.cost import vit_baseline
from modeling_pm_vit.utils.timing import compare

from .compiling import compile_seconds
from .flops import matrix_flops
from .machine import describe
from .models import SIZES, random_pm_vit


def measure(
    quick: bool = False,
    device: str = "cuda",
    seconds: float | None = None,
    sizes: Sequence[str] = (),
    batch_sizes: Sequence[int] = (),
    budget: float | None = None,
) -> dict:
    """
    At 224 px with 1,000 classes, the 5 most probable explained, in bf16 on CUDA, otherwise in fp32.

    Args:
        sizes: names in `SIZES`; by default S and B.
        batch_sizes: in their order; by default up to 512 on CUDA, up to 32 elsewhere.
        budget: minutes after which no further batch size begins. `None`: no limit.

    Returns:
        `machine`; `matmul_tflops`, measured; the results of [`sweep`].
    """
    device = torch.device(device)
    on_gpu, end = device.type == "cuda", float("inf") if budget is None else time.monotonic() + 60 * budget
    side, usual = (8192, (1, 8, 32, 128, 256, 512)) if on_gpu else (2048, (1, 8, 32))
    if quick:
        side, usual = side // 2, usual[:2]
    dtype = torch.bfloat16 if on_gpu else torch.float32
    throughput = matmul_flops(side, device, dtype)
    sizes, batch_sizes = sizes or (["S"] if quick else ["S", "B"]), batch_sizes or usual
    seconds = seconds or (0.5 if quick else 3.0)
    return {
        "machine": describe(device),
        **{"dtype": "bf16" if on_gpu else "fp32", "matmul_tflops": throughput / 1e12},
        **sweep(sizes, batch_sizes, device, dtype, throughput, seconds, end=end),
    }


def sweep(
    sizes: Sequence[str],
    batch_sizes: Sequence[int],
    device: torch.device,
    dtype: torch.dtype,
    throughput: float,
    seconds: float,
    image_size: int = 224,
    backend: str = "inductor",
    end: float = float("inf"),
) -> dict[str, dict]:
    """
    Each model is compiled twice: for one image, and for batches of any size.

    Args:
        throughput: floating-point operations per second of the device's matrix products.
        backend: of `torch.compile`.
        end: value of `time.monotonic()` after which no further batch size begins.

    Returns:
        By `size/batch`: `pairs`, PM-ViT's time over that of the ViT baseline, both compiled, and its
        [`compile_seconds`]; `images_per_second` of PM-ViT; `matmul_share`, operations per second of the plain forward
        pass over `throughput`. Batch sizes that do not fit into memory or time are in `skipped`.
    """
    pairs, speed, share, skipped = {}, {}, {}, {}
    for name in sizes:
        torch._dynamo.reset()
        model = random_pm_vit(SIZES[name], 1000, image_size).to(device, dtype)
        plain = vit_baseline(model)
        image = torch.zeros(1, 3, image_size, image_size, device=device, dtype=dtype)
        with torch.inference_mode():
            flops = matrix_flops(lambda plain=plain, image=image: plain(image))
        ours, theirs = (torch.compile(m, fullgraph=True, backend=backend) for m in (model, plain))
        for batch in tqdm(batch_sizes, desc=f"batch sizes, {name}"):
            key = f"{name}/{batch}"
            if time.monotonic() > end:
                skipped[key] = "the budget was spent"
                continue
            try:
                images = torch.randn(batch, 3, image_size, image_size, device=device, dtype=dtype)
                if batch > 1:
                    torch._dynamo.maybe_mark_dynamic(images, 0)
                call = _call(ours, images, explain_labels=5)
                with torch.inference_mode():
                    compiling = {"compile_seconds": compile_seconds(call, device)}
                    pair = compare(call, _call(theirs, images), seconds, device) | compiling
            except torch.OutOfMemoryError:
                skipped[key] = "out of memory"
                continue
            pairs[key], speed[key] = pair, batch / pair["ours_seconds"]
            share[key] = flops * speed[key] / throughput
    return {"pairs": pairs, "images_per_second": speed, "matmul_share": share, "skipped": skipped}


def _call(model: Callable, images: torch.Tensor, **settings: int) -> Callable[[], object]:
    return lambda: model(images, **settings)


def matmul_flops(side: int, device: torch.device, dtype: torch.dtype, repeats: int = 10) -> float:
    """Floating-point operations per second of the product of two square matrices: the best of `repeats`."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best
