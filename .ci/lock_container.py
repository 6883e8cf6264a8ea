"""Writes hub/container/requirements.txt: the newest versions of what the container needs, with the hashes of the files.

    python .ci/lock_container.py
    python .ci/lock_container.py --base $(docker buildx imagetools inspect python:3.13-slim-bookworm \\
        --format '{{.Manifest.Digest}}')

Resolves the extra `serve` for the Python of the container on two kinds of processors, with the index that pip uses.
With `--base` it writes the digest of the base image into the Dockerfile instead.
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTAINER = ROOT / "hub" / "container"
PLATFORMS = ("x86_64", "aarch64")


def resolved(wanted: list[str], python: str, processor: str) -> dict[str, tuple[str, str]]:
    """By name: version and hash of the file."""
    target = [f"--platform=manylinux_2_{glibc}_{processor}" for glibc in (17, 27, 28)]
    target += [f"--platform=manylinux2014_{processor}", f"--python-version={python}", "--only-binary=:all:"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--target=none"]
    done = subprocess.run([*command, *target, "--report=-", *wanted], check=True, capture_output=True, text=True)
    return {
        found["metadata"]["name"].lower(): (
            found["metadata"]["version"],
            found["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for found in json.loads(done.stdout)["install"]
    }


def pin_base(dockerfile: Path, digest: str) -> None:
    """Write the digest of the base image into a Dockerfile."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        sys.exit(f"--base: expected sha256: and 64 hexadecimal digits, got {digest!r}.")
    text = dockerfile.read_text()
    dockerfile.write_text(re.sub(r"^(ARG BASE=[^@\s]+)\S*$", rf"\1@{digest}", text, count=1, flags=re.MULTILINE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", metavar="DIGEST", help="digest of the base image, sha256:...")
    digest = parser.parse_args().base
    if digest is not None:
        pin_base(CONTAINER / "Dockerfile", digest)
        return
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    python = re.search(r"^ARG BASE=python:([\d.]+)", (CONTAINER / "Dockerfile").read_text(), re.MULTILINE)
    assert python
    found = [resolved(extras["serve"], python[1], processor) for processor in PLATFORMS]
    lines = [f"# Written by .ci/lock_container.py, for Python {python[1]} on {' and '.join(PLATFORMS)}."]
    for name in sorted({name for one in found for name in one}):
        versions = {one[name][0] for one in found if name in one}
        if len(versions) > 1:
            sys.exit(f"{name} has other versions on other processors: {', '.join(sorted(versions))}")
        hashes = sorted({one[name][1] for one in found if name in one})
        lines.append(f"{name}=={versions.pop()} \\")
        lines += [f"    --hash=sha256:{value} \\" for value in hashes[:-1]] + [f"    --hash=sha256:{hashes[-1]}"]
    (CONTAINER / "requirements.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
