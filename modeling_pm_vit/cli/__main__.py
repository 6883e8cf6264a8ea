"""`python -m modeling_pm_vit.cli`, the same as `pm-vit`."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
