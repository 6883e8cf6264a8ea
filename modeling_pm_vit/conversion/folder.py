"""A conversion from a source to a folder."""

from ..utils.errors import InputError
from .arguments import ConvertArguments
from .converter import Conversion, convert


def convert_to_folder(arguments: ConvertArguments) -> Conversion:
    """
    Convert, and write model and processor to `arguments.output_dir`.

    Raises:
        InputError, NotFoundError: as [`convert`] does, or if the folder is not empty and `force` is not set.
    """
    output = arguments.output_dir
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is not a folder.")
    if not arguments.force and output.is_dir() and any(output.iterdir()):
        raise InputError(f"{output} is not empty: give another folder, or --force to write into it.")
    sizes = arguments.image_size
    size = (sizes[0], sizes[-1]) if sizes else None
    conversion = convert(
        arguments.source, arguments.labels or None, arguments.num_labels, size, arguments.seed, arguments.pooling
    )
    conversion.model.save_pretrained(output)
    conversion.image_processor.save_pretrained(output)
    return conversion
