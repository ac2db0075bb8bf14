import os

from keras_cnn.run_folder.split_ids import NAME, ids_of, write_ids

ODD = ("plain/1.jpg", "with, comma", 'a "quote"', "two\nlines", "=1+1", "'=apostrophe", "é/ü.png", "-5", " space")


def test_odd_ids_come_back_as_they_were(tmp_path):
    write_ids(tmp_path, {"train": ODD, "test": ODD[:1]})
    record = {"ids": None, "counts": {"train": len(ODD)}}
    assert ids_of(tmp_path, record, "train") == ODD
    assert ids_of(tmp_path, record, "test") == ("plain/1.jpg",)
    assert ids_of(tmp_path, record, "validation") is None
    write_ids(tmp_path, {"train": ("another",)})
    os.utime(tmp_path / NAME, ns=(1, 1))
    assert ids_of(tmp_path, record, "train") == ("another",)  # not what was read before


def test_ids_in_split_json_need_no_table(tmp_path):
    assert ids_of(tmp_path, {"ids": {"test": ["a"]}, "counts": {}}, "test") == ("a",)
    assert ids_of(tmp_path, {}, "test") is None
