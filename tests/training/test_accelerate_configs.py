"""The launch settings of `configs/accelerate/`."""

import json
import os
import subprocess
import sys


def test_two_processes_on_a_cpu_make_half_the_steps(tmp_path, request):
    root = request.config.rootpath
    flags = "--train_size 64 --eval_size 21 --num_train_epochs 1 --hidden_size 32 --num_hidden_layers 1 --use_cpu true"
    flags += f" --output_dir {tmp_path} --dataloader_num_workers 0 --dataloader_persistent_workers false"
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    launch += ["--config_file", str(root / "configs" / "accelerate" / "cpu2.yaml")]
    command = [*launch, str(root / "scripts" / "train.py"), str(root / "configs" / "demo.yaml"), *flags.split()]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["global_step"] == 1  # 64 images, 32 a process
    assert done.stdout.count("accuracy ") == 1  # the table, by one of them
