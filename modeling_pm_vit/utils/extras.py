"""Libraries that only some explainers need."""

from importlib import import_module
from types import ModuleType


def import_extra(module: str, package: str) -> ModuleType:
    """
    Raises:
        ImportError: where the module is missing; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"this explainer needs {package}: pip install 'pm-vit[eval]'") from error
