"""A folder of images becomes a `Dataset`: every file is either used or listed with a reason."""

import os
import stat
import warnings
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tlkit.dataset import Dataset, Split, image_size, stratified_split, take_per_class
from tlkit.errors import InputError
from tlkit.image_files import image_suffixes, read_images, why_unreadable
from tlkit.mapped import release

LAYOUT = "class/*.jpg or train|validation|test/class/*.jpg"
LARGEST_FILE = 2**30  # bytes
MANY_SKIPPED = 0.1  # share of the files from which on a warning is given
SPLIT_OF_FOLDER = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
SHARES = {  # the split folders there are -> how train is divided into train, validation, test
    ("train",): (0.6, 0.2, 0.2),
    ("test", "train"): (0.8, 0.2, 0.0),
    ("train", "validation"): (0.8, 0.0, 0.2),
    ("test", "train", "validation"): (1.0, 0.0, 0.0),
}
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}
HIDDEN = "hidden file or folder"
BESIDE = "beside the class folders"

Skipped = list[tuple[str, str]]  # (relative path, reason)


class _File(NamedTuple):
    path: str
    name: str  # relative to the dataset's folder
    split: str
    class_name: str


def load_folder(
    path: str | os.PathLike,
    *,
    size: int | tuple[int, int] = 64,
    train_per_class: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Dataset:
    """Read a folder of images, laid out as class folders.

    The layout is `class/*.jpg`, divided 60/20/20 class by class, or
    `train|validation|test/class/*.jpg` (also `val`, `valid`), where a missing validation or test
    part is split off train. Images at any depth below a class folder belong to the class.

    What cannot be used (not an image, damaged, empty, hidden, too many pixels) is listed in
    `Dataset.skipped`. Copies of a file count once, so that no image is in two splits; where split
    folders share a file, it stays in test, or else in validation. Copies in two classes
    contradict each other, and none is used.

    Args:
        path: the folder.
        size: pixels, one number or (height, width); see `read_image`.
        train_per_class: training images to keep of each class; None keeps all. Validation and
            test do not depend on it.
        seed: of the division into splits and of the choice of training images.
        progress: show a bar on standard error while more than 200 files are read.

    Returns:
        The dataset. Beyond 256 MiB its pixels lie in a file in the cache folder, which is removed
        when they are no longer used.

    Raises:
        InputError: when the folder is missing or empty, has fewer than two classes, or has a
            class with too few images, which the message names.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for i in range(10):
        ...     file = folder / ("cat", "dog")[i % 2] / f"{i}.png"
        ...     file.parent.mkdir(exist_ok=True)
        ...     Image.new("L", (32, 48), 20 * i).save(file)
        >>> data = load_folder(folder, size=16)
        >>> data.class_names, data.train.images.shape
        (('cat', 'dog'), (6, 16, 16, 3))
    """
    height_width = image_size(size)
    root = Path(path).expanduser()
    skipped: Skipped = []
    folders = _class_folders(root, skipped)
    files = [f for split, folder in folders for f in _files_in(folder, root, split, skipped)]
    if not files:
        raise InputError(f"path={str(path)!r}: no images in it{_mention(skipped)}")
    division = (folders, train_per_class, seed, skipped)
    _divide(files, *division)  # what cannot be divided fails before everything is read
    images, digests, reasons = read_images([f.path for f in files], height_width, progress)
    skipped += [(f.name, reason) for f, reason in zip(files, reasons, strict=True) if reason]
    usable = _without_copies(files, digests, skipped)
    files = [files[i] for i in usable]
    class_names, labels, places = _divide(files, *division)
    _warn_of_many(root, len(files), skipped)
    _bring_to_front(images, usable[np.concatenate(places)])
    if not isinstance(images, np.memmap):
        images.resize((sum(map(len, places)), *images.shape[1:]), refcheck=False)
    splits, start = [], 0
    for place in places:
        names = tuple(files[i].name for i in place)
        splits.append(Split(images[start : start + len(place)], labels[place], names))
        start += len(place)
    name = _text(root.resolve().name)
    description = f"The folder {name!r}: {len(files)} images, {len(skipped)} files skipped."
    train, validation, test = splits
    return Dataset(name, class_names, train, validation, test, tuple(sorted(skipped)), description)


def _class_folders(root: Path, skipped: Skipped) -> list[tuple[str, Path]]:
    """Find every (split, class folder); without split folders all is 'train'."""
    given = f"path={str(root)!r}"
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "does not exist"
        raise InputError(f"{given} {problem}; expected a folder with {LAYOUT}")
    folders = _subfolders(root, root, skipped)
    parts = {"train": folders}
    known = [folder for folder in folders if folder.name.lower() in SPLIT_OF_FOLDER]
    if len(known) >= 2 or (known and len(folders) == 1):
        others = [folder for folder in folders if folder not in known]
        skipped += [(_name(f, root), "neither train, validation nor test") for f in others]
        parts = {SPLIT_OF_FOLDER[f.name.lower()]: _subfolders(f, root, skipped) for f in known}
        if len(parts) < len(known) or "train" not in parts:
            raise InputError(
                f"{given} has the folders {[f.name for f in known]}; expected train and, if you "
                "have them, one for validation and one for test"
            )
    classes = {split: {_text(f.name) for f in parts[split]} for split in parts}
    if len(classes["train"]) < 2:
        only = f"only {min(classes['train'])!r}" if classes["train"] else "none"
        raise InputError(f"{given}: needs two class folders or more, found {only}; {LAYOUT}")
    for split in sorted(classes):
        for name in sorted(classes[split] - classes["train"]):
            raise InputError(f"{given}: class {name!r} of {split} is missing from train")
    return [(split, folder) for split in sorted(parts) for folder in parts[split]]


def _subfolders(folder: Path, root: Path, skipped: Skipped) -> list[Path]:
    folders = []
    for entry in _entries(folder, root, skipped):
        if entry.is_dir():
            folders.append(Path(entry.path))
        else:
            kind = "other file " if _why_not(entry) else "image "
            skipped.append((_name(entry.path, root), kind + BESIDE))
    return folders


def _files_in(folder: Path, root: Path, split: str, skipped: Skipped) -> list[_File]:
    """List what may be an image at any depth below a class folder, following links once."""
    files, waiting, seen = [], [folder], set()
    homes = [Path(os.path.realpath(root)), Path(os.path.realpath(folder))]
    while waiting:
        here = waiting.pop()
        real = os.path.realpath(here)
        if real in seen or (here != folder and any(h.is_relative_to(real) for h in homes)):
            skipped.append((_name(here, root), "link to a folder that is read already"))
            continue
        seen.add(real)
        for entry in _entries(here, root, skipped):
            name = _name(entry.path, root)
            if entry.is_dir():
                waiting.append(Path(entry.path))
            elif reason := _why_not(entry):
                skipped.append((name, reason))
            else:
                files.append(_File(entry.path, name, split, _text(folder.name)))
    return sorted(files, key=lambda file: file.name)


def _entries(folder: Path, root: Path, skipped: Skipped) -> list[os.DirEntry]:
    """List a folder in order, without what operating systems hide in it."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        skipped.append((_name(folder, root), why_unreadable(error)))
        return []
    visible = []
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES:
            skipped.append((_name(entry.path, root), HIDDEN))
        else:
            visible.append(entry)
    return visible


def _why_not(entry: os.DirEntry) -> str | None:
    """Say why a file is not worth opening."""
    try:
        status = entry.stat()
    except OSError:
        return "broken link"
    suffix = os.path.splitext(entry.name)[1]
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if suffix.lower() not in image_suffixes():
        return f"not an image file that can be read (suffix {suffix!r})"
    if status.st_size > LARGEST_FILE:
        return f"too large: {status.st_size / 2**30:.1f} GiB"
    return None if status.st_size else "empty file (0 bytes)"


def _without_copies(files: list[_File], digests: list[bytes], skipped: Skipped) -> np.ndarray:
    """Positions of the readable files, keeping one of each content, or none if labels differ."""
    copies = defaultdict(list)
    for i, digest in enumerate(digests):
        if digest:
            copies[digest].append(i)
    kept = []
    for group in copies.values():
        group.sort(key=lambda i: ("test", "validation", "train").index(files[i].split))
        if len({files[i].class_name for i in group}) == 1:
            kept.append(group[0])
            skipped += [(files[i].name, f"same bytes as {files[group[0]].name}") for i in group[1:]]
        else:
            pairs = zip(group, group[1:] + group[:1], strict=True)
            reason = "conflicting labels: same bytes as "
            skipped += [(files[i].name, reason + files[other].name) for i, other in pairs]
    return np.sort(np.array(kept, np.int64))


def _divide(
    files: list[_File],
    folders: list[tuple[str, Path]],
    train_per_class: int | None,
    seed: int,
    skipped: Skipped,
) -> tuple[tuple[str, ...], np.ndarray, list[np.ndarray]]:
    """Return class names, labels [n], and positions in `files` for train, validation and test."""
    splits = tuple(sorted({split for split, _ in folders}))
    class_names = tuple(sorted({_text(folder.name) for _, folder in folders}))
    labels = np.array([class_names.index(file.class_name) for file in files], np.int64)
    places = {s: np.flatnonzero([file.split == s for file in files]) for s in splits}
    try:
        for split in splits:
            present = {files[i].class_name for i in places[split]}
            if split != "validation" or not present:  # validation may lack some of the classes
                for name in sorted(set(class_names) - present):
                    raise InputError(f"class {name!r} has no image to use in {split}")
        pool = places["train"]
        divided = stratified_split(labels[pool], SHARES[splits], seed, class_names)
        parts = [places.get("validation", pool[divided[1]]), places.get("test", pool[divided[2]])]
        train = pool[divided[0]]
        train = train[take_per_class(labels[train], train_per_class, seed, class_names)]
    except InputError as error:
        raise InputError(f"{error}{_mention(skipped)}") from None
    return class_names, labels, [train, *parts]


def _bring_to_front(rows: np.ndarray, order: np.ndarray) -> None:
    """Move row order[i] to place i by swapping, so that no second copy of all rows is needed."""
    for place, source in enumerate(order):
        while source < place:  # that row was swapped out before: follow it
            source = order[source]
        if source != place:
            rows[[place, source]] = rows[[source, place]]
        if place % 256 == 0:
            release(rows)


def _unexpected(skipped: Skipped) -> Skipped:
    return [pair for pair in sorted(skipped) if pair[1] not in (HIDDEN, "other file " + BESIDE)]


def _mention(skipped: Skipped) -> str:
    files = _unexpected(skipped)
    return f" ({len(files)} file(s) skipped, such as {': '.join(files[0])})" if files else ""


def _warn_of_many(root: Path, used: int, skipped: Skipped) -> None:
    count = len(_unexpected(skipped))
    if count > MANY_SKIPPED * (used + count):
        warnings.warn(
            f"{root}: {count} of {used + count} files were skipped{_mention(skipped)}; "
            "Dataset.skipped lists them all",
            stacklevel=3,
        )


def _name(path: str | os.PathLike, root: Path) -> str:
    return _text(Path(path).relative_to(root).as_posix())


def _text(name: str) -> str:
    """Make a file name printable, whatever bytes it holds."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
