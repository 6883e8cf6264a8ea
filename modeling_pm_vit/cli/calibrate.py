"""Calibrate a PM-ViT on held-out images: a temperature for the classes, one for the maps, and when it does not know.

    pm-vit calibrate runs/photos --data photos --split validation
    pm-vit calibrate runs/photos --data photos --split test --report_only     # how well they do on other images

What is found is written to the model's config.json, and used by everything that explains with it: PyTorch, exported
graphs, the endpoint, the browser page. No weight changes, and neither does the order of the classes of an image.
"""

from collections.abc import Sequence

from ..evaluation.calibration import CalibrationArguments, calibrate
from ..utils.arguments import ArgumentParser
from ..utils.tables import markdown_table
from ..utils.threads import choose_threads


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(CalibrationArguments, command="pm-vit calibrate", description=__doc__)
    given: CalibrationArguments = parser.parse(arguments)
    choose_threads(given.num_threads)
    found = calibrate(given)
    for table in found.tables:
        print(markdown_table(table))
    if "maps" not in found.temperatures:
        print("maps: not calibrated; no image has a mask to the pixel.")
    for name, value in found.settings.items():
        print(f"{name}: {value}")
    if not given.report_only:
        print(f"stored in {given.model}/config.json; what was exported or published before has the old probabilities")
    print(f"report and reliability diagrams: {(given.folder / 'index.html').resolve()}")
    return 0
