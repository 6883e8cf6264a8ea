import pytest

from modeling_pm_vit.training.arguments import parse_arguments


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


def test_a_misspelt_setting_is_named(config):
    with open(config, "a") as file:
        file.write("hiden_size: 3\n")
    with pytest.raises(ValueError, match="hiden_size"):
        parse_arguments([config])


@pytest.mark.parametrize("name", ["demo", "cub10"])
def test_the_configs_of_the_repository_parse(name, request):
    parse_arguments([str(request.config.rootpath / "configs" / f"{name}.yaml")])
