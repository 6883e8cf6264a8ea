"""Check records that `pm-vit explain --evidence` wrote: compute them again, from the image and the model, and compare.

    pm-vit verify runs/demo records --images photos
    pm-vit verify runs/demo records/records/scan-12.json --images photos

Compared are the hashes of the image, the weights and the maps, the settings of the image processor, the probabilities
of all classes, and the maps. Other versions of the libraries are reported, and are no fault.

Exit status: 0 if all records hold, 1 if one does not, 2 for a wrong call.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..inference import open_predictor
from ..inference.evidence import Computation, Settings, Verified, find_records, verify
from ..inference.photographs import TileOptions
from ..utils.arguments import ArgumentParser, device_option, option, require_device
from ..utils.errors import InputError
from ..utils.threads import choose_threads, threads_option


@dataclass
class VerifyArguments:
    """What to check: see `pm-vit verify --help`."""

    model: str = option(help="Folder or Hub id of the PM-ViT, or folder of the export.", positional=True)
    records: list[Path] = option(
        help="Record files, or folders that `pm-vit explain --evidence` wrote.", positional=True
    )
    images: Path = option(help="Folder of the images: the one that was explained.")
    device: str = device_option("speed")
    num_threads: int | None = threads_option("speed")

    def __post_init__(self) -> None:
        require_device(self.device)
        if not self.records:
            raise InputError("give record files, or a folder that `pm-vit explain --evidence` wrote.")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(VerifyArguments, command="pm-vit verify", description=__doc__)
    given: VerifyArguments = parser.parse(arguments)
    choose_threads(given.num_threads)
    opened: dict[Settings, Computation] = {}

    def opener(settings: Settings) -> Computation:
        if settings not in opened:
            tiles = TileOptions(settings.tile, settings.overlap or 0.0) if settings.tile else None
            predictor = open_predictor(
                given.model,
                backend=settings.backend,
                precision=settings.precision,
                device=given.device,
                keep_aspect_ratio=settings.keep_aspect_ratio,
                tiles=tiles,
            )
            opened[settings] = Computation.of(predictor, given.model)
        return opened[settings]

    results = [verify(file, given.images, opener) for file in tqdm(find_records(given.records), unit="record")]
    for result in results:
        _say(result)
    held = sum(not result.faults for result in results)
    print(f"{held} of {len(results)} records hold")
    return 0 if held == len(results) else 1


def _say(result: Verified) -> None:
    difference = "" if result.difference is None else f" (probabilities differ by at most {result.difference:.1g})"
    if not result.faults:
        print(f"holds: {result.record}{difference}")
    for fault in result.faults:
        print(f"does not hold: {result.record}: {fault}", file=sys.stderr)
    for note in result.notes:
        print(f"note: {result.record}: {note}")
