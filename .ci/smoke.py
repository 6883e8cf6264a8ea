"""Installs a wheel into an empty environment and explains an image with it.

    python .ci/smoke.py dist/pm_vit-0.1.0-py3-none-any.whl

The working directory is empty too, so that nothing of the repository is imported by accident.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

MODEL = """
from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor

config = PMViTConfig(
    image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
)
PMViTForImageClassification(config).save_pretrained("model")
PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8).save_pretrained("model")
"""


def main(wheel: Path) -> None:
    image = Path(__file__).parents[1] / "examples" / "scene.png"
    with tempfile.TemporaryDirectory(prefix="pm-vit-smoke-") as folder:
        place = Path(folder)
        venv.create(place / "environment", with_pip=True)
        binaries = place / "environment" / ("Scripts" if sys.platform == "win32" else "bin")

        def run(program: str, *arguments: str | Path) -> None:
            subprocess.run([binaries / program, *arguments], cwd=place, check=True)

        run("python", "-m", "pip", "install", "--quiet", wheel.resolve())
        run("python", "-c", MODEL)
        run("pm-vit", "--version")
        run("pm-vit", "--help")
        run("pm-vit", "explain", "model", image, "--output_dir", "explained")
        pages = sorted(path.name for path in (place / "explained").iterdir())
        if "index.html" not in pages:
            sys.exit(f"pm-vit explain wrote no index.html, but {pages}")
        print(f"{wheel.name}: pm-vit explain wrote {', '.join(pages)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
