"""Imports run one way, as the README says."""

import ast
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From the top down: a part imports parts of later lines only.
LEVELS = (
    ("scripts",),
    ("cli",),
    ("hub", "benchmarks", "experiments"),
    ("training", "evaluation", "inference", "pseudo_masks", "export"),
    ("reporting", "serving"),
    ("explainers", "metrics", "data", "conversion"),
    ("visualization",),
    tuple(sorted(path.stem for path in (ROOT / "modeling_pm_vit").glob("*_pm_vit.py"))),
    ("utils",),
)
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
TRAVELLING = set(LEVELS[7])


def part_of(module: str) -> str | None:
    """The part that a module belongs to; `None` for other libraries and for the package itself."""
    names = module.split(".")
    names = names[1:] if names[0] == "modeling_pm_vit" else names
    return names[0] if names and names[0] in LEVEL else None


def imported(file: Path) -> set[str]:
    """The modules that a file imports, anywhere in it, under their whole names."""
    package = file.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(
                [*package[: len(package) - node.level + 1], node.module or ""] if node.level else [node.module]
            )
            found |= {f"{base.strip('.')}.{alias.name}" for alias in node.names}
    return found


def sources() -> list[Path]:
    folders = ("modeling_pm_vit", "hub", "scripts", "benchmarks", "experiments")
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def test_imports_run_one_way():
    assert len(sources()) > 100
    up = []
    for file in sources():
        own = part_of(".".join(file.relative_to(ROOT).with_suffix("").parts))
        for module in imported(file) if own else ():
            other = part_of(module)
            if other and other != own and not {own, other} <= TRAVELLING and LEVEL[other] <= LEVEL[own]:
                up.append(f"{file.relative_to(ROOT)} imports {module}")
    assert not up, up


def test_the_files_that_travel_import_nothing_else_of_the_package():
    for name in TRAVELLING:
        for module in imported(ROOT / "modeling_pm_vit" / f"{name}.py"):
            assert not module.startswith("modeling_pm_vit.") or part_of(module) in TRAVELLING, f"{name}: {module}"


def test_the_readme_says_so():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    statement = text[text.index("Imports run one way") :].partition(".")[0]
    places = [[statement.index(f"`{part}`") for part in parts] for parts in (*LEVELS[:7], ("utils",))]
    assert all(max(above) < min(below) for above, below in pairwise(places))
