"""The documentation: snippets run as printed, commands are parsed, names and links lead somewhere."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification, PMViTImageProcessor, load_image
from modeling_pm_vit.cli.commands import COMMANDS
from modeling_pm_vit.cli.main import main
from modeling_pm_vit.data.layouts import LAYOUTS
from modeling_pm_vit.data.synthetic import CLASSES
from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.registry import METRICS
from modeling_pm_vit.utils.arguments import ArgumentParser

ROOT = Path(__file__).parents[1]
PAGES = sorted(page.relative_to(ROOT).as_posix() for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GUIDES = [page for page in PAGES if not page.startswith("docs/experiments/")]
_VALUES = {"$seed": "0", "$variants": "none", "…": "joint"}  # of what a reader fills in
NOT_RUN = ("google/", "facebook/", "from handler")  # a download, or a file that lies elsewhere


def snippets(page: str, language: str) -> list[str]:
    """The fenced blocks of a language, dedented."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def runnable(page: str) -> list[str]:
    return [snippet for snippet in snippets(page, "python") if not any(name in snippet for name in NOT_RUN)]


def command_lines(page: str) -> list[list[str]]:
    """The words of each command of the bash blocks, comments left out. A value in quotes may run over several lines."""
    found = []
    for block in snippets(page, "bash"):
        line = ""
        for part in block.replace("\\\n", " ").splitlines():
            line = f"{line} {part}".strip()
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # the quotation goes on
                continue
            found, line = [*found, words] if words else found, ""
        assert not line, f"{page}: {line}"
    return [[_VALUES.get(word, word) for word in words] for words in found]


