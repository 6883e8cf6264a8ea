"""Assemble a repository from a trained folder, and push it so that `main` is never incomplete."""

import filecmp
import hashlib
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.hf_api import RepoFile
from PIL import Image

import modeling_pm_vit
from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.backbone_pm_vit import is_of_timm
from modeling_pm_vit.conversion.checkpoints import load_model, load_processor
from modeling_pm_vit.export import problems_of_export
from modeling_pm_vit.image_loading_pm_vit import load_image
from modeling_pm_vit.inference.files import find_images
from modeling_pm_vit.serving.exported import GRAPHS, open_export
from modeling_pm_vit.utils.errors import InputError, PMViTError
from modeling_pm_vit.visualization import figure, heatmap_image

from .arguments import PublishArguments
from .checks import CODE
from .companions import Sdk
from .endpoint import stage_endpoint
from .model_card import Answer, render_eval_results, render_model_card

_FROM_TRAINING = ("config.json", "preprocessor_config.json", "model.safetensors.index.json")
EVAL_RESULTS = ".eval_results/pm-vit.yaml"
# What publishing writes. Other files of a repository, such as evaluation results that others merged, are kept.
WRITTEN = re.compile(
    r"README\.md|handler\.py|requirements\.txt|\w+_pm_vit\.py|(preprocessor_)?config\.json|Dockerfile"
    r"|model[\w.-]*\.safetensors(\.index\.json)?|(images|onnx|serving|container)/.+|"
    + re.escape(EVAL_RESULTS)
    +
    # in a Space
    r"|(index\.html|[\w.-]+\.(css|js|mjs|wasm)|app\.py|explanation\.py|model\.json|(examples|model)/.+)"
)
_ZERO_GPU = "zero-a10g"  # as the Hub names this hardware
_MOST_EXAMPLES = 12  # in one picture of the card


def stage(arguments: PublishArguments, target: Path) -> list[str]:
    """
    Assemble the repository in an empty folder: weights and settings of the model, an adapter merged into its base
    model; the code of the package; what an endpoint needs; example images with their explanations; the exported graphs;
    the model card.

    Returns:
        The names of the example images in the folder `images`.

    Raises:
        NotFoundError: if there is no such example.
        InputError: if an example is not an image, there are too many, or the exported graphs are not of this model or
            do not agree with it.
    """
    model = load_model(arguments.model)
    processor = load_processor(arguments.model)
    target.mkdir(parents=True)
    is_adapter = (arguments.model / "adapter_config.json").is_file()
    weights = [] if is_adapter else arguments.model.glob("model*.safetensors")
    for path in (*weights, *(arguments.model / name for name in _FROM_TRAINING)):
        if path.is_file():
            shutil.copyfile(path, target / path.name)
    if is_adapter:
        model.save_pretrained(target)
        print(f"{arguments.model} is an adapter: published is the whole model, merged with its base model")
    _stage_code(arguments.model, target)
    stage_endpoint(target, with_graphs=arguments.onnx is not None, with_timm=is_of_timm(model.config))
    if arguments.onnx is not None:
        problems = problems_of_export(arguments.onnx, model)
        if problems:
            raise InputError(f"--onnx: {arguments.onnx}: {'; '.join(problems)}. Run `pm-vit export` again.")
        shutil.copytree(open_export(arguments.onnx).folder, target / GRAPHS)
    results = render_eval_results(arguments)
    if results is not None:
        (target / EVAL_RESULTS).parent.mkdir()
        (target / EVAL_RESULTS).write_text(results, "utf-8")
    examples = _stage_examples(arguments, target / "images", model, processor)
    (target / "README.md").write_text(render_model_card(arguments, examples), "utf-8")
    return list(examples)


def _stage_code(model: Path, target: Path) -> None:
    """That of the package, which loaded the model: the folder can have been written by another version."""
    package, is_other = Path(modeling_pm_vit.__file__).parent, False
    for name in CODE:
        shutil.copyfile(package / name, target / name)
        is_other |= (model / name).is_file() and not filecmp.cmp(model / name, target / name, shallow=False)
    if is_other:
        print(f"{model} has code of another version: published is that of pm-vit {modeling_pm_vit.__version__}")


def _stage_examples(
    arguments: PublishArguments, target: Path, model: PMViTForImageClassification, processor: PMViTImageProcessor
) -> dict[str, Answer]:
    """
    The examples, numbered, because file names can name people; only their pixels, because the rest of a file can hold
    the place and the owner. With the explanations of all in one picture. Returns their names and classes.
    """
    try:
        paths = list(find_images(arguments.examples))
    except PMViTError as error:
        raise type(error)(f"--examples: {error}") from error
    if len(paths) > _MOST_EXAMPLES:
        raise InputError(f"--examples: at most {_MOST_EXAMPLES} images are shown, got {len(paths)}.")
    if not paths:
        return {}
    target.mkdir()
    count = min(5, model.config.num_labels)
    rows: list[Any] = []
    answers: dict[str, Answer] = {}
    for number, path in enumerate(paths, 1):
        try:
            image = Image.fromarray(np.asarray(load_image(path)))
        except ValueError as error:
            raise InputError(f"--examples: {error}") from error
        image.save(target / f"{number}.png")
        found: Any = model.explain(image, top_k=count, image_processor=processor)
        maps = list(zip(found["labels"], found["scores"].tolist(), found["heatmaps"].numpy(), strict=True))
        answers[f"{number}.png"] = [{"label": label, "score": round(score, 4)} for label, score, _ in maps]
        shown = [(f"{label} {100 * score:.1f} %", heatmap_image(heatmap)) for label, score, heatmap in maps[:2]]
        print(f"images/{number}.png, {path.name}: {', '.join(caption for caption, _ in shown)}")
        rows.append([("", image), *shown])
    figure(rows, side=192).quantize(128, dither=Image.Dither.NONE).save(target / "explanations.png")
    return answers


