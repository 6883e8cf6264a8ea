"""Libraries of optional extras, imported when they are needed."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from .errors import MissingExtraError

# Modules whose name differs from that of the library.
_LIBRARIES = {
    "cv2": "opencv-python",
    "pytorch_grad_cam": "grad-cam",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def import_extra(module: str, work: str, extra: str) -> ModuleType:
    """
    Import a module of an optional extra.

    Args:
        module: name of the module.
        work: what needs it, for the message: `"the explainer grad-cam"`.
        extra: extra of this package that installs it.

    Raises:
        MissingExtraError: if it is not installed; the message has the command to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise _missing(module, work, extra) from error


def require(work: str, extra: str, *modules: str) -> None:
    """
    Check that modules are installed, without importing them.

    Raises:
        MissingExtraError: if one is not installed; the message names the first and has the command to install it.
    """
    for module in modules:
        if find_spec(module) is None:
            raise _missing(module, work, extra)


def _missing(module: str, work: str, extra: str) -> MissingExtraError:
    top = module.partition(".")[0]
    return MissingExtraError(f"{work} needs {_LIBRARIES.get(top, top)}: pip install 'pm-vit[{extra}]'")