def package_commands() -> list[tuple[str, list[str]]]:
    """Every use of `pm-vit COMMAND`, directly, by a script or by the module; those in the headers of configs too."""
    found = []
    for config in sorted((ROOT / "configs").glob("*.yaml")):
        header = re.sub(r"^# *(Command:)? *", "", config.read_text(encoding="utf-8"), flags=re.MULTILINE)
        lines = header.replace("\\\n", " ").splitlines()
        commands = [line.partition(" (`")[0] for line in lines if line.startswith("pm-vit ")]
        found += [(f"configs/{config.name}", shlex.split(command)[1:]) for command in commands]
    for page in PAGES:
        for words in command_lines(page):
            for place, word in enumerate(words):
                script = re.fullmatch(r"scripts/(\w+)\.py", word)
                if (word, place) == ("pm-vit", 0) or words[place - 1 : place + 1] == ["-m", "modeling_pm_vit.cli"]:
                    found.append((page, words[place + 1 :]))
                elif script and not script[1].startswith(("demo", "ship")):
                    found.append((page, [script[1].replace("_", "-"), *words[place + 1 :]]))
    return found


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder as `make demo-train` leaves it, but for an untrained model, and some photographs."""
    config = PMViTConfig(
        **{"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2},
        **{"id2label": dict(enumerate(CLASSES)), "label2id": {name: i for i, name in enumerate(CLASSES)}},
    )
    PMViTForImageClassification(config).save_pretrained(tmp_path / "runs" / "demo")
    PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8).save_pretrained(tmp_path / "runs" / "demo")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name in ("train/cup-01", "train/cup-02", "train/pen-01", "validation/cup-21", "validation/pen-21"):
        file = tmp_path / "photos" / f"{name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((64, 64), 50).convert("RGB").save(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_snippets(page: str, place: Path) -> dict:
    script = place / "snippets.py"
    script.write_text("\n".join(runnable(page)))
    return runpy.run_path(str(script))


@pytest.mark.parametrize("page", [page for page in GUIDES if runnable(page)])
def test_python_snippets_run_as_printed(page, place):
    if "runs/all" in "".join(runnable(page)):
        assert (
            main(["explain", "runs/demo", "examples/scene*.png", "--format", "parquet", "--output_dir", "runs/all"])
            == 0
        )
    result = run_snippets(page, place)
    if "explanation" in result:
        assert len(result["explanation"]["labels"]) == 2
        image = load_image(result["explanation"].image)
        assert result["explanation"]["heatmaps"].shape == (2, image.height, image.width)
    if page in ("README.md", "docs/index.md", "docs/tutorials/getting-started.md"):
        (name,) = re.findall(r'explanation\.save\("(.+?)"\)', "\n".join(runnable(page)))
        assert Image.open(name).size == image.size
    if page == "docs/how-to/explain-many-photographs.md":
        assert result["heatmaps"].shape == (1, 256, 256)


@pytest.mark.slow
def test_the_tutorial_on_training_can_be_followed(place):
    page = "docs/tutorials/train-your-first-model.md"
    run_snippets(page, place)
    commands = {words[1]: words[1:] for words in command_lines(page) if words[0] == "pm-vit" and "--bf16" not in words}
    small = "--model runs/demo --image_size 32 --frozen_layers 1 --feature_epochs 1 --max_steps 2 --report_to none"
    assert main([*commands["train"], *small.split(), "--use_cpu", "true"]) == 0
    assert main([*commands["explain"], "--device", "cpu"]) == 0
    assert Path("runs/photos-explained/index.html").is_file()


class ParsedError(Exception):
    """The command line was understood."""


@pytest.mark.parametrize(
    ("page", "words"), [pytest.param(page, words, id=f"{page}-{words[:2]}") for page, words in package_commands()]
)
def test_commands_are_parsed(page, words, tmp_path, monkeypatch):
    parse = ArgumentParser.parse

    def parse_only(parser: ArgumentParser, arguments=None):
        parse(parser, arguments)
        raise ParsedError

    monkeypatch.setattr(ArgumentParser, "parse", parse_only)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "settings.yaml").write_text("data: photos")
    (tmp_path / "names.txt").write_text("cup\npen\n")
    monkeypatch.chdir(tmp_path)
    if words in ([], ["--version"]) or words[1:2] == ["--help"]:
        return
    with pytest.raises(ParsedError):
        main(words)


def test_the_commands_of_the_experiment_are_parsed():
    from experiments.mask_loss.arguments import parse_arguments as split_arguments
    from modeling_pm_vit.training.arguments import parse_arguments

    lines = [words for page in PAGES for words in command_lines(page) if words[1:3] == ["-m", "experiments.mask_loss"]]
    assert len(lines) >= 3
    for words in lines:
        _, flags = split_arguments(words[3:], "")
        parse_arguments([str(ROOT / flags[0]), *flags[1:]])


def test_benchmarks_are_parsed(monkeypatch):
    from benchmarks.__main__ import parse_arguments

    texts = [(ROOT / page).read_text(encoding="utf-8") for page in PAGES]
    lines = [line for text in texts for line in re.findall(r"python -m benchmarks (\w[^`\n]+)", text)]
    assert len(lines) >= 3
    for line in lines:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *shlex.split(line, comments=True)])
        parse_arguments()


def test_options_in_the_text_exist(capsys, monkeypatch):
    from benchmarks.__main__ import parse_arguments

    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
    for name in ("overhead", "sweep", "explain", "device", "check"):
        monkeypatch.setattr(sys, "argv", ["benchmarks", name, "--help"])
        with pytest.raises(SystemExit):
            parse_arguments()
    known = set(re.findall(r"--\w+", capsys.readouterr().out)) | {"--version", "--output", "--foo_bar", "--foo"}
    for page in GUIDES:
        if page not in ("CHANGELOG.md", "CONTRIBUTING.md"):
            spans = re.findall(r"`([^`\n]+)`", (ROOT / page).read_text(encoding="utf-8"))
            spans = [span for span in spans if span.startswith(("--", "pm-vit "))]
            unknown = {option for span in spans for option in re.findall(r"--\w+", span)} - known
            assert not unknown, f"{page}: {unknown}"


def test_everything_is_listed():
    text = {page: (ROOT / page).read_text(encoding="utf-8") for page in GUIDES}
    for command in COMMANDS:
        assert f"<!-- pm-vit {command} -->" in text["docs/reference/cli.md"], command
        assert f"`pm-vit {command}`" in text["README.md"] or command == "prepare-imagenet-s", command
    for metric in METRICS:
        assert f"`{metric}`" in text["docs/how-to/evaluate.md"], metric
    for layout in LAYOUTS:
        assert f"`{layout}`" in text["docs/how-to/evaluate.md"], layout
    for explainer in EXPLAINERS:
        assert f"| `{explainer}` |" in text["docs/reference/explainers.md"], explainer
        assert f"`{explainer}`" in text["docs/index.md"], explainer


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#", "mailto:")):
            file = ((ROOT / page).parent / target.partition("#")[0]).resolve()
            generated = ROOT / "docs" in file.parents and (ROOT / f"{file.stem.upper()}.md").is_file()
            assert file.exists() or generated, f"{page}: {target}"


@pytest.mark.parametrize("page", [page for page in GUIDES if page != "CHANGELOG.md"])
def test_files_and_targets_are_there(page):
    text = re.sub(r"\]\([^)]*\)", "]", (ROOT / page).read_text(encoding="utf-8"))
    folders = "benchmarks|configs|docs|examples|experiments|hub|modeling_pm_vit|scripts|tests"
    for path in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]+\.\w+)", text):
        assert re.search(r"[A-Z]{4}", path) or (ROOT / path).exists(), f"{page}: {path}"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in command_lines(page):
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile, f"{page}: make {words[1]}"
