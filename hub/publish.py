"""Publish a trained folder on the Hub: model card, checks in a clean process, one commit, tag, verification.

    python -m hub.publish runs/demo user/pm-vit-demo --tag v1.0 --dataset "the built-in image set" --dry-run
    python -m hub.publish runs/demo user/pm-vit-demo --tag v1.0 --dataset "the built-in image set" --onnx runs/demo-onnx

`--dry-run` does all but the upload, without a network. Log in with `hf auth login` first. Exit status: 0 if the tag is
there and verified, 2 if not (it says why; `main` of the repository is as it was, or complete).
"""

import argparse
import sys
import tempfile
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from transformers.utils import logging

from .checks import find_problems
from .clean_environment import load_in_clean_environment
from .model_card import Details
from .release import push, stage

EXAMPLES = Path(__file__).parents[1] / "examples"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hub.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder that the training wrote")
    parser.add_argument("repo_id", help="user/name")
    parser.add_argument("--tag", required=True, help="of this version, such as v1.0")
    parser.add_argument("--dataset", required=True, help="Hub id or name of what it was trained on")
    parser.add_argument("--licence", default="apache-2.0", help="of the weights (default: %(default)s)")
    parser.add_argument("--base-model", help="Hub id that the training started from")
    parser.add_argument("--examples", type=Path, nargs="+", help="images that may be published (default: examples/)")
    parser.add_argument("--onnx", type=Path, help="folder of scripts/export.py, to go along")
    parser.add_argument("--private", action="store_true", help="where the repository is made")
    parser.add_argument("--dry-run", action="store_true", help="show everything, upload nothing")
    args = parser.parse_args(arguments)
    logging.disable_progress_bar()

    details = Details(args.repo_id, args.tag, args.dataset, args.licence, args.base_model)
    examples = args.examples or sorted(EXAMPLES.glob("*.png"), key=lambda path: path.stem)
    with tempfile.TemporaryDirectory(prefix="pm-vit-publish-") as folder:
        folder = Path(folder) / "repository"
        try:
            stage(args.model, folder, details, examples, args.onnx)
            problems = find_problems(folder)
            if problems:
                raise ValueError("not fit to be published: " + "; ".join(problems) + ".")
            image = folder / "images" / f"{examples[0].stem}.png"
            expected = load_in_clean_environment(folder, image)
            if expected["keys"]:
                raise ValueError(f"the weights do not fit the code: {', '.join(expected['keys'][:5])}.")
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                print(f"{path.stat().st_size:>12,}  {path.relative_to(folder)}")
            best = expected["explained"][0]
            print(f"in a clean process: {image.name} shows {best['label']} ({best['score']:.1%}) at {best['box']}")
            if args.dry_run:
                print(f"\n{(folder / 'README.md').read_text('utf-8')}\ndry run: nothing was uploaded to {args.repo_id}")
                return 0

            api = HfApi()

            def verify(revision: str) -> None:
                if load_in_clean_environment(args.repo_id, image, revision, api.endpoint) != expected:
                    raise ValueError(f"{args.repo_id} at {revision} answers otherwise than {args.model}.")

            commit = push(api, folder, details, verify, args.private)
        except (HfHubHTTPError, OSError, RuntimeError, ValueError) as error:
            print(f"publish: {error}", file=sys.stderr)
            return 2
    print(f"{api.endpoint}/{args.repo_id}/tree/{args.tag}: commit {commit}, loaded and verified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
