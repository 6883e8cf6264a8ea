"""A trained folder as a repository of the Hub: put together, and pushed so that `main` is never half made."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.hf_api import RepoFile
from PIL import Image

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.image_processing_pm_vit import load_image
from modeling_pm_vit.visualization import figure, heatmap_image

from .checks import CODE
from .model_card import Details, render_model_card

_FROM_TRAINING = (*CODE, "config.json", "preprocessor_config.json", "model.safetensors.index.json")
_REQUIREMENTS = "transformers>=5.23\ntorch>=2.13\npillow>=11\n"


def stage(
    model_folder: Path, target: Path, details: Details, examples: Sequence[Path], onnx: Path | None = None
) -> None:
    """
    Put the repository together in an empty folder: of the training's folder weights, settings and code; the endpoint's
    handler; example images with their explanations; the exported graphs; the model card.

    Raises:
        ValueError: if there is no example image.
        OSError: if the folder holds no model.
    """
    if not examples:
        raise ValueError("at least one example image is needed for the model card.")
    model = PMViTForImageClassification.from_pretrained(model_folder).eval()
    processor = PMViTImageProcessor.from_pretrained(model_folder)
    (target / "images").mkdir(parents=True)
    for path in model_folder.iterdir():
        if path.name in _FROM_TRAINING or path.suffix == ".safetensors":
            shutil.copyfile(path, target / path.name)
    shutil.copyfile(Path(__file__).with_name("handler.py"), target / "handler.py")
    (target / "requirements.txt").write_text(_REQUIREMENTS)
    if onnx is not None:
        shutil.copytree(onnx, target / "onnx")

    rows, names = [], []
    for path in examples:
        image = load_image(path)
        names.append(f"{path.stem}.png")
        image.save(target / "images" / names[-1])
        found = model.explain(image, min(2, model.config.num_labels), processor)
        maps = zip(found["labels"], found["scores"].tolist(), found["heatmaps"].numpy(), strict=True)
        rows.append(
            [("", image), *((f"{label} {score:.0%}", heatmap_image(heatmap)) for label, score, heatmap in maps)]
        )
    figure(rows, side=192).quantize(128, dither=Image.Dither.NONE).save(target / "images" / "explanations.png")
    (target / "README.md").write_text(render_model_card(model_folder, details, names, onnx is not None), "utf-8")


def push(api: HfApi, folder: Path, details: Details, verify: Callable[[str], None], private: bool = False) -> str:
    """
    Publish a folder as a tagged revision of the Hub.

    All files go into one commit of a pull request. It is verified there, then merged, which moves `main` in one step,
    and `main` is tagged. Interrupted anywhere, `main` is either as before or complete, and the same call goes on.

    Args:
        verify: called with the commit to load; raises if it does not do what the folder does.

    Returns:
        The commit that bears the tag.

    Raises:
        ValueError: if the tag names other contents.
    """
    api.create_repo(details.repo_id, exist_ok=True, private=private)
    refs = api.list_repo_refs(details.repo_id)
    tagged = {ref.name: ref.target_commit for ref in refs.tags}.get(details.tag)
    if tagged is not None:
        if not has_same_files(api, details.repo_id, tagged, folder):
            raise ValueError(f"{details.repo_id} has a tag {details.tag} with other contents: choose a new tag.")
        verify(tagged)
        return tagged

    head = api.model_info(details.repo_id).sha
    if has_same_files(api, details.repo_id, head, folder):  # merged before, and interrupted before the tag
        verify(head)
    else:
        commit = api.create_commit(
            details.repo_id,
            _operations(api, details.repo_id, folder),
            commit_message=f"Publish {details.tag}",
            parent_commit=head,
            create_pr=True,
        )
        try:
            verify(commit.oid)
        except Exception:
            api.change_discussion_status(details.repo_id, commit.pr_num, "closed", comment="It could not be verified.")
            raise
        api.merge_pull_request(details.repo_id, commit.pr_num)
        head = api.model_info(details.repo_id).sha
        if not has_same_files(api, details.repo_id, head, folder):
            raise RuntimeError(
                f"{details.repo_id} was changed by somebody else meanwhile: no tag was set; publish again."
            )
    api.create_tag(details.repo_id, tag=details.tag, revision=head)
    return head


def has_same_files(api: HfApi, repo_id: str, revision: str, folder: Path) -> bool:
    """Whether a revision holds the files of the folder, byte for byte by the Hub's own hashes, and no others."""
    remote = _remote_files(api, repo_id, revision)
    local = _local_files(folder)
    return set(remote) == set(local) and all(_is_same(local[name], remote[name]) for name in local)


def _is_same(path: Path, remote: RepoFile) -> bool:
    content = path.read_bytes()
    if remote.lfs is not None:
        return hashlib.sha256(content).hexdigest() == remote.lfs.sha256
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == remote.blob_id


def _local_files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _remote_files(api: HfApi, repo_id: str, revision: str) -> dict[str, RepoFile]:
    tree = api.list_repo_tree(repo_id, revision=revision, recursive=True)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile) and entry.path != ".gitattributes"}


def _operations(api: HfApi, repo_id: str, folder: Path) -> list[CommitOperationAdd | CommitOperationDelete]:
    local = _local_files(folder)
    gone = set(_remote_files(api, repo_id, "main")) - set(local)
    return [CommitOperationAdd(name, path) for name, path in local.items()] + [
        CommitOperationDelete(name) for name in sorted(gone)
    ]
