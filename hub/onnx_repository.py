"""The graphs of a model as a repository of their own, which transformers.js loads by its name.

It takes `config.json` from the root of a repository and graphs from its folder `onnx`. In the model's own repository
that `config.json` is PM-ViT's, which it does not know.
"""

import shutil
from pathlib import Path

import yaml

from modeling_pm_vit.conversion.checkpoints import load_model, load_processor
from modeling_pm_vit.export import write_configs
from modeling_pm_vit.serving.exported import GRAPHS, open_export

from .arguments import PublishArguments
from .companions import UNKNOWN, Companion, hashes_of_graphs

_TEXT = """\
The graphs of [{model}](https://huggingface.co/{model}), {tag}, commit `{commit}`, for
[transformers.js](https://huggingface.co/docs/transformers.js) and ONNX Runtime. What the model is for, its data, its
evaluation and its limits are described there.

```js
import {{ AutoModel, AutoProcessor, pipeline, RawImage }} from "@huggingface/transformers";

const classify = await pipeline("image-classification", "{repo_id}");
const classes = await classify("photograph.jpg");

const model = await AutoModel.from_pretrained("{repo_id}");
const processor = await AutoProcessor.from_pretrained("{repo_id}");
const {{ scores, masks }} = await model(await processor(await RawImage.read("photograph.jpg")));
// masks: (1, {classes} classes, rows, columns), the probability of each class at each patch
```

`onnx/example.py` does the same in Python with onnxruntime, NumPy and Pillow.
"""


def stage_onnx_repository(arguments: PublishArguments, repository: Path, target: Path) -> Companion:
    """
    Put the repository together.

    Args:
        repository: the folder of the model that is published, with graphs.
        target: a new folder.
    """
    assert arguments.onnx_repo is not None
    export = open_export(repository)
    shutil.copytree(export.folder, target / GRAPHS)
    model, processor = load_model(repository), load_processor(repository)
    write_configs(model, processor, target, export.description["files"])
    licence = {name: getattr(arguments, name) for name in ("license", "license_name", "license_link")}
    metadata = {
        "library_name": "transformers.js",
        "pipeline_tag": "image-classification",
        **{name: value for name, value in licence.items() if value is not None},
        "base_model": arguments.repo_id,
        "base_model_relation": "quantized",
        "tags": ["pm-vit", "explainability", "vision", "onnx"],
    }
    text = _TEXT.format(
        model=arguments.repo_id,
        tag=arguments.tag,
        commit=UNKNOWN,
        repo_id=arguments.onnx_repo,
        classes=model.config.num_labels,
    )
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    title = arguments.onnx_repo.rpartition("/")[2]
    lines = [f"---\n{front}---\n", f"# {title}\n", text, *hashes_of_graphs(export.description), ""]
    (target / "README.md").write_text("\n".join(lines), "utf-8")
    return Companion(target, arguments.onnx_repo)
