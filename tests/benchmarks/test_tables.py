from benchmarks.plot import plot_ratios
from benchmarks.tables import markdown

RESULTS = {
    "machine": {"device": "cpu", "threads": 1},
    "rise_masks": 32,
    "pairs": {"x": {"ratio": 2.0, "low": 1.5, "high": 30.0, "rounds": 5, "ours_seconds": 0.5, "theirs_seconds": 0.25}},
    "images_per_second": {"x": 4.0, "alone": 8.0},
    "skipped": {"y": "out of memory"},
}


def test_everything_found_is_in_the_table():
    text = markdown(RESULTS)
    assert text.startswith("device cpu, threads 1\n")
    assert "- rise_masks: 32" in text
    assert "| x     | 2.000 | 1.500 … 30.000 | 5      | 0.5     | 0.25      | 4                 |" in text
    assert "| alone |" in text
    assert text.endswith("- left out: y: out of memory")
    assert "compile, s" not in text


def test_the_time_of_compiling_has_a_column_of_its_own():
    pair = RESULTS["pairs"]["x"]
    text = markdown({"pairs": {"S/1": pair | {"compile_seconds": 12.5}, "S/2": pair}})
    assert "| ours, s | theirs, s | compile, s |" in text
    assert "| 0.5     | 0.25      | 12.5       |" in text and "| 0.5     | 0.25      |            |" in text


def test_plot(tmp_path):
    plot_ratios("baselines", RESULTS, tmp_path / "deep" / "ratios.png")
    assert (tmp_path / "deep" / "ratios.png").read_bytes()[:4] == b"\x89PNG"
