import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from keras_cnn.data.shards.index import escaped_key, id_of
from keras_cnn.data.shards.tar_index import index_tar
from keras_cnn.errors import InputError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def tar_of(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_the_places_are_those_of_tarfile(form):
    long = f"{'folder' * 15}/{'name' * 12}"  # 139 characters: in two fields of ustar, or in a header of its own
    names = ["a/1", long, "./b/2"] + ([] if form == "ustar" else ["ä" * 120, "x" * 300])
    members = {f"{n}{end}": f"{n}{end}".encode() for n in names for end in (".jpg", ".cls")}
    members = {name: b"7" if name.endswith("cls") else content for name, content in members.items()}
    data = tar_of(members, FORMATS[form])
    index = index_tar("a.tar", data)
    assert index.ids == [f"{name.removeprefix('./')}.jpg" for name in names]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [(m.offset_data, m.size) for m in archive if m.name.endswith(".jpg")]
    assert list(zip(index.offsets.tolist(), index.sizes.tolist(), strict=True)) == expected
    assert (index.titles, index.labels.tolist()) == (("7",), [0] * len(names))
    assert index.problems == {}


def test_a_size_beyond_octal_digits_is_read_as_gnu_tar_writes_it():
    """A member of 9 GiB, which is not there but for its header: the bytes are asked for, never held."""
    size = 9 << 30
    header = tarfile.TarInfo("big.jpg")
    header.size = size
    small = tar_of({"big.cls": b"3"})

    class Holes:
        def __len__(self):
            return 512 + size + len(small)

        def __getitem__(self, part):
            if (part.start or 0) < 512:
                return header.tobuf(tarfile.GNU_FORMAT)[part]
            return small[part.start - 512 - size : part.stop - 512 - size]

    index = index_tar("big.tar", Holes())
    assert (index.ids, index.offsets.tolist(), index.sizes.tolist()) == (["big.jpg"], [512], [size])


def test_samples_are_members_equal_up_to_the_first_dot():
    members = {
        "v1.0/a.jpg": b"1", "v1.0/a.cls": b" 3\n", "v1.0/a.txt": b"a caption", "v1.0/a.seg.png": b"mask",
        "._a.jpg": b"", "README": b"", "b.json": b'{"label": 5, "cls": 6}', "b.PNG": b"22",
        "c.json": b'{"caption": "", "class": "tree frog"}', "c.jpeg": b"333", "d.left.jpg": b"4444", "d.cls": b"cat",
    }  # fmt: skip
    index = index_tar("a.tar", tar_of(members))
    assert index.ids == ["v1.0/a.jpg", "b.PNG", "c.jpeg", "d.left.jpg"]
    assert [index.titles[label] for label in index.labels] == ["3", "5", "tree frog", "cat"]
    assert index.sizes.tolist() == [1, 2, 3, 4]
    assert index.ignored == {"hidden members": 1, "members without extension": 1}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"k.cls": b"1"}, "no image; found .cls"),
        ({"k.jpg": b"1"}, "no label; found .jpg, expected .cls, or .json with one of label, cls, class"),
        ({"k.jpg": b"1", "k.txt": b"cat"}, "no label; found .jpg, .txt, expected"),
        (
            {"k.jpg": b"1", "k.json": b'{"caption": 1}'},
            "no label; .json has caption; expected one of label, cls, class",
        ),
        ({"k.jpg": b"1", "k.json": b'{"label": 1.5}'}, ".json has label = 1.5; expected a whole number or the name"),
        ({"k.jpg": b"1", "k.json": b'{"label": true}'}, ".json has label = true; expected"),
        ({"k.jpg": b"1", "k.json": b"[3]"}, ".json has list; expected an object"),
        ({"k.jpg": b"1", "k.json": b"{"}, ".json cannot be read"),
        ({"k.jpg": b"1", "k.cls": b"\xff"}, ".cls has b'\\xff', which is no UTF-8 text"),
        ({"k.jpg": b"1", "k.cls": b" \n"}, ".cls has b' \\n'; expected a whole number"),
        ({"k.jpg": b"1", "k.cls": b"1" * 5000}, ".cls has more than 4,096 bytes"),
        ({"k.jpg": b"1", "k.cls": b"1" * 4097}, ".cls has more than 4,096 bytes; expected a whole number"),
        ({"k.jpg": b"1", "k.cls": b"a\nb"}, ".cls has b'a\\nb'; expected a whole number or the name of a class"),
        ({"k.jpg": b"1", "k.json": b'{"label": "  "}'}, '.json has label = "  "; expected a whole number'),
        ({"k.jpg": b"1", "k.json": b'{"label": "%s"}' % (b" " * 50)}, f'.json has label = "{" " * 39}; expected'),
        (
            {"k.jpg": b"1", "k.json": b"{%s}" % b", ".join(b'"%d": 1' % i for i in range(11))},
            "no label; .json has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; expected one of label, cls, class",
        ),
        ({"k.jpg": b"1", "k.json": b"{}"}, "no label; .json has no fields; expected one of label, cls, class"),
        ({"k.jpg": b"1", "k.png": b"1", "k.cls": b"1"}, "several images: .jpg, .png; expected one"),
        ({"k.jpg": b"1", "k.cls": b"1", "l.jpg": b"", "l.cls": b"1", "k.png": b""}, "the key is there twice"),
    ],
)
def test_a_sample_that_cannot_be_used_is_named_with_what_it_has(members, reason):
    index = index_tar("a.tar", tar_of(members | {"z.jpg": b"1", "z.cls": b"1"}))
    assert list(index.problems) == ["k"]
    assert reason in index.problems["k"]
    assert "z.jpg" in index.ids


