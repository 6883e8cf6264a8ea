"""The same as `pm-vit shortcuts`, for launchers of a script: `torchrun`, `accelerate launch`."""

import sys

from modeling_pm_vit.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["shortcuts", *sys.argv[1:]]))
