"""Tables of text. One form for files and terminals: Markdown, with columns aligned."""

from collections.abc import Sequence


class Bold(str):
    """A cell or a paragraph in bold, in Markdown and on an HTML page (`html.write_page`)."""


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """
    Args:
        rows: of cells, equally many in each row; the first row is the head.

    Returns:
        A line for each row and one below the head, with a newline after the last one.
    """
    cells = [[_markdown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    head, *body = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in cells]
    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "".join(f"{line}\n" for line in (head, rule, *body))


def _markdown(cell: str) -> str:
    text = " ".join(str(cell).split()).replace("|", "\\|")
    return f"**{text}**" if isinstance(cell, Bold) and text else text
