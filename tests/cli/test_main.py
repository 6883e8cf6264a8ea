"""What all commands have in common: the listing, help, versions, extras that are missing, errors."""

import sys
from importlib import import_module

import pytest

import modeling_pm_vit
from modeling_pm_vit.cli import main as dispatcher
from modeling_pm_vit.cli.commands import COMMANDS
from modeling_pm_vit.utils.arguments import ArgumentParser
from modeling_pm_vit.utils.errors import InputError


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_the_commands_are_listed_in_a_line_each(call, arguments):
    done = call(*arguments)
    assert (done.status, done.err) == (0, "")
    for name, command in COMMANDS.items():
        (line,) = (line for line in done.out.splitlines() if line.split()[:1] == [name])
        assert line.endswith(command.summary) and len(line) <= 120


def test_the_version(call):
    assert call("--version") == (0, f"pm-vit {modeling_pm_vit.__version__}\n", "")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("expplain", "did you mean explain?"),
        ("pseudo_masks", "did you mean pseudo-masks?"),
        ("qqq", "there are explain,"),
    ],
)
def test_an_unknown_command(call, name, hint):
    done = call(name)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"pm-vit: there is no command {name!r}; {hint}")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command(call, name):
    done = call(name, "--help")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"usage: pm-vit {name} ")
    assert lines[2] == import_module(f"modeling_pm_vit.cli.{name.replace('-', '_')}").__doc__.splitlines()[0]
    assert not any(folder in done.out for folder in ("scripts/", "configs/", "docs/"))  # not installed
    groups = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert groups[0] == "options:" and len(groups) == len(set(groups))
    assert len(groups) >= 2 or name == "prepare-imagenet-s"
    flat = " ".join(done.out.split())
    assert "(default: None)" not in flat and "(default: False)" not in flat and "(default: [])" not in flat
    assert "--output_dir" in flat or name in ("publish", "verify")


def test_the_help_of_training_begins_with_the_package(call):
    out = call("train", "--help").out
    places = [
        out.index(f"\n{title}:") for title in ("model", "data", "training", "options of transformers.TrainingArguments")
    ]
    assert places == sorted(places)
    own = out[: places[-1]]
    assert "--learning_rate" in own and "--mask_rate" in own and "--layer_decay" in own
    assert "--adam_beta2" not in own and "--adam_beta2" in out


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("train", "accelerate", "pm-vit train: training needs accelerate: pip install 'pm-vit[train]'\n"),
        ("evaluate", "cv2", "pm-vit evaluate: evaluation needs opencv-python: pip install 'pm-vit[eval]'\n"),
        ("export", "onnxscript", "pm-vit export: export needs onnxscript: pip install 'pm-vit[export]'\n"),
        ("compose-scenes", "datasets", "needs datasets: pip install 'pm-vit[train]'\n"),
        ("pseudo-masks", "datasets", "needs datasets: pip install 'pm-vit[train]'\n"),
        ("prepare-imagenet-s", "pyarrow", "needs pyarrow: pip install 'pm-vit[train]'\n"),
    ],
)
def test_a_missing_extra_is_named_with_its_installation(call, monkeypatch, name, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    done = call(name, "--help")
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(message) and done.err.count("\n") == 1


def test_parquet_files_and_onnx_graphs_need_extras_of_their_own(call, monkeypatch, model, tmp_path):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    done = call("explain", model, "--data", tmp_path)
    assert done.err == "pm-vit explain: explaining to parquet files needs accelerate: pip install 'pm-vit[train]'\n"
    (tmp_path / "photo.png").touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = call("explain", model, tmp_path / "photo.png", "--backend", "onnx")
    assert done.err == "pm-vit explain: the backend onnx needs onnxruntime: pip install 'pm-vit[export]'\n"


def test_an_error_of_the_user_is_one_line_and_a_fault_keeps_its_traceback(call, monkeypatch):
    def broken(error: Exception):
        def main(arguments):
            raise error

        return main

    command = import_module("modeling_pm_vit.cli.convert")
    monkeypatch.setattr(command, "main", broken(InputError("over\n  two lines")))
    assert call("convert") == (2, "", "pm-vit convert: over two lines\n")
    for error in (ValueError("a fault"), KeyError("image"), ImportError("numpy"), FileNotFoundError("file")):
        monkeypatch.setattr(command, "main", broken(error))
        with pytest.raises(type(error)):
            call("convert")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interruption_is_one_line_that_says_how_to_continue(call, monkeypatch, name):
    def interrupted(arguments):
        raise KeyboardInterrupt(*arguments)

    monkeypatch.setattr(import_module(f"modeling_pm_vit.cli.{name.replace('-', '_')}"), "main", interrupted)
    hint = COMMANDS[name].if_interrupted
    assert call(name) == (130, "", f"\npm-vit {name}: interrupted. {hint}".rstrip() + "\n")
    assert call(name, "Where.").err == f"\npm-vit {name}: interrupted. Where.\n"
    monkeypatch.setenv("RANK", "1")  # the first process of a launch speaks
    assert call(name) == (130, "", "")


def test_the_first_process_of_a_launch_speaks_first(call, monkeypatch):
    """Most errors happen in all processes; those of another process are printed too, later."""
    waited = []
    monkeypatch.setattr(dispatcher.time, "sleep", waited.append)
    for rank, expected in (("0", []), ("3", [15])):
        monkeypatch.setenv("RANK", rank)
        assert call("explain").status == 2
        assert waited == expected


def test_the_scripts_call_the_commands(request):
    scripts = request.config.rootpath / "scripts"
    names = {name.replace("-", "_") for name in COMMANDS}
    others = {"demo", "demo_train", "run_notebooks", "ship_pretrained"}
    assert {path.stem for path in scripts.glob("*.py")} == names | others
    for name in COMMANDS:
        text = (scripts / f"{name.replace('-', '_')}.py").read_text()
        assert f'main(["{name}", *sys.argv[1:]])' in text and len(text.splitlines()) < 10


def test_parsers_are_made_by_one_class():
    with pytest.raises(InputError, match="there is no option --nothing"):
        ArgumentParser().parse(["--nothing"])
