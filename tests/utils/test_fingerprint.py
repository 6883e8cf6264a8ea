import pytest

from modeling_pm_vit.utils.fingerprint import place_settings


@pytest.mark.parametrize(
    "place", ["/home/somebody/scans", "./scans", "~/scans", "a/b/scans", "somebody/scans", "/home/somebody/scans/"]
)
def test_of_a_path_only_the_last_part_is_stored(place, tmp_path, monkeypatch):
    (tmp_path / "somebody" / "scans").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    settings = place_settings("data", place)
    assert settings["data"] == "scans"
    assert "somebody" not in str(settings)
    assert settings["data_fingerprint"] != place_settings("data", f"/other/{place}")["data_fingerprint"]


def test_other_names_are_stored_as_they_are():
    assert place_settings("data", "synthetic") == {"data": "synthetic"}
    assert place_settings("data", "org/birds") == {"data": "org/birds"}
    assert place_settings("source", "/a/x.jpg", "b/*.png")["source"] == "x.jpg, *.png"
