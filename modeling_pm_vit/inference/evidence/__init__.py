"""
Records of explanations that others can check: what was computed, from what, by what, and the maps.

They support review by people and record keeping. That they comply with a law is not claimed.
"""

from .expected import FOLDERS, expected_classes
from .record import Computation, Settings
from .verification import TOLERANCES, Verified, find_records, verify
from .write import write_evidence

__all__ = [
    "FOLDERS",
    "TOLERANCES",
    "Computation",
    "Settings",
    "Verified",
    "expected_classes",
    "find_records",
    "verify",
    "write_evidence",
]
