"""Load a model in a clean environment: a separate process and cache, with transformers and without this package."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def load_in_clean_environment(
    source: str | Path, image: Path, revision: str | None = None, endpoint: str | None = None
) -> dict[str, Any]:
    """
    Args:
        source: a folder, which is loaded without a network, or a Hub id.
        image: a photograph to explain.
        revision, endpoint: of the Hub id.

    Returns:
        `keys`, the names of weights that are missing, unexpected or of another shape; `logits`; and the results of the
        `image-classification` pipeline (`classified`) and the `image-explanation` pipeline (`explained`, with the sizes
        of the masks in place of the masks).

    Raises:
        RuntimeError: if the process fails, with its last lines.
    """
    with tempfile.TemporaryDirectory(prefix="pm-vit-clean-") as home:
        environment = os.environ | {"HF_HOME": home, "HF_HUB_OFFLINE": "1" if Path(source).is_dir() else "0"}
        if endpoint:
            environment["HF_ENDPOINT"] = endpoint
        for name in ("HF_HUB_CACHE", "HF_MODULES_CACHE"):
            environment.pop(name, None)
        source = str(Path(source).resolve()) if Path(source).is_dir() else str(source)
        # -P: the folder of this file is not on the path of the process.
        command = [sys.executable, "-P", str(Path(__file__).resolve()), source, str(image.resolve()), revision or ""]
        done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    if done.returncode:
        lines = "\n".join(done.stderr.splitlines()[-12:])
        raise RuntimeError(f"{source} does not load in a clean environment:\n{lines}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


class _Blocker:
    """Makes this package impossible to import."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name.partition(".")[0] in ("modeling_pm_vit", "hub"):
            raise ModuleNotFoundError(f"{name} must not be needed: the clean environment does not have it", name=name)


def _main(source: str, image: str, revision: str) -> None:
    sys.meta_path.insert(0, _Blocker())
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoModelForImageClassification, pipeline

    trust: dict[str, Any] = {"trust_remote_code": True} | ({"revision": revision} if revision else {})
    model, info = AutoModel.from_pretrained(source, output_loading_info=True, **trust)
    AutoModelForImageClassification.from_pretrained(source, **trust)
    processor = AutoImageProcessor.from_pretrained(source, **trust)
    with torch.no_grad():
        logits = model.eval()(**processor(image, return_tensors="pt")).logits
    if not torch.isfinite(logits).all():
        raise SystemExit("the logits of the model contain NaN or infinity")
    task: Any = "image-explanation"  # not among the tasks that transformers annotates
    explained = pipeline(task, model=source, **trust)(image, top_k=2)
    print(
        json.dumps(
            {
                "keys": sorted(str(key) for kind in info.values() for key in kind),
                "logits": logits[0].tolist(),
                "classified": pipeline("image-classification", model=source, **trust)(image),
                "explained": [found | {"mask": found["mask"].size} for found in explained],
            }
        )
    )


if __name__ == "__main__":
    _main(*sys.argv[1:])
