from html.parser import HTMLParser

from modeling_pm_vit.utils.html import write_page
from modeling_pm_vit.utils.tables import Bold


def test_names_and_captions_cannot_break_the_page(tmp_path):
    cards = [
        {
            "title": "<script>alert(1)</script>.jpg",
            "images": [{"source": "a folder/b#1?.png", "caption": 'tit & "owl"', "score": 0.25}],
        },
        {"title": "broken", "failed": "<b>no image</b>"},
    ]
    path = write_page(tmp_path / "new" / "index.html", "T & T", cards, notes=["<i>"], table=[["a", "b"], ["<", ">"]])

    tags, sources, text = [], [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            tags.append(tag)
            sources.extend(value for name, value in attributes if name in ("src", "href"))

        def handle_data(self, data):
            text.append(data)

    Reader().feed(path.read_text())
    assert not {"script", "b", "i"} & set(tags)
    assert sources == ["a%20folder/b%231%3F.png"] * 2
    for expected in ("<script>alert(1)</script>.jpg", 'tit & "owl"', "<b>no image</b>", "T & T", "<", ">"):
        assert expected in text


def test_a_number_stays_with_its_unit_and_an_interval_is_whole(tmp_path):
    card = {"title": "Each class", "table": [["", "recall"], ["a b", "75.2 % [66.4, 82.4]"], ["mean", "+0.3 ± 0.1"]]}
    page = write_page(tmp_path / "index.html", "Evaluated", [card]).read_text()
    assert "<td>75.2\N{NO-BREAK SPACE}% [66.4,\N{NO-BREAK SPACE}82.4]</td>" in page and "<td>a b</td>" in page
    assert "<td>+0.3\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.1</td>" in page


def test_a_card_may_hold_a_paragraph_and_a_table(tmp_path):
    card = {"title": "Pointing", "text": "A <share>.", "table": [["", "Energy"], ["PM-ViT", Bold("<63.6")]]}
    notes = ["Plain <note>.", Bold("Bold <note>.")]
    page = write_page(tmp_path / "index.html", "Evaluated", [card, {"title": "Nothing"}], notes).read_text()
    assert "<p>A &lt;share&gt;.</p>" in page
    assert "<p>Plain &lt;note&gt;.</p>" in page and "<p><b>Bold &lt;note&gt;.</b></p>" in page
    assert "<th>Energy</th>" in page
    assert "<td><b>&lt;63.6</b></td>" in page
    assert page.count("<table>") == 1
