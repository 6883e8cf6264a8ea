"""Publish a trained folder on the Hub: model card, checks in a clean environment, one commit, verification, tag."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]  # of the HTTP client
from PIL import Image

from modeling_pm_vit.utils.errors import InputError, PMViTError
from modeling_pm_vit.utils.tables import markdown_table

from .arguments import PublishArguments
from .checks import check_arguments, find_problems
from .clean_environment import load_in_clean_environment
from .companions import Companion
from .endpoint import unpinned_base
from .onnx_repository import stage_onnx_repository
from .release import has_same_files, push, stage
from .spaces import stage_gradio_space, stage_static_space

_REFUSED = {401: "you are not logged in, or the token is not valid", 403: "the token may not write there"}


def publish(arguments: PublishArguments, api: HfApi | None = None) -> str | None:
    """
    Put the repository together, check it, upload it, load it from the Hub again, and tag it. Prints the files and what
    the model predicts for the first example image.

    Args:
        arguments: with `dry_run`, everything but the upload is done, without a network.
        api: of the Hub; by default that of `HF_ENDPOINT` with the token of the user who is logged in.

    Returns:
        The commit of the model that has the tag; None after a dry run.

    Raises:
        PMViTError: if an argument cannot be used, the folder does not pass the checks, or the Hub refuses. The branch
            `main` of the repository is then as before, or complete.
    """
    check_arguments(arguments)
    if api is None and not arguments.dry_run:
        if get_token() is None:
            raise InputError("not logged in to the Hub: run `hf auth login`, or set HF_TOKEN.")
        api = HfApi()
    with tempfile.TemporaryDirectory(prefix="pm-vit-publish-") as temporary:
        place = arguments.output_dir or Path(temporary)
        folder = place / "repository"
        examples = stage(arguments, folder)
        problems = find_problems(folder)
        if problems:
            raise InputError(f"{arguments.model} cannot be published: {'; '.join(problems)}.")
        image = folder / "images" / examples[0] if examples else _any_image(Path(temporary))
        shown = f"images/{examples[0]}" if examples else "an image of noise"
        expected = load_in_clean_environment(folder, image)
        if expected["keys"]:
            raise InputError(f"{arguments.model}: the weights do not fit the code: {', '.join(expected['keys'][:5])}.")
        _print_summary(folder, shown, expected)
        has_licence = arguments.license not in ("other", "unknown") or arguments.license_link
        for is_stated, option, what in (
            (arguments.intended_use, "--intended_use", "what it is for"),
            (arguments.limits, "--limits", "what it must not be used for"),
            (has_licence, "--license, or --license other with --license_name and --license_link", "the licence"),
        ):
            if not is_stated:
                print(f'the card says "not stated" of {what}: state it with {option}')
        base = unpinned_base()
        if arguments.onnx is not None and base is not None:
            print(
                f"container/Dockerfile: the base image {base} is not pinned; pin it where you build, with "
                f"--build-arg BASE={base}@sha256:..., the digest that `docker buildx imagetools inspect {base}` shows"
            )
        companions = _stage_companions(arguments, folder, place)
        for one in companions:
            print(f"{one.folder.name}: {', '.join(sorted(path.name for path in one.folder.iterdir()))}")
        if api is None or arguments.dry_run:
            print(f"\n{(folder / 'README.md').read_text('utf-8')}")
            print(f"dry run: nothing was uploaded to {arguments.repo_id}")
            if arguments.output_dir is not None:
                commit = " (the commit of the model is all zeros until the upload)" if companions else ""
                print(f"the files are in {place}{commit}")
            return None

        def verify(revision: str) -> None:
            if load_in_clean_environment(arguments.repo_id, image, revision, api.endpoint) != expected:
                raise PMViTError(f"{arguments.repo_id} at {revision} gives other results than {arguments.model}.")

        with _refusals(api, arguments.repo_id):
            commit = push(api, folder, arguments.repo_id, arguments.tag, verify, arguments.private)
        print(f"{api.endpoint}/{arguments.repo_id}/tree/{arguments.tag}: commit {commit}, loaded and verified")
        for one in companions:
            one.pin(commit)
            _push_companion(arguments, api, one)
    return commit


def _stage_companions(arguments: PublishArguments, repository: Path, place: Path) -> list[Companion]:
    found = []
    if arguments.onnx_repo is not None:
        found.append(stage_onnx_repository(arguments, repository, place / "onnx-repository"))
    if arguments.static_space is not None:
        found.append(stage_static_space(arguments, repository, place / "static-space"))
    if arguments.gradio_space is not None:
        found.append(stage_gradio_space(arguments, repository, place / "gradio-space"))
    return found


def _push_companion(arguments: PublishArguments, api: HfApi, one: Companion) -> None:
    kind = "model" if one.sdk is None else "space"

    def verify(revision: str) -> None:
        if not has_same_files(api, one.repo_id, revision, one.folder, kind):
            raise PMViTError(
                f"{one.repo_id} at {revision} does not have the files of {one.folder.name}: run the command again."
            )

    with _refusals(api, one.repo_id):
        commit = push(api, one.folder, one.repo_id, None, verify, arguments.private, one.sdk)
    print(f"{api.endpoint}/{'' if one.sdk is None else 'spaces/'}{one.repo_id}: commit {commit}")


@contextmanager
def _refusals(api: HfApi, repo_id: str) -> Iterator[None]:
    """What the Hub refuses to a user, in one line."""
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status not in _REFUSED:
            raise
        reason = error.server_message or _REFUSED[status]
        raise PMViTError(
            f"{api.endpoint} refused access to {repo_id} with status {status} ({reason}): "
            "log in with `hf auth login` as a user who may write there."
        ) from error
    except HFValidationError as error:
        raise InputError(f"repo_id: {error}") from error
    except (TransportError, OfflineModeIsEnabled) as error:
        raise PMViTError(f"{api.endpoint} cannot be reached: {error}") from error


def _any_image(folder: Path) -> Path:
    """In place of examples, to compare results on; it is not published."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    return folder / "image.png"


def _print_summary(folder: Path, shown: str, expected: dict[str, Any]) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = [(str(path.relative_to(folder)), f"{path.stat().st_size:,}") for path in files]
    print(markdown_table([("file", "bytes"), *sizes]))
    best = expected["explained"][0]
    answer = f"{best['label']} ({100 * best['score']:.1f} %)"
    print(f"in a clean environment the model loads, and its answer for {shown} is: {answer}")
