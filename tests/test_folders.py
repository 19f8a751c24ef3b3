import os
import struct
import warnings
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tlkit import downloads, folders, image_files
from tlkit.dataset import SPLIT_NAMES, stratified_split, take_per_class
from tlkit.downloads import load_download, load_pneumoniamnist
from tlkit.errors import InputError
from tlkit.folders import load_folder
from tlkit.image_files import read_image

PNEUMONIA = Path(__file__).parents[2] / "shared/data/pneumoniamnist/pneumoniamnist.npz"


def picture(path, seed=None, size=(20, 16), **options):
    """Write an image of noise, a different one for each path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(zlib.crc32(str(path).encode()) if seed is None else seed)
    image = Image.fromarray(random.integers(0, 256, (*size[::-1], 3), np.uint8))
    image.save(path, **options)
    return path


@pytest.fixture
def root(tmp_path):
    """Two classes of five images."""
    for name in ("cat", "dog"):
        for i in range(5):
            picture(tmp_path / "set" / name / f"{i}.png")
    return tmp_path / "set"


def load(root, **options):
    """Load without the warning about skipped files, which has a test of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_folder(root, size=8, **options)


def names(data):
    return [name for split in SPLIT_NAMES for name in getattr(data, split).names]


def reason(data, name):
    (found,) = (why for skipped, why in data.skipped if skipped == name)
    return found


# --- layouts and splits


def test_class_folders_are_split_by_class(root):
    data = load(root)
    assert data.class_names == ("cat", "dog")
    assert data.summary().to_numpy().tolist() == [[3, 1, 1], [3, 1, 1]]
    assert len(set(names(data))) == 10
    assert not data.skipped
    for split in (data.train, data.validation, data.test):
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            assert name.startswith(data.class_names[label] + "/")
            assert np.array_equal(image, read_image(root / name, 8))


def test_same_seed_same_split_and_other_seed_other_split(root):
    assert names(load(root, seed=3)) == names(load(root, seed=3))
    assert len({tuple(names(load(root, seed=seed))) for seed in range(5)}) > 1


def test_train_per_class_leaves_the_other_splits_alone(root):
    every, few = load(root), load(root, train_per_class=2)
    assert few.summary()["train"].tolist() == [2, 2]
    assert set(few.train.names) < set(every.train.names)
    assert few.validation.names == every.validation.names
    assert np.array_equal(few.test.images, every.test.images)


def test_one_path_as_text_with_a_tilde(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("USERPROFILE", str(root.parent))
    assert len(load("~/set").train) == 6


@pytest.mark.parametrize("validation", ["validation", "val", "Valid", None])
@pytest.mark.parametrize("test", ["test", None])
def test_split_folders(tmp_path, validation, test):
    for part in filter(None, ("train", validation, test)):
        for name in "ab":
            for i in range(5 if part == "train" else 2):
                picture(tmp_path / part / name / f"{i}.png")
    data = load(tmp_path)
    counts = {(1, 1): [5, 2, 2], (1, 0): [4, 2, 1], (0, 1): [4, 1, 2], (0, 0): [3, 1, 1]}
    assert data.summary().loc["a"].tolist() == counts[bool(validation), bool(test)]
    if test:
        assert all(name.startswith("test/") for name in data.test.names)


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "bus", "car"):
        for i in range(3):
            picture(tmp_path / name / f"{i}.png")
    assert load(tmp_path).class_names == ("bus", "car", "train")


def test_nested_folders_belong_to_their_class(root):
    picture(root / "cat" / "2024" / "may" / "x.png")
    assert "cat/2024/may/x.png" in names(load(root))


@pytest.mark.parametrize(
    "name", ["a b.png", "100% é猫.png", "new\nline.png", "UPPER.PNG", "q'\".JpG"]
)
def test_odd_names(root, name):
    if os.name == "nt" and set(name) & set('\n"'):
        pytest.skip("no such file name on Windows")
    picture(root / "cat" / name)
    assert f"cat/{name}" in names(load(root))


@pytest.mark.skipif(os.name != "posix", reason="file names are Unicode there")
def test_names_that_are_no_unicode_can_be_printed(root):
    raw = os.fsencode(root / "cat") + b"/caf\xe9.png"
    try:
        os.rename(picture(root / "cat" / "x.png"), raw)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert "cat/caf�.png" in names(load(root))


