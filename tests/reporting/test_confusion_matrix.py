import csv

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.reporting.confusion_matrix import write_confusion_matrix


@pytest.mark.parametrize("classes", [2, 35])
def test_the_matrix_is_a_table_and_a_picture(tmp_path, classes):
    confusion, names = np.arange(classes**2).reshape(classes, classes), [f"class, {c}" for c in range(classes)]
    table, picture = write_confusion_matrix(tmp_path / "new", confusion, names)
    with table.open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["true class", *names] and [row[0] for row in rows] == names
    assert np.array_equal(np.array([row[1:] for row in rows], int), confusion)
    with Image.open(picture) as image:
        assert min(image.size) > 150 and len(image.convert("RGB").getcolors(10**6)) > 5
