import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_pm_vit.utils.tables import Bold, markdown_table

CELLS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=5) | st.builds(Bold, st.text("ab| ", max_size=3))


def test_columns_are_aligned_and_bold_is_marked():
    assert markdown_table([["", "Value"], ["PM-ViT", Bold("0.9")], ["RISE", "0.85"]]) == (
        "|        | Value   |\n|--------|---------|\n| PM-ViT | **0.9** |\n| RISE   | 0.85    |\n"
    )


def test_the_head_alone_is_a_table():
    assert markdown_table([["a", "bc"]]) == "| a | bc |\n|---|----|\n"


def test_a_cell_cannot_break_its_row():
    assert markdown_table([["a"], ["b|c\nd"]]).splitlines()[2] == "| b\\|c d |"


def test_rows_of_different_lengths_are_an_error():
    with pytest.raises(ValueError):
        markdown_table([["a", "b"], ["c"]])


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_every_line_is_as_long_and_has_every_cell(rows):
    head, rule, *body = markdown_table(rows).splitlines()
    assert len(body) == len(rows) - 1 and len({len(line) for line in (head, rule, *body)}) == 1
    bars = [i for i, letter in enumerate(rule) if letter == "|"]
    for line, row in zip((head, *body), rows, strict=True):
        found = [line[a + 1 : b].strip() for a, b in itertools.pairwise(bars)]
        plain = [text.strip("*") if isinstance(cell, Bold) else text for text, cell in zip(found, row, strict=True)]
        assert [text.replace("\\|", "|") for text in plain] == [" ".join(cell.split()) for cell in row]