# --- what is skipped


def test_everything_unusable_is_listed_with_a_reason(root):
    cat = root / "cat"
    (cat / "notes.txt").write_text("no image")
    (cat / "liar.jpg").write_text("no image either")
    (cat / "zero.png").touch()
    (cat / ".DS_Store").write_bytes(b"x")
    (cat / "Thumbs.db").write_bytes(b"x")
    (root / ".ipynb_checkpoints").mkdir()
    (root / "README.md").write_text("about")
    picture(root / "stray.png")
    for suffix in ("jpg", "png"):
        whole = picture(cat / f"cut.{suffix}", size=(64, 64)).read_bytes()
        (cat / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
    data = load(root)
    assert {name: why.split(":")[0] for name, why in data.skipped} == {
        "cat/notes.txt": "not an image file that can be read (suffix '.txt')",
        "cat/liar.jpg": "not an image, or damaged from its first bytes on",
        "cat/zero.png": "empty file (0 bytes)",
        "cat/.DS_Store": folders.HIDDEN,
        "cat/Thumbs.db": folders.HIDDEN,
        ".ipynb_checkpoints": folders.HIDDEN,
        "README.md": "other file beside the class folders",
        "stray.png": "image beside the class folders",
        "cat/cut.jpg": "truncated",
        "cat/cut.png": "truncated",
    }
    assert len(names(data)) == 10
    assert "10 images, 10 files skipped" in data.description


def test_damaged_pixels(root):
    path = picture(root / "cat" / "bits.png")
    data = bytearray(path.read_bytes())
    start = data.index(b"IDAT") + 4
    data[start : start + 20] = bytes(20)
    path.write_bytes(data)
    assert reason(load(root), "cat/bits.png").startswith("damaged")


def test_too_many_pixels(root):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    for name, side in (("warning", 10_000), ("error", 60_000)):
        header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
        path = root / "cat" / f"{name}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))
    data = load(root)
    assert reason(data, "cat/warning.png").startswith("too large")
    assert reason(data, "cat/error.png").startswith("too large")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_links_and_pipes_do_not_hang(root):
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "dog" / "far").symlink_to("/")
    (root / "dog" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(root / "dog" / "pipe.png")
    data = load(root)
    assert len(names(data)) == 10
    assert [name for name, _ in data.skipped] == [
        "cat/self",
        "cat/up",
        "dog/far",
        "dog/gone.png",
        "dog/pipe.png",
    ]


def test_a_linked_class_folder_is_read(root):
    (root.parent / "elsewhere").mkdir()
    for i in range(3):
        picture(root.parent / "elsewhere" / f"{i}.png")
    try:
        (root / "fox").symlink_to(root.parent / "elsewhere")
    except OSError:
        pytest.skip("links are not allowed here")
    assert load(root).class_names == ("cat", "dog", "fox")


def test_copies_count_once(root):
    (root / "cat" / "copy.png").write_bytes((root / "cat" / "0.png").read_bytes())
    data = load(root)
    assert data.skipped == (("cat/copy.png", "same bytes as cat/0.png"),)


def test_copies_with_different_labels_are_not_used(root):
    (root / "dog" / "copy.png").write_bytes((root / "cat" / "0.png").read_bytes())
    data = load(root)
    assert reason(data, "dog/copy.png") == "conflicting labels: same bytes as cat/0.png"
    assert reason(data, "cat/0.png") == "conflicting labels: same bytes as dog/copy.png"
    assert not {"dog/copy.png", "cat/0.png"} & set(names(data))


def test_a_copy_stays_in_the_most_held_out_split(tmp_path):
    for part in SPLIT_NAMES:
        for name in "ab":
            for i in range(2):
                picture(tmp_path / part / name / f"{i}.png")
            picture(tmp_path / part / name / "shared.png", seed=ord(name))
    data = load(tmp_path)
    assert data.summary().loc["a"].tolist() == [2, 2, 3]
    assert reason(data, "train/a/shared.png") == "same bytes as test/a/shared.png"
    assert reason(data, "validation/b/shared.png") == "same bytes as test/b/shared.png"


def test_many_skipped_files_warn(root):
    for i in range(2):
        (root / "cat" / f"bad{i}.jpg").write_text("no image")
    with pytest.warns(UserWarning, match=r"2 of 12 files were skipped.*bad0"):
        load_folder(root, size=8)


def test_few_skipped_files_do_not_warn(root):
    (root / "README.md").write_text("about")
    (root / "cat" / ".DS_Store").write_text("x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_folder(root, size=8)


# --- errors


def fails(path, *parts, **options):
    with pytest.raises(InputError) as caught:
        load(path, **options)
    for part in parts:
        assert part in str(caught.value)


def test_no_such_folder(tmp_path, root):
    fails(tmp_path / "nothing", "path=", "nothing", "does not exist")
    fails(root / "cat" / "0.png", "is a file")


def test_no_images(tmp_path):
    fails(tmp_path, "two class folders or more, found none")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    fails(tmp_path, "no images")
    (tmp_path / "a" / "notes.txt").write_text("x")
    fails(tmp_path, "no images", "a/notes.txt")


def test_one_class(tmp_path):
    picture(tmp_path / "cat" / "0.png")
    fails(tmp_path, "two class folders or more, found only 'cat'")


def test_class_too_small(root):
    for i in (2, 3, 4):
        (root / "dog" / f"{i}.png").unlink()
    fails(root, "class 'dog'", "2 image(s)", "at least 3")


def test_class_too_small_once_damaged_files_are_left_out(root):
    for i in range(3):
        (root / "dog" / f"{i}.png").write_bytes(b"x")
    fails(root, "class 'dog'", "2 image(s)", "3 file(s) skipped, such as dog/0.png")


def test_empty_class(root):
    (root / "fox").mkdir()
    fails(root, "class 'fox' has no image")


def test_train_per_class_too_large(root):
    fails(root, "train_per_class=4", "class 'cat'", "3 image(s)", train_per_class=4)


@pytest.mark.parametrize(
    "options",
    [{"train_per_class": 0}, {"train_per_class": 1.5}, {"seed": -1}, {"seed": "a"}],
)
def test_bad_arguments(root, options):
    fails(root, f"{next(iter(options))}=", **options)


@pytest.mark.parametrize("size", [0, 4, -8, 8.5, "64", (8,), (8, 8, 3), True])
def test_bad_size(root, size):
    with pytest.raises(InputError, match="size="):
        load_folder(root, size=size)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("train/a train/b test/a test/b test/c", "class 'c' of test is missing from train"),
        ("train/a train/b test/a", "class 'b' has no image to use in test"),
        ("train/a train/b val/c", "class 'c' of validation is missing from train"),
        ("test/a test/b val/a val/b", "expected train"),
        ("train/a train/b val/a valid/a", "expected train"),
    ],
)
def test_splits_that_do_not_agree(tmp_path, files, message):
    for folder in files.split():
        for i in range(4):
            picture(tmp_path / folder / f"{i}.png")
    fails(tmp_path, message)


