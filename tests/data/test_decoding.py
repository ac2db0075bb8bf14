import os
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_cnn.data import decoding, fast_decoding
from keras_cnn.data.audit import audit
from keras_cnn.data.decoding import crop_box, decode, pad_size, read_header, read_image
from keras_cnn.errors import InputError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def checked(tmp_path):
    """Saves an image and returns what the audit says about the file."""

    def save(image, name="x.png", **options):
        image.save(tmp_path / name, **options)
        found = audit(tmp_path, [name], tmp_path / "cache")
        assert not found.problems
        return found.files[0]

    return save


def test_crop_box_by_hand():
    assert crop_box(200, 100, (50, 50)) == (50, 0, 150, 100)
    assert crop_box(100, 201, (50, 50)) == (0, 50, 100, 150)
    assert crop_box(300, 100, (100, 200)) == (50, 0, 250, 100)
    assert crop_box(1, 50, (64, 64)) == (0, 24, 1, 25)
    assert crop_box(7, 7, (5, 5)) == (0, 0, 7, 7)
    assert crop_box(256, 256, (224, 224), "center") == (16, 16, 240, 240)
    assert crop_box(200, 100, (50, 50), "center") == (56, 6, 144, 94)  # 88 of 100: 87.5
    assert crop_box(224, 224, (224, 224), "center") == (0, 0, 224, 224)  # it has the size already
    assert crop_box(224, 448, (224, 224), "center") == (14, 126, 210, 322)
    assert crop_box(1, 1, (8, 8), "center") == (0, 0, 1, 1)


def test_pad_size_by_hand():
    assert pad_size(200, 100, (64, 64)) == (32, 64)
    assert pad_size(100, 200, (64, 64)) == (64, 32)
    assert pad_size(1000, 1, (64, 64)) == (1, 64)


def test_fits(checked):
    image = Image.new("RGB", (12, 4), BLUE)
    image.paste(RED, (0, 0, 4, 4))
    image.paste(GREEN, (8, 0, 12, 4))
    file = checked(image)
    assert np.array_equal(decode(file, (4, 4), 3, "crop"), np.full((4, 4, 3), BLUE))
    padded = decode(file, (12, 12), 3, "pad")
    assert np.array_equal(padded[4:8], np.asarray(image))
    assert padded[:4].max() == padded[8:].max() == 0
    stretched = decode(file, (4, 6), 3, "stretch")
    assert stretched.shape == (4, 6, 3)
    assert stretched[0, 0].argmax() == 0
    assert stretched[0, 5].argmax() == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp"])
