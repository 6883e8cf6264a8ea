from html.parser import HTMLParser

from modeling_pm_vit.page import write_page


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
