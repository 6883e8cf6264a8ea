"""Check whether a PM-ViT recognises classes by their objects, or by rulers, marks and borders: a table and a page.

    pm-vit shortcuts runs/photos --data photos --split test
    pm-vit shortcuts runs/photos --data photos --mask_column box --mask_encoding box --explainer grad-cam

For each class: the share of its map and of the evidence off the object and at the border, how often an image is still
recognised with the object hidden, and the images where most of the evidence lies elsewhere.
"""

from collections.abc import Sequence

from ..evaluation.shortcuts import ShortcutArguments, check_shortcuts
from ..evaluation.shortcuts.report import class_table, findings_of
from ..utils.arguments import ArgumentParser
from ..utils.tables import markdown_table
from ..utils.threads import choose_threads


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(ShortcutArguments, command="pm-vit shortcuts", description=__doc__)
    given: ShortcutArguments = parser.parse(arguments)
    choose_threads(given.num_threads)
    classes = check_shortcuts(given)
    print(markdown_table(class_table(classes)))
    for finding in findings_of(classes):
        print(finding)
    print(f"examples: {(given.folder / 'index.html').resolve()}")
    return 0
