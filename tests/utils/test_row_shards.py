import pyarrow as pa
import pytest

from modeling_pm_vit.utils.row_shards import RowShards

SCHEMA = pa.schema({"row": pa.int64()})


def shards(folder, **settings):
    return RowShards(folder, "found", 25, 10, SCHEMA, settings)


def test_ranges_are_written_once_and_read_in_order(tmp_path):
    written = shards(tmp_path)
    assert written.ranges == [range(0, 10), range(10, 20), range(20, 25)]
    assert not any(map(written.has, written.ranges))
    for rows in (written.ranges[2], written.ranges[0]):
        written.write(rows, [{"row": row} for row in rows])
    again = shards(tmp_path)
    assert [again.has(rows) for rows in again.ranges] == [True, False, True]
    assert [len(table) for table in again.tables(["row"])] == [10, 5]
    assert [record["row"] for record in again] == [*range(10), *range(20, 25)]
    assert not list(tmp_path.glob("*.part"))


def test_what_a_killed_process_left_counts_for_nothing(tmp_path):
    written = shards(tmp_path)
    written.path(range(0, 10)).with_suffix(".123.part").write_bytes(b"PAR1")
    assert not any(map(shards(tmp_path).has, written.ranges)) and list(shards(tmp_path)) == []


def test_other_settings_are_refused(tmp_path):
    shards(tmp_path, model="a")
    with pytest.raises(ValueError, match="results with model = 'a', asked for 'b'"):
        shards(tmp_path, model="b")