# --- pixels


def save(tmp_path, array, name, mode=None, **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    path = tmp_path / name
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *[(mode, "png") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")],
        *[(mode, "jpg") for mode in ("L", "RGB", "CMYK")],
        *[("RGB", suffix) for suffix in ("bmp", "gif", "tiff", "webp")],
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, suffix):
    red = Image.new(
        "RGB", (30, 20), (255, 0, 0) if mode in ("RGB", "RGBA", "P", "CMYK") else "white"
    )
    image = read_image(save(tmp_path, red, f"x.{suffix}", mode), 16)
    assert image.shape == (16, 16, 3)
    assert image.dtype == np.uint8
    expected = red.getpixel((0, 0))
    assert np.abs(image.astype(int) - expected).max() <= 4


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGBA", (9, 9), (0, 0, 0, 0)),
        Image.new("LA", (9, 9), (0, 0)),
        Image.new("RGBA", (9, 9), (0, 0, 0, 0)).quantize(),
    ],
    ids=["RGBA", "LA", "P"],
)
def test_transparent_is_white(tmp_path, image):
    assert (read_image(save(tmp_path, image, "x.png"), 8) == 255).all()


def test_palette_with_one_transparent_colour(tmp_path):
    image = Image.new("P", (9, 9), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    path = save(tmp_path, image, "x.gif", transparency=0)
    assert (read_image(path, 8) == 255).all()


@pytest.mark.parametrize(
    ("suffix", "mode", "kind"),
    [("png", "I;16", "<u2"), ("tiff", "I;16", "<u2"), ("tiff", "I;16B", ">u2")],
)
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix, mode, kind):
    grey = np.full((9, 9), 257 * 100, kind)
    grey[:, 4:] = 257 * 200
    image = Image.frombytes(mode, (9, 9), grey.tobytes())
    pixels = read_image(save(tmp_path, image, f"x.{suffix}"), 9)
    assert pixels[0, 0].tolist() == [100, 100, 100]
    assert pixels[0, 8].tolist() == [200, 200, 200]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 200]], np.int32), [0, 100, 200]),
        (np.array([[0, 50_000, 100_000]], np.int32), [0, 128, 255]),
        (np.array([[0, 500, 1000]], np.float32), [0, 128, 255]),
        (np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        (np.array([[-5, np.nan, 255]], np.float32), [0, 0, 255]),
    ],
)
def test_other_grey_levels(tmp_path, values, expected):
    path = save(tmp_path, np.repeat(np.repeat(values, 9, 1), 27, 0), "x.tiff")
    assert read_image(path, 27)[0, 4::9, 0].tolist() == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    upright = np.zeros((24, 24, 3), np.uint8)
    upright[:12, :12] = (255, 0, 0)
    upright[:12, 12:] = (0, 255, 0)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> Image.Transpose
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, stored, "x.png", exif=exif)
    assert np.array_equal(read_image(path, 24), upright)


