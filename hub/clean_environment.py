"""Load a model as somebody does who has transformers and not this package, in a process and cache of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def load_in_clean_environment(
    source: str | Path, image: Path, revision: str | None = None, endpoint: str | None = None
) -> dict:
    """
    Args:
        source: a folder (without a network), or a Hub id.
        image: a photograph to explain.
        revision, endpoint: of the Hub id.

    Returns:
        `keys`, the names of weights that are missing, unexpected or of another shape, `logits`, and what the stock
        `image-classification` (`classified`) and the `image-explanation` pipeline (`explained`) say, masks as sizes.

    Raises:
        RuntimeError: with the process's last lines, if anything of that fails.
    """
    with tempfile.TemporaryDirectory(prefix="pm-vit-stranger-") as home:
        environment = os.environ | {"HF_HOME": home, "HF_HUB_OFFLINE": "1" if Path(source).is_dir() else "0"}
        if endpoint:
            environment["HF_ENDPOINT"] = endpoint
        for name in ("HF_HUB_CACHE", "HF_MODULES_CACHE"):
            environment.pop(name, None)
        source = str(Path(source).resolve()) if Path(source).is_dir() else str(source)
        command = [sys.executable, str(Path(__file__).resolve()), source, str(image.resolve()), revision or ""]
        done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{source} does not load in a clean process:\n" + "\n".join(done.stderr.splitlines()[-12:]))
    return json.loads(done.stdout.splitlines()[-1])


class _Blocker:
    """Makes this package impossible to import."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("modeling_pm_vit", "hub"):
            raise ModuleNotFoundError(f"{name}: a stranger has not got it", name=name)


def _main(source: str, image: str, revision: str) -> None:
    sys.meta_path.insert(0, _Blocker())
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoModelForImageClassification, pipeline

    trust = {"trust_remote_code": True} | ({"revision": revision} if revision else {})
    model, info = AutoModel.from_pretrained(source, output_loading_info=True, **trust)
    AutoModelForImageClassification.from_pretrained(source, **trust)
    processor = AutoImageProcessor.from_pretrained(source, **trust)
    with torch.no_grad():
        logits = model.eval()(**processor(image, return_tensors="pt")).logits
    if not torch.isfinite(logits).all():
        raise SystemExit("the model answers NaN or infinity")
    explained = pipeline("image-explanation", model=source, **trust)(image, top_k=2)
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