def test_exif_orientation(checked, orientation, name):
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :16], stored[:8, 16:], stored[8:, :16] = RED, GREEN, BLUE
    rows = {1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG", 5: "RBGW", 6: "BRWG", 7: "WGBR", 8: "GWRB"}
    # EXIF 2.3, 4.6.4: which stored corner is shown top left, top right, bottom left, bottom right.
    exif = Image.Exif()
    exif[274] = orientation
    file = checked(Image.fromarray(stored), name, exif=exif, **({"lossless": True} if "webp" in name else {}))
    assert (file.orientation, file.width, file.height) == (orientation, 32, 16)
    size = (16, 32) if orientation < 5 else (32, 16)
    shown = decode(file, size, 3)
    h, w = size
    corners = [
        shown[h // 4, w // 4],
        shown[h // 4, 3 * w // 4],
        shown[3 * h // 4, w // 4],
        shown[3 * h // 4, 3 * w // 4],
    ]
    letters = "".join("W" if c.max() < 60 else "RGB"[c.argmax()] for c in corners)
    assert letters == rows[orientation]


def test_sixteen_bits_are_scaled_not_clipped(checked):
    samples = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    file = checked(Image.fromarray(samples))
    assert decode(file, (1, 6), 1)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_transparency_lies_over_white(checked):
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    assert decode(checked(image), (1, 2), 3).tolist() == [[list(RED), list(WHITE)]]
    half = Image.new("LA", (1, 1), (0, 128))
    assert decode(checked(half), (1, 1), 1).tolist() == [[[127]]]


def test_palette_with_transparency(checked):
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    for name in ("x.png", "x.gif"):
        assert decode(checked(image, name), (1, 2), 3).tolist() == [[list(RED), list(GREEN)]]
        assert decode(checked(image, name, transparency=1), (1, 2), 3).tolist() == [[list(RED), list(WHITE)]]


def test_cmyk(checked):
    file = checked(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "x.jpg", quality=95)
    assert file.mode == "CMYK"
    assert np.abs(decode(file, (8, 8), 3).astype(int) - RED).max() <= 4


@pytest.mark.parametrize("name", ["x.gif", "x.webp"])
def test_animation_gives_its_first_frame(checked, name):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]
    file = checked(frames[0], name, save_all=True, append_images=frames[1:])
    assert decode(file, (4, 4), 3)[0, 0].argmax() == 0


def test_grey_and_colour(checked):
    colour = checked(Image.new("RGB", (2, 2), (10, 200, 90)))
    assert decode(colour, (2, 2), 1)[0, 0, 0] == round(0.299 * 10 + 0.587 * 200 + 0.114 * 90)
    grey = checked(Image.new("L", (2, 2), 77))
    assert decode(grey, (2, 2), 3).tolist() == [[[77] * 3] * 2] * 2
    black_and_white = checked(Image.new("1", (2, 2), 1))
    assert decode(black_and_white, (2, 2), 1).min() == 255


def test_a_file_that_changed_since(checked):
    file = checked(Image.new("RGB", (8, 8)))
    file.path.write_bytes(file.path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"x\.png: readable when it was checked"):
        decode(file, (8, 8), 3)


def png(samples: np.ndarray) -> bytes:
    """A PNG file of (H, W, 3) uint16 samples, written by hand: Pillow writes no colour of 16 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_sixteen_bits_keep_the_upper_eight_in_both_decoders(tmp_path):
    samples = np.array([[[0, 255, 256], [32768, 65535, 4660]]], np.uint16)
    (tmp_path / "x.png").write_bytes(png(samples))
    expected = [[[0, 0, 1], [128, 255, 18]]]
    assert read_image(tmp_path / "x.png").tolist() == expected
    files = audit(tmp_path, ["x.png"], tmp_path / "cache").files
    (plan,) = fast_decoding.plans(files, (1, 2, 3), "crop")
    assert plan[0] == fast_decoding.PNG
    found = fast_decoding.decoder(files, (1, 2, 3), "crop")(tf.constant(0), files.paths()[0], tf.constant(plan))
    assert found.numpy().tolist() == expected


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([[0, 77, 255]], np.uint8), [0, 77, 255]),
        (np.array([[0, 128, 129, 32896, 65535]], np.uint16), [0, 0, 1, 128, 255]),
        (np.array([[-5, 0, 257, 65535, 70000]], np.int32), [0, 0, 1, 255, 255]),
        (np.array([[0, 0.5, 1, 1 / 255, 0.0019]], np.float32), [0, 128, 255, 1, 0]),
    ],
    ids=["8 bits", "16 bits", "32 bits", "floats"],
)
def test_tiff_of_every_depth(checked, samples, expected):
    file = checked(Image.fromarray(samples), "x.tif")
    assert (file.format, file.width, file.height) == ("TIFF", samples.shape[1], 1)
    assert decode(file, samples.shape, 1)[0, :, 0].tolist() == expected
    assert read_image(file.path).tolist() == [[[value] * 3 for value in expected]]


@pytest.mark.parametrize(("value", "found"), [(1.5, "from 0 to 1.5"), (-0.1, "from -0.1 to 0"), (np.nan, "nan")])
def test_floats_that_are_no_grey_are_refused(tmp_path, value, found):
    Image.fromarray(np.array([[0, value]], np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(InputError, match=f"x.tiff: floating-point samples .*{found}.*expected 0 .black. to 1") as error:
        read_image(tmp_path / "x.tiff")
    assert "corrupt" not in str(error.value)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_turned_tiff_is_turned_once(checked, orientation):
    stored = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    file = checked(Image.fromarray(stored), "x.tif", exif=exif)
    upright = {1: stored, 3: stored[::-1, ::-1], 6: np.rot90(stored, -1)}[orientation]
    assert decode(file, upright.shape, 1)[..., 0].tolist() == upright.tolist()
    assert read_image(file.path)[..., 0].tolist() == upright.tolist()
    assert read_header(file.path)[:2] == upright.shape


def test_headers_tell_the_upright_size(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (40, 20)).save(tmp_path / "plain.png")
    assert read_header(tmp_path / "turned.jpg") == (40, 20, True)
    assert read_header(tmp_path / "plain.png") == (20, 40, False)


def test_detection_sees_transparency_and_orientation_as_training_does(tmp_path):
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    exif = Image.Exif()
    exif[274] = 6
    image.save(tmp_path / "x.png", exif=exif)
    assert read_image(tmp_path / "x.png").tolist() == [[list(RED)], [list(WHITE)]]


def test_files_of_strangers_are_refused_before_they_are_opened_or_unpacked(tmp_path, monkeypatch):
    def called(*_, **__):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", called)
    (tmp_path / "photo.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    os.mkfifo(tmp_path / "pipe.jpg")
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 12_000, 12_000, 8, 2, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(header + struct.pack(">II4s", zlib.crc32(header[12:]), 9, b"IDAT") + bytes(50))
    for name, message in (
        ("photo.jpg", "not a JPEG, PNG, BMP, GIF, WebP or TIFF image: begins with b'%!PS-Adobe"),
        ("pipe.jpg", "pipe.jpg: not a regular file"),
        ("bomb.png", "oversized: .*more than 89,478,485"),
        ("gone.png", "gone.png: no such image"),
    ):
        for read in (read_image, read_header):
            with pytest.raises(InputError, match=message):
                read(tmp_path / name)
    Image.new("L", (4, 3)).save(tmp_path / "largest.png")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 12)
    assert read_image(tmp_path / "largest.png").shape == (3, 4, 3)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 11)
    with pytest.raises(InputError, match="4 x 3 pixels, more than 11"):
        read_image(tmp_path / "largest.png")