GOOD = tar_of({"a.jpg": b"x" * 600, "a.cls": b"1"})


def with_header(data: bytes, at: int, field: bytes) -> bytes:
    """The tar with another field in the header of its first member, and the checksum that fits."""
    header = bytearray(data[:512])
    header[at : at + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + data[512:]


def with_records(records: dict[str, str]) -> bytes:
    """A tar whose first member, a.jpg, has these records in its extended header."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a.jpg", "a.cls"):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = 1, records if name == "a.jpg" else {}
            archive.addfile(info, io.BytesIO(b"1"))
    return file.getvalue()


def test_folders_links_and_headers_for_all_members_are_passed_over():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "all"}) as archive:
        for name, kind in (("f", tarfile.DIRTYPE), ("f/l.png", tarfile.SYMTYPE), ("f/a.jpg", None), ("f/a.cls", None)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind or tarfile.REGTYPE, "l" * 120 if kind == tarfile.SYMTYPE else ""
            info.size = 0 if kind else 1
            archive.addfile(info, io.BytesIO(b"1"))
    index = index_tar("a.tar", file.getvalue())
    assert (index.ids, index.problems, index.ignored) == (["f/a.jpg"], {}, {})


def test_records_of_an_extended_header_are_of_the_next_member_alone():
    index = index_tar("a.tar", with_records({"comment": "x", "path": "b/longer.jpg"}))
    assert list(index.problems) == ["b/longer", "a"]
    index = index_tar("a.tar", with_records({"path": "./a.jpeg", "mtime": "1.5"}))
    assert (index.ids, index.sizes.tolist(), index.titles) == (["a.jpeg"], [1], ("1",))


def test_the_largest_label_and_the_first_field_count():
    members = {"a.jpg": b"1", "a.cls": b"7" * 4096, "b.jpg": b"1", "b.json": b'{"class": 1, "cls": -2}'}
    index = index_tar("a.tar", tar_of(members))
    assert index.titles == ("7" * 4096, "-2")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD[:800], "a.tar: truncated: a.jpg should end at byte 1,112, and the file has 800 bytes; expected a whole"),
        (GOOD[:2560], "a.tar: truncated: the end mark is missing, and the file has 2,560 bytes"),
        (GOOD + GOOD, "a.tar: more follows its end mark at byte 2,560; expected one archive in a file"),
        (GOOD[:1536] + b"?" + GOOD[1537:], "a.tar: damaged: no header of a member at byte 1,536"),
        (gzip.compress(GOOD), "a.tar: compressed by gzip; expected a plain tar"),
        (bz2.compress(GOOD), "a.tar: compressed by bzip2; expected a plain tar"),
        (lzma.compress(GOOD), "a.tar: compressed by xz; expected a plain tar"),
        (b"\x28\xb5\x2f\xfd" + GOOD, "a.tar: compressed by zstd; expected a plain tar"),
        (tar_of({".a.jpg": b"1", "b": b"", "c": b""}), "a.tar: no samples; found 1 hidden members, 2 members without"),
        (with_header(GOOD, 124, b"9" * 11), "a.tar: damaged: the size of the member at byte 0 is b'99999999999"),
        (with_header(GOOD, 156, b"S"), "a.tar: has sparse members; expected a tar written without --sparse"),
        (with_records({"GNU.sparse.major": "1"}), "a.tar: has sparse members"),
        (with_records({"comment": "x"}).replace(b"13 comment", b"99 comment"),
         "a.tar: damaged: the extended header at byte 512 cannot be read"),
        (b"\x89PNG" * 200, "a.tar: not a tar file; expected a tar with WebDataset's naming"),
        (b"", "a.tar: truncated: the end mark is missing, and the file has 0 bytes"),
        (tar_of({}), "a.tar: no samples; found no members, expected members such as 000001.jpg"),
        (tar_of({b"\xff.jpg".decode("utf-8", "surrogateescape"): b""}, tarfile.GNU_FORMAT), "not valid UTF-8"),
    ],
)  # fmt: skip
def test_a_damaged_tar_is_one_line(data, message):
    with pytest.raises(InputError) as error:
        index_tar("a.tar", data)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("identity", ["cat/photo.v2.jpg", "a%2Eb", "100%.png", "plain", "x/ä", "v1.0/a.b"])
def test_an_id_survives_as_a_key_without_dots(identity):
    key = escaped_key(identity)
    assert "." not in key.rpartition("/")[2]
    assert id_of(key, f"{key}.jpg") == identity
    data = tar_of({f"{key}.jpg": b"1", f"{key}.cls": b"1"})
    assert index_tar("a.tar", data).ids == [identity]
