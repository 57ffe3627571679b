from pathlib import Path

import numpy as np
import pytest

from shared.errors import UserError
from synth.cohorts.metadata import Metadata, read_metadata

PHOTOS = ("eh/a/1.jpg", "eh/b/1.jpg", "eh/b/2.jpg", "other/3.png")


def read(tmp_path: Path, text: str, photos: tuple[str, ...] = PHOTOS, encoding: str = "utf-8") -> Metadata:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return read_metadata(path, photos)


def test_rows_are_matched_by_path_or_name(tmp_path: Path) -> None:
    table = "file,group\neh/a/1.jpg,p1\n./b/1.jpg,p2\n2.jpg,p2\nmissing.jpg,p9\n"
    metadata = read(tmp_path, table)
    assert metadata.groups == ("p1", "p2", "p2", "")
    assert (metadata.unknown_photos, metadata.unknown_rows) == (1, 1)
    assert metadata.attributes == {}


def test_columns_become_numbers_where_all_cells_are(tmp_path: Path) -> None:
    table = (
        "\ufefffile,age,weight,code,site,mixed\n"
        "1.png,30,60.5,007,Arm,1\n"
        '2.png, 41 ,,008,"Fuß, links",x\n'
        "\n"
        "3.png,-5,1.5e1,009,,2\n"
    )
    columns = read(tmp_path, table, ("d/1.png", "d/2.png", "d/3.png")).attributes
    assert columns["age"].tolist() == [30, 41, -5]
    assert columns["age"].dtype == np.int64
    np.testing.assert_array_equal(columns["weight"], [60.5, np.nan, 15])
    assert columns["code"].tolist() == ["007", "008", "009"]
    assert columns["site"].tolist() == ["Arm", "Fuß, links", ""]
    assert columns["mixed"].tolist() == ["1", "x", "2"]


def test_photographs_that_the_table_leaves_out_have_missing_values(tmp_path: Path) -> None:
    columns = read(tmp_path, "file,age,site\n2.jpg,30,arm\n").attributes
    np.testing.assert_array_equal(columns["age"], [np.nan, np.nan, 30, np.nan])
    assert columns["site"].tolist() == ["", "", "arm", ""]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("", "has no column named file"),
        ("name,group\n1.jpg,a\n", "has no column named file"),
        ("file\nnone.jpg\n", "names none of the photographs"),
        ("file,group\n1.jpg,a\n", r"1.jpg names 2 photographs; write FOLDER/1.jpg"),
        ("file\n2.jpg\nb/2.jpg\n", "eh/b/2.jpg stands twice"),
        ("file,a/b\n2.jpg,1\n", "column name 'a/b' is empty or holds a slash"),
        ("file,\n2.jpg,1\n", "column name '' is empty"),
        ("file,x,x\n2.jpg,1,2\n", "column name 'x' is double"),
        ("file,x\n2.jpg\n", "row 2 has 1 cells and the header 2"),
        ("file;group\n2.jpg;1\n", "its columns are not separated by commas; save it as CSV UTF-8 with commas"),
        ("file\tgroup\n2.jpg\t1\n", "its columns are not separated by commas"),
        (f"file,x\n2.jpg,{'y' * 5000}\n", "row 2 has a cell above 4096 bytes"),
        (f"file,x\n2.jpg,{'y' * 200_000}\n", "not a CSV in UTF-8"),
        ('file,x\n2.jpg,"open\n', "not a CSV in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(table: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, table)


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="save it as CSV UTF-8"):
        read(tmp_path, "file,site\n2.jpg,Fuß\n", encoding="latin-1")


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; the CSV must"):
        read_metadata(tmp_path / "none.csv", PHOTOS)