def push(
    api: HfApi,
    folder: Path,
    repo_id: str,
    tag: str | None,
    verify: Callable[[str], None],
    private: bool = False,
    sdk: Sdk | None = None,
) -> str:
    """
    Publish a folder as a tagged revision on the Hub.

    All files are uploaded in one commit of a pull request. The commit is verified, then merged, which moves `main` in
    one step, then `main` is tagged. After an interruption `main` is either as before or complete, and the same call
    continues. Files of an earlier version that are no longer there are removed; files that publishing never writes are
    kept. Both are printed.

    Args:
        tag: None for no tag.
        verify: called with the commit to load; raises an error if its results differ from those of the folder.
        sdk: of a Space; None for a model.

    Returns:
        The commit that has the tag, or that `main` is at.

    Raises:
        InputError: if the tag exists with other contents.
        PMViTError: if `main` was changed by somebody else during the upload.
    """
    kind = "model" if sdk is None else "space"
    hardware: Any = _ZERO_GPU if sdk == "gradio" else None
    api.create_repo(repo_id, exist_ok=True, private=private, repo_type=kind, space_sdk=sdk, space_hardware=hardware)
    refs = api.list_repo_refs(repo_id, repo_type=kind)
    tagged = {ref.name: ref.target_commit for ref in refs.tags}.get(tag) if tag is not None else None
    if tagged is not None:
        if not has_same_files(api, repo_id, tagged, folder, kind):
            raise InputError(f"{repo_id} already has a tag {tag} with other contents: choose a new tag.")
        verify(tagged)
        return tagged

    head = _main_commit(api, repo_id, kind)
    if has_same_files(api, repo_id, head, folder, kind):  # interrupted between the merge and the tag
        verify(head)
    else:
        commit = api.create_commit(
            repo_id,
            _operations(api, repo_id, folder, kind),
            repo_type=kind,
            commit_message=f"Publish {tag or folder.name}",
            parent_commit=head,
            create_pr=True,
        )
        assert commit.pr_num is not None
        try:
            verify(commit.oid)
        except Exception:
            api.change_discussion_status(
                repo_id, commit.pr_num, "closed", comment="The verification failed.", repo_type=kind
            )
            raise
        api.merge_pull_request(repo_id, commit.pr_num, repo_type=kind)
        head = _main_commit(api, repo_id, kind)
        if not has_same_files(api, repo_id, head, folder, kind):
            raise PMViTError(
                f"{repo_id} was changed by somebody else during the upload, no tag was set: run the same command again."
            )
    if tag is not None:
        api.create_tag(repo_id, tag=tag, revision=head, repo_type=kind)
    return head


def _main_commit(api: HfApi, repo_id: str, kind: str) -> str:
    commit = api.repo_info(repo_id, repo_type=kind).sha
    assert commit is not None
    return commit


def has_same_files(api: HfApi, repo_id: str, revision: str, folder: Path, kind: str = "model") -> bool:
    """
    Whether a revision contains exactly the files of the folder, compared by the hashes of the Hub, beside files that
    publishing never writes.
    """
    remote = _remote_files(api, repo_id, revision, kind)
    local = _local_files(folder)
    is_complete = set(local) <= set(remote) and not _outdated(local, remote)
    return is_complete and all(_is_same(local[name], remote[name]) for name in local)


def _outdated(local: Collection[str], remote: Collection[str]) -> list[str]:
    """The files that an earlier version published, and this one does not."""
    return sorted(name for name in set(remote) - set(local) if WRITTEN.fullmatch(name))


def _is_same(path: Path, remote: RepoFile) -> bool:
    content = path.read_bytes()
    if remote.lfs is not None:
        return hashlib.sha256(content).hexdigest() == remote.lfs.sha256
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == remote.blob_id


def _local_files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _remote_files(api: HfApi, repo_id: str, revision: str, kind: str) -> dict[str, RepoFile]:
    tree = api.list_repo_tree(repo_id, revision=revision, recursive=True, repo_type=kind)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile) and entry.path != ".gitattributes"}


def _operations(api: HfApi, repo_id: str, folder: Path, kind: str) -> list[CommitOperationAdd | CommitOperationDelete]:
    local = _local_files(folder)
    remote = _remote_files(api, repo_id, "main", kind)
    outdated = _outdated(local, remote)
    kept = sorted(set(remote) - set(local) - set(outdated))
    for what, names in (("removed, no longer published", outdated), ("kept, from others", kept)):
        if names:
            print(f"{what}: {', '.join(names)}")
    return [CommitOperationAdd(name, path) for name, path in local.items()] + [
        CommitOperationDelete(name) for name in outdated
    ]