def test_damaged_exif_does_not_lose_the_image(tmp_path):
    path = picture(tmp_path / "x.jpg", exif=b"Exif\x00\x00MM\x00*garbage")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_image(path, 8).shape == (8, 8, 3)


def test_first_frame_of_an_animation(tmp_path):
    first, second = (Image.new("L", (9, 9), grey) for grey in (50, 150))
    path = save(tmp_path, first, "x.gif", save_all=True, append_images=[second])
    assert (read_image(path, 8) == 50).all()


def test_middle_is_cut_out_undistorted(tmp_path):
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = 255
    assert (read_image(save(tmp_path, wide, "x.png"), 32) == 255).all()
    assert read_image(tmp_path / "x.png", (16, 48)).shape == (16, 48, 3)


def test_wrong_suffix_is_no_obstacle(tmp_path):
    picture(tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert read_image(tmp_path / "x.jpg", 8).shape == (8, 8, 3)


def test_read_image_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match=r"path=.*none\.png.*No such file"):
        read_image(tmp_path / "none.png")


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    suffix=st.sampled_from(["png", "jpg"]),
)
def test_any_shape_gives_the_size_asked_for(tmp_path_factory, width, height, size, suffix):
    path = tmp_path_factory.mktemp("any") / f"x.{suffix}"
    Image.new("RGB", (width, height), (200, 200, 200)).save(path)
    image = read_image(path, size)
    assert image.shape == (*size, 3)
    assert np.abs(image.astype(int) - 200).max() <= 2


# --- large folders


def test_large_folders_lie_in_a_file(root, tmp_path, monkeypatch):
    small = load(root, train_per_class=2)
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", 1500)
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    large = load(root, train_per_class=2)
    assert isinstance(large.train.images, np.memmap)
    for part in SPLIT_NAMES:
        assert np.array_equal(getattr(small, part).images, getattr(large, part).images)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    if os.name == "posix":
        del large
        assert not list((tmp_path / "cache").iterdir())


def test_images_in_a_file_reach_worker_processes(root, tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", 1500)
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    images = load(root).train.images
    (total,) = joblib.Parallel(2)([joblib.delayed(np.sum)(images)])
    assert total == images.sum()


def test_full_disk(root, monkeypatch, tmp_path):
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", 1500)
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        image_files.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 9})
    )
    fails(root, "size=(8, 8)", "GiB free", "TLKIT_CACHE")


