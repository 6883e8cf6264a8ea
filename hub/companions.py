"""What is published beside a model, once its commit is known: Spaces, and the graphs as a repository of their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Sdk = Literal["static", "gradio"]
UNKNOWN = "0" * 40  # in place of the commit of the model


@dataclass(frozen=True)
class Companion:
    """A folder to publish, and the repository of the Hub that gets it; `sdk` is that of a Space, else None."""

    folder: Path
    repo_id: str
    sdk: Sdk | None = None

    def pin(self, commit: str) -> None:
        """Write the commit of the model into the files."""
        for name in ("README.md", "model.json"):
            if (self.folder / name).is_file():
                text = (self.folder / name).read_text("utf-8")
                (self.folder / name).write_text(text.replace(UNKNOWN, commit), "utf-8")


def hashes_of_graphs(description: dict[str, dict[str, dict[str, str]]]) -> list[str]:
    """For a `README.md`: the files of the graphs and their hashes, from `model.json`."""
    files, agreement = description["files"], description["agreement"]
    return [f"- `{file}`: SHA-256 {agreement[name]['sha256']}" for name, file in files.items()]
