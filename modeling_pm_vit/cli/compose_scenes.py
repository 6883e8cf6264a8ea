"""Paste objects with known masks on photographs: scenes of several classes, to train and evaluate on.

    pm-vit compose-scenes --objects path/to/eth80 --backgrounds path/to/photographs --num_scenes 480 \\
        --output_dir runs/scenes

Writes OUTPUT_DIR/SPLIT.parquet with the columns image, label (of the large object) and mask (class index + 1, 0
elsewhere), which training and evaluation read with --mask_encoding class_id.
"""

from collections.abc import Sequence

from ..data.arguments import SceneArguments
from ..data.columns import Columns, require_columns
from ..data.scenes import compose_scenes
from ..data.sources import open_rows
from ..utils.arguments import ArgumentParser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(SceneArguments, command="pm-vit compose-scenes", description=__doc__)
    given: SceneArguments = parser.parse(arguments)
    objects = open_rows(given.objects, given.split, label_column=given.label_column, class_names=given.names)
    backgrounds = open_rows(given.backgrounds, given.split, label_column=None)
    columns = {"--image_column": given.image_column}
    require_columns(backgrounds.name, backgrounds.features, columns)
    columns |= {"--label_column": given.label_column, "--mask_column": given.mask_column}
    require_columns(objects.name, objects.features, columns)
    composed = compose_scenes(
        objects,
        backgrounds,
        given.num_scenes,
        given.image_size,
        given.max_objects,
        given.seed,
        Columns(given.image_column, given.label_column, given.mask_column),
        given.mask_format("binary"),
        given.empty_classes,
    )
    given.output_dir.mkdir(parents=True, exist_ok=True)
    file = given.output_dir / f"{given.split}.parquet"
    composed.to_parquet(file)
    print(f"{len(composed)} scenes: {file.resolve()}")
    return 0