def test_progress_is_shown_on_standard_error_for_many_files_only(root, capsys):
    load(root)
    assert capsys.readouterr() == ("", "")
    for i in range(200):
        picture(root / "cat" / f"more{i}.png")
    load(root, progress=False)
    assert capsys.readouterr() == ("", "")
    load(root)
    shown = capsys.readouterr()
    assert not shown.out
    assert "Reading images" in shown.err


@given(st.permutations(range(12)), st.integers(0, 12))
def test_rows_are_brought_to_the_front(order, count):
    rows = np.arange(12)[:, None].repeat(2, 1)
    folders._bring_to_front(rows, np.array(order[:count], int))
    assert rows[:count, 0].tolist() == order[:count]
    assert sorted(rows[:, 1]) == list(range(12))


# --- splits of labels


@given(
    counts=st.lists(st.integers(3, 40), min_size=1, max_size=5),
    fractions=st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.2, 0), (0.8, 0, 0.2), (0.98, 0.01, 0.01)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_stratified_split(counts, fractions, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = stratified_split(labels, fractions, seed, [str(i) for i in range(len(counts))])
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    for part, share in zip(parts, fractions, strict=True):
        found = np.bincount(labels[part], minlength=len(counts))
        for count, total in zip(found, counts, strict=True):
            assert (count > 0) == (share > 0)
            assert abs(count - share * total) < 2


@given(few=st.integers(1, 9), more=st.integers(0, 9), seed=st.integers(0, 99))
def test_a_smaller_draw_is_part_of_a_larger_one(few, more, seed):
    labels = np.repeat([0, 1, 2], [18, 19, 20])
    smaller, larger = (take_per_class(labels, n, seed, "abc") for n in (few, few + more))
    assert set(smaller) <= set(larger)
    assert np.bincount(labels[larger]).tolist() == [few + more] * 3


# --- downloads


@pytest.mark.parametrize("name", downloads.DOWNLOADS)
def test_neither_cached_nor_reachable(name, monkeypatch, tmp_path):
    keras = pytest.importorskip("keras")

    def fetch(*args, **options):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", fetch)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", fetch)
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", fetch)
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("TLKIT_DATA", raising=False)
    with pytest.raises(InputError) as caught:
        load_download(name)
    for part in (f"name='{name}'", str(tmp_path), "URL fetch failure", downloads.OFFLINE):
        assert part in str(caught.value)


def test_unknown_download():
    with pytest.raises(InputError, match="name='imagenet'"):
        load_download("imagenet")


def test_validation_is_split_off_where_there_is_none(monkeypatch):
    keras = pytest.importorskip("keras")
    random = np.random.default_rng(0)

    def fetch():
        return tuple(
            (random.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n) % 10) for n in (200, 40)
        )

    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", fetch)
    data = load_download("fashion_mnist", size=16, train_per_class=5)
    assert data.summary().to_numpy().tolist() == [[5, 2, 4]] * 10
    assert data.train.images.shape == (50, 16, 16, 3)


def test_flowers_are_read_from_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TLKIT_DATA", str(tmp_path))
    for name in ("roses", "tulips"):
        for i in range(5):
            picture(tmp_path / "flower_photos" / "flower_photos" / name / f"{i}.jpg")
    data = load_download("flowers", size=8)
    assert data.name == "flowers"
    assert data.class_names == ("roses", "tulips")


def test_what_is_not_pneumoniamnist(tmp_path):
    np.savez(tmp_path / "x.npz", train_images=np.zeros((2, 28, 28), np.uint8))
    (tmp_path / "y.npz").write_text("no archive")
    for name in ("x.npz", "y.npz", "missing.npz"):
        with pytest.raises(InputError, match=rf"{name}.* is not MedMNIST's pneumoniamnist.npz"):
            load_pneumoniamnist(tmp_path / name)


@pytest.mark.real_data
@pytest.mark.skipif(not PNEUMONIA.exists(), reason="pneumoniamnist.npz is not beside the checkout")
def test_pneumoniamnist(monkeypatch):
    monkeypatch.setenv("TLKIT_DATA", str(PNEUMONIA.parents[1]))
    data = load_download("pneumoniamnist", size=28, train_per_class=10)
    assert data.summary().to_numpy().tolist() == [[10, 135, 234], [10, 389, 390]]
    with np.load(PNEUMONIA) as stored:
        assert np.array_equal(data.test.images[..., 0], stored["test_images"])
