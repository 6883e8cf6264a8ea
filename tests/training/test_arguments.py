import pytest

from modeling_pm_vit.training import run_arguments
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run_arguments import device_defaults


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"hidden_size: 32\nlearning_rate: 0.5\nuse_cpu: true\nmask_column: box\noutput_dir: {tmp_path}\n")
    return str(path)


def test_flags_win_over_the_file(config):
    model, data, training = parse_arguments([config, "--learning_rate", "0.25", "--data", "elsewhere"])
    assert (model.hidden_size, data.mask_column, data.data) == (32, "box", "elsewhere")
    assert training.learning_rate == 0.25
    assert training.use_cpu


def test_an_unknown_setting_of_the_file_is_named(config):
    with open(config, "a") as file:
        file.write("hiden_size: 3\n")
    with pytest.raises(ValueError, match="hiden_size"):
        parse_arguments([config])


def test_the_configs_of_the_repository_parse_and_say_what_they_cost(request, tmp_path):
    configs = sorted((request.config.rootpath / "configs").glob("*.yaml"))
    assert len(configs) >= 5
    for config in configs:
        parse_arguments([str(config), "--use_cpu", "true", "--output_dir", str(tmp_path)])
    for config in [*configs, *(request.config.rootpath / "configs" / "accelerate").glob("*.yaml")]:
        header = config.read_text().split("\n\n")[0]
        assert all(f"# {word}:" in header for word in ("Command", "Cost", "Result")), config


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], None),
        (["--resume_from_checkpoint"], "last"),
        (["--resume_from_checkpoint", "--seed", "1"], "last"),
        (["--resume-from-checkpoint"], "last"),
        (["--resume-from-checkpoint", "--seed", "1"], "last"),
        (["--resume_from_checkpoint", "true"], "last"),
        (["--resume_from_checkpoint", "False"], None),
        (["--resume_from_checkpoint", "runs/x/checkpoint-3"], "runs/x/checkpoint-3"),
    ],
)
def test_resuming_needs_no_value(config, flags, expected):
    assert parse_arguments([config, *flags])[2].resume_from_checkpoint == expected


def test_resuming_in_a_file(config):
    with open(config, "a") as file:
        file.write("resume-from-checkpoint: true\n")
    assert parse_arguments([config])[2].resume_from_checkpoint == "last"


@pytest.mark.parametrize("prefix", ["", "eval_"])
def test_a_config_may_choose_the_best_model_by_a_former_name(prefix):
    _, _, args = parse_arguments(["--metric_for_best_model", f"{prefix}energy_inside"])
    assert args.metric_for_best_model == f"{prefix}energy_pointing_game"


def test_without_a_gpu_nothing_is_set_for_one(config):
    training = parse_arguments([config])[2]
    assert (training.bf16, training.tf32, training.dataloader_num_workers) == (False, None, 0)
    for flag in (["--bf16"], ["--bf16", "true"]):
        assert parse_arguments([config, *flag, "--dataloader_num_workers", "3"])[2].bf16 is True


@pytest.mark.parametrize(("cores", "processes", "workers"), [(64, "1", 16), (16, "8", 1), (2, "1", 1), (1, "1", 1)])
def test_a_gpu_gets_bfloat16_and_a_loading_process_for_each_core(monkeypatch, cores, processes, workers):
    monkeypatch.setattr(run_arguments, "usable_cores", lambda: cores)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert device_defaults(True) == {"bf16": True, "tf32": True, "dataloader_num_workers": workers}
    assert not device_defaults(True, fp16=True)["bf16"]
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (7, 5))
    assert device_defaults(True)["tf32"] is None
