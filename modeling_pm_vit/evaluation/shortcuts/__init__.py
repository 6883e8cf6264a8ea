"""Shortcuts: does a model recognise a class by its object, or by what else is in its images?"""

from .arguments import ShortcutArguments
from .run import check_shortcuts

__all__ = ["ShortcutArguments", "check_shortcuts"]
