import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.evaluation.pseudo_mask_boxes import evaluate_masks
from modeling_pm_vit.pseudo_masks.shards import ShardFolder, encode_mask

BOXES = [[2.0, 4.0, 12.0, 14.0], [2.0, 4.0, 12.0, 14.0], None, [2.0, 4.0, 12.0, 14.0], [2.0, 4.0, 12.0, 14.0]]


def test_boxes_of_masks_against_true_ones(tmp_path):
    features = Features({"label": ClassLabel(names=["a"]), "box": List(Value("float32"))})
    source = DatasetRows(Dataset.from_dict({"label": [0] * 5, "box": BOXES}, features), "photos")
    whole, half, nothing = np.zeros((3, 20, 30), bool)
    whole[4:14, 2:12] = half[4:9, 2:12] = True
    whole[18, 28] = True  # a crumb, which is not the largest
    shards = ShardFolder(tmp_path, "train", 5, 10, ["a"], {})
    masks = [whole, half, whole, None, nothing]
    image = encode_mask(nothing)
    records = [
        {"image": image, "label": 0, "row": i, "mask": m if m is None else encode_mask(m), "mask_score": 1.0}
        for i, m in enumerate(masks)
    ]
    shards.write(range(0, 5), records)
    values = evaluate_masks(tmp_path, "train", source)
    assert values == pytest.approx(
        {"box_acc_30": 0.5, "box_acc_50": 0.5, "box_acc_70": 0.25, "box_acc_v2": 1.25 / 3, "box_acc_v2_of_masks": 5 / 9}
    )
    with pytest.raises(ValueError, match="photos has no column 'boxes'; its columns are label, box"):
        evaluate_masks(tmp_path, "train", source, "boxes")
