"""Options of TrainingArguments either work or are refused; none is ignored."""

import pytest
from transformers import TrainerCallback

from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.fixed_options import FIXED_OPTIONS
from modeling_pm_vit.training.run_arguments import PMViTTrainingArguments
from modeling_pm_vit.utils.errors import InputError

OTHER = {"label_names": "species", "include_for_metrics": "inputs", "train_sampling_strategy": "sequential"}
OTHER |= {"length_column_name": "size", "neftune_noise_alpha": "5.0", "hub_strategy": "every_save"}


def parse(*words: str) -> PMViTTrainingArguments:
    return parse_arguments(["--use_cpu", "true", *words])[2]


@pytest.mark.parametrize("name", FIXED_OPTIONS)
def test_a_value_that_would_be_ignored_is_refused_with_the_reason(name):
    value, reason = FIXED_OPTIONS[name]
    other = OTHER.get(name) or str(not value).lower()
    with pytest.raises(InputError, match=rf"^--{name} .* has no effect here: .* Leave the option out\.$") as error:
        parse(f"--{name}", other)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "words", [["--do_train"], ["--do_train", "--do_eval", "true"], ["--remove_unused_columns=false"]]
)
def test_the_value_that_an_option_has_anyway_may_be_given(words):
    parse(*words)


def test_help_leaves_these_options_out(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    assert "--data_seed" in shown
    assert not [name for name in FIXED_OPTIONS if f"--{name}" in shown]


def test_the_seed_of_the_data_and_the_start_of_workers_are_used(run, flags):
    seen = []

    class Look(TrainerCallback):
        def on_train_begin(self, args, state, control, train_dataloader=None, **kwargs):
            seen.append(train_dataloader)
            raise KeyboardInterrupt

    workers = ("--dataloader_num_workers", 1, "--dataloader_multiprocessing_context", "forkserver")
    with pytest.raises(KeyboardInterrupt):
        run(flags, "--data_seed", 7, *workers, callbacks=[Look()])
    assert (seen[0].dataset.seed, seen[0].multiprocessing_context.get_start_method()) == (7, "forkserver")


@pytest.mark.slow
def test_cached_features_are_not_compiled(run, flags):
    with pytest.raises(InputError, match="--feature_epochs runs the layers one by one: leave out --torch_compile"):
        run(flags, "--frozen_layers", 1, "--feature_epochs", 1, "--torch_compile")
