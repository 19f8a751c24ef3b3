# %% [markdown]
# # 05 Pooling, flatten, dense
#
# **After this lesson you can** (1) build max and average pooling and *compute* the size of what they
# return, (2) say what each kind of pooling keeps and what it loses, (3) *measure* how far a network is
# indifferent to small shifts, and why pooling is only half of the answer, (4) explain what Flatten keeps
# and what a dense layer does not know, (5) judge how large the end of a network has to be.
#
# **It answers** questions 6 (pooling), 8 (the flatten layer) and 9 (fully connected layers) of
# Assessment 4.
#
# **Time:** 60 minutes to work through; about half a minute of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* build, compute, predict, measure, count, judge. *Prerequisites:* what a convolution, a
# stride and ReLU are (lesson [04](04_cnn_anatomy.ipynb)); what a validation split is (lesson 00).
# *To teach:* 60 minutes; 90 with the quiz. *Prepares:* homework 1 (activations, gradients and CNN parts).
# </details>

# %%
import dataclasses
import time

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_sample_image

import tlkit
from tlkit import evaluation, evidence, explain, head_probe, image_plots, pooling_plots, repeated

# %% [markdown]
# ## 1. Pooling by hand, and the size of its output (claim A6.1)
#
# A convolutional layer turns an image into **feature maps**: pictures that say where a pattern was found.
# **Pooling** makes such a map smaller. It puts a **window** of $k \times k$ pixels (the *kernel*) on it,
# moves the window in steps of $s$ pixels (the **stride**), and sums up each window in one number: its
# largest value (**max pooling**) or its mean (**average pooling**). Nothing is learned in it.
#
# At the border there are two rules. With the **padding** `"valid"`, a window must lie inside the image;
# what does not fill a window is left out. With `"same"`, the image is framed with empty places until the
# last window fits. We write "empty" as `nan` (not a number), which `np.nanmax` and `np.nanmean` skip.

# %%
def pool(image, kernel=2, stride=2, padding="valid", how=np.nanmax):
    """Sum up each window of an image [rows, columns]: `how` is np.nanmax or np.nanmean."""
    if padding == "same":
        needed = [(-(-side // stride) - 1) * stride + kernel - side for side in image.shape]
        frame = [(max(n, 0) // 2, (max(n, 0) + 1) // 2) for n in needed]
        image = np.pad(image, frame, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(image, (kernel, kernel))
    return how(windows[::stride, ::stride], axis=(2, 3))


image = np.array([[1, 3, 2, 1, 7], [4, 6, 0, 2, 7], [5, 1, 8, 1, 7], [0, 2, 3, 4, 7], [9, 9, 9, 9, 9.0]])
print(f"max\n{pool(image)}\naverage\n{pool(image, how=np.nanmean)}")
print(f"max, same\n{pool(image, padding='same')}")

# %% [markdown]
# The image has five rows and columns, an odd number. With `"valid"` its last row and column, the sevens
# and nines, are never looked at. With `"same"` they get windows of their own, half empty.
#
# The side $o$ of the output follows from the side $n$ of the image:
#
# $$o = \left\lfloor \frac{n - k}{s} \right\rfloor + 1 \;\;\text{(valid)} \qquad
# o = \left\lceil \frac{n}{s} \right\rceil \;\;\text{(same)}$$
#
# $\lfloor\,\rfloor$ rounds down, $\lceil\,\rceil$ rounds up. With `"same"` the window's size does not
# matter at all. Move the sliders (on a page without Python you see the first position): grey pixels are
# seen by a window, orange ones by none, dotted places lie outside the image.

# %% alt="Eleven pixels in a row, five windows of two above them; no window sees the last pixel"
def show_windows(side=11, kernel=2, stride=2, padding="valid"):
    """Draw the windows of one row of pixels."""
    pooling_plots.plot_windows(side, min(kernel, side), stride, padding)
    plt.show()


ipywidgets.interact(
    show_windows, side=(4, 16), kernel=(1, 5), stride=(1, 5), padding=["valid", "same"]
);

# %% [markdown]
# > **Predict.** The assessment says that pooling reduces the sides of the maps; most books add: *to half*.
# > A $3 \times 3$ window moves in steps of 2 over a side of 64. What comes out with `"valid"`: 31, 32
# > or 33?
#
# We draw several hundred images, windows, strides and paddings at random, and compare our function and the
# formula with Keras.

# %%
def output_side(n, k, s, padding):
    """The formula above."""
    return (n - k) // s + 1 if padding == "valid" else -(-n // s)


random = np.random.default_rng(0)
cases, wrong_sides, largest = 0, 0, 0.0
for k, s, rows, columns in random.integers(1, (8, 6, 41, 41), size=(500, 4)).tolist():
    padding = ["valid", "same"][cases % 2]
    k = min(k, rows, columns) if padding == "valid" else k
    image = random.standard_normal((rows, columns)).astype(np.float32)
    for how, theirs in ((np.nanmax, keras.ops.max_pool), (np.nanmean, keras.ops.average_pool)):
        ours, theirs = pool(image, k, s, padding, how), theirs(image[None, ..., None], k, s, padding)
        expected = output_side(rows, k, s, padding), output_side(columns, k, s, padding)
        wrong_sides += (ours.shape != expected) + (tuple(theirs.shape[1:3]) != expected)
        largest = max(largest, np.abs(ours - np.asarray(theirs)[0, ..., 0]).max())
    cases += 1
print(f"{cases} cases: {wrong_sides} wrong sizes, largest difference of a value {largest:.1e}")
print("3 x 3 windows, stride 2, side 64, valid:", output_side(64, 3, 2, "valid"))

# %% [markdown]
# The formula is exact. So which choices *do* halve? We try all windows up to 7 and strides up to 5 on every
# even side from 8 to 64.

# %%
def halves(k, s, padding):
    """Whether every even side from 8 to 64 comes out at exactly half."""
    return all(2 * output_side(n, k, s, padding) == n for n in range(8, 65, 2))


halving = [(k, s, p) for p in ("valid", "same") for k in range(1, 8) for s in range(1, 6) if halves(k, s, p)]
for padding in ("valid", "same"):
    print(f"{padding}: (window, stride) {[(k, s) for k, s, p in halving if p == padding]}")
print("odd side 7, window 2, stride 2:", {p: output_side(7, 2, 2, p) for p in ("valid", "same")})
condition = {s for _, s, _ in halving} == {2} and (2, 2, "valid") in halving
tlkit.record(
    "A6.1",
    value=wrong_sides,
    quantity=f"sizes that differ from the formula, of {4 * cases} outputs of Keras and of our own",
    verdict="does not hold" if wrong_sides or not condition
    else "holds when the stride is 2, the side even, and the window 2 or the padding 'same'",
    sentence="The output's side is floor((n - k) / s) + 1 with valid and ceil(n / s) with same padding; a "
    "2 x 2 window with stride 2 halves even sides, and rounds odd ones down (valid) or up (same).",
)

# %% [markdown]
# (A window of 1 with stride 2 is listed, too: it only takes every second pixel.) With a $3 \times 3$
# window and `"valid"`, a side of 64 gives 31: the last window would hang over the border.
#
# ## 2. What is kept, what is lost (claim A6.2)
#
# The assessment says that max pooling preserves "the most salient features", and that average pooling
# smooths. We test both on a picture that is as simple as possible: grey, with one bright and one dark line,
# each a pixel wide. Beside these two we look at
#
# - **every second pixel**: taken without looking at the others. A convolution with stride 2 moves like
#   this;
# - **blurred**: the largest of each $2 \times 2$ window, *at every pixel*, then a slight blur (two
#   averages in a row give the weights 1, 2, 1), and only then every second pixel (Zhang, 2019).
#
# > **Predict.** Which of the four lose the bright line? Which the dark one?

# %%
KINDS = {
    "max": pool,
    "average": lambda image: pool(image, how=np.nanmean),
    "every second pixel": lambda image: image[::2, ::2],
    "blurred": lambda image: pool(
        pool(pool(image, 2, 1, "same"), 2, 1, "same", np.nanmean), how=np.nanmean
    ),
}


def lines(bright, dark):
    """Grey picture [16, 16] with a bright and a dark line in the columns given."""
    picture = np.full((16, 16), 0.5)
    picture[:, bright], picture[:, dark] = 1.0, 0.0
    return picture


# %% alt="Max pooling loses the dark line, average fades both, every second pixel loses one"
def kept(kind, shift):
    """Share of the contrast of each line that is left, the lines moved by `shift` pixels."""
    row = kind(lines(4 + shift, 10 + shift))[4]
    return {"bright line": (row.max() - 0.5) / 0.5, "dark line": (0.5 - row.min()) / 0.5}


pictures = {"picture": lines(4, 11), **{name: kind(lines(4, 11)) for name, kind in KINDS.items()}}
figure = pooling_plots.plot_panels(pictures)
contrast = pd.DataFrame(
    {(name, f"moved by {d}"): kept(kind, d) for name, kind in KINDS.items() for d in (0, 1)}
).T
contrast.round(2)

# %% [markdown]
# *In words:* max pooling keeps the bright line in full and **erases the dark one**: the window always has a
# brighter neighbour. "Salient" here means *large*, not *important*. The thin strokes of black writing on
# white paper would vanish, unless a convolution before the pooling turns dark strokes into large numbers, as
# filters with negative weights do. Average pooling
# keeps half of both. Every second pixel keeps a line or loses it, depending on where it happens to lie:
# move it by one pixel, and it is gone. We shall meet that in section 3.
#
# Now the smoothing. We pool pure **noise**, random numbers of mean 0 and standard deviation 1 (the usual
# measure of spread).
#
# > **Predict.** A $2 \times 2$ window averages four numbers. By which factor does the spread shrink? And
# > what is the *mean* after max pooling?

# %%
rows = []
for seed in range(5):
    noise = np.random.default_rng(seed).standard_normal((504, 504))
    for k in (2, 3, 4):
        largest, mean = (pool(noise, k, k, how=how) for how in (np.nanmax, np.nanmean))
        rows.append((k, largest.mean(), largest.std(), mean.mean(), mean.std()))
columns = ["window", "max: mean", "max: spread", "average: mean", "average: spread"]
noise_table = pd.DataFrame(rows, columns=columns).groupby("window").mean()
noise_table.assign(**{"1 / window": 1 / noise_table.index}).round(3)

# %% [markdown]
# *In words:* averaging $k^2$ numbers divides the spread by $\sqrt{k^2} = k$: half, a third, a quarter. Max
# pooling shrinks it less, and adds a **bias**: the largest of four random numbers is on average about one
# standard deviation above their mean, and of sixteen more. A photograph gets brighter by max pooling; you
# can see it here. Average pooling leaves the mean as it is.

# %% alt="A temple in grey: max pooling brightens it, average does not, one in four frays the roof"
photograph = load_sample_image("china.jpg")[80:336, 160:416].mean(axis=2) / 255


def show_pooled(window=4):
    """Draw a photograph, and what windows of this size make of it."""
    results = {
        "every pixel": photograph,
        "max": pool(photograph, window, window),
        "average": pool(photograph, window, window, how=np.nanmean),
        f"one in {window}": photograph[::window, ::window],
    }
    pooling_plots.plot_panels({f"{name}, mean {v.mean():.2f}": v for name, v in results.items()})
    plt.show()


ipywidgets.interact(show_pooled, window=(1, 16));

# %% [markdown]
# ### Does it matter for accuracy?
#
# We need networks. Each has two **stages**, a convolution with ReLU and then pooling, and a third
# convolution. The kind of pooling is the only thing that changes. (The convolutions have no bias, so that
# a black background stays exactly zero; that will matter in section 3.)

# %% tags=["stored"]
def stage(x, filters, pooling):
    """Convolution with ReLU, then pooling: four ways to halve the sides, or none."""
    steps = 2 if pooling == "strided" else 1
    x = keras.layers.Conv2D(filters, 3, steps, "same", activation="relu", use_bias=False)(x)
    if pooling == "max":
        x = keras.layers.MaxPooling2D(2)(x)
    if pooling == "average":
        x = keras.layers.AveragePooling2D(2)(x)
    if pooling == "blurred":
        x = keras.layers.MaxPooling2D(2, strides=1, padding="same")(x)
        x = keras.layers.AveragePooling2D(2, strides=1, padding="same")(x)
        x = keras.layers.AveragePooling2D(2)(x)
    return x


# %% [markdown]
# What follows the convolutions is called the **head**: `Flatten` (the maps as one long row of numbers) or
# **global average pooling** (the mean of each map), then dense layers, the last of which names the class.

# %% tags=["stored"]
HEADS = {"linear": (), "global": (), "small": (64,), "large": (512, 512), "large, affine": (512, 512)}


def network(pooling="max", head="linear", side=32):
    """Three convolutions, the first two with pooling; Flatten or global pooling; dense layers."""
    pixels = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    if pooling != "no convolution":
        x = stage(stage(x, 16, pooling), 32, pooling)
        x = keras.layers.Conv2D(32, 3, padding="same", activation="relu", use_bias=False)(x)
    if pooling == "late":  # section 4
        x = keras.layers.MaxPooling2D(4)(x)
    pooled = keras.layers.GlobalAveragePooling2D if head == "global" else keras.layers.Flatten
    x = pooled(name="features")(x)
    for units in HEADS[head]:
        x = keras.layers.Dense(units, activation=None if "affine" in head else "relu")(x)
    return keras.Model(pixels, keras.layers.Dense(10, activation="softmax")(x))


# %% [markdown]
# And pictures: scikit-learn's handwritten digits, 12 pixels wide, on a black canvas, in its centre or
# anywhere.

# %% tags=["stored"]
def changed(dataset, change):
    """The same data set with the images of every split changed."""
    splits = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    return dataclasses.replace(
        dataset, **{name: dataclasses.replace(s, images=change(s.images)) for name, s in splits.items()}
    )


def on_canvas(digits, side, seed, moved=False):
    """Put digits on black canvases: in the centre, or anywhere."""
    random = np.random.default_rng(seed)

    def place(images):
        size = images.shape[1]
        canvases = np.zeros((len(images), side, side, 3), np.uint8)
        corners = np.full((len(images), 2), (side - size) // 2)
        if moved:
            corners = random.integers(0, side - size + 1, corners.shape)
        for canvas, image, (top, left) in zip(canvases, images, corners, strict=True):
            canvas[top : top + size, left : left + size] = image
        return canvases

    return changed(digits, place)


# %% tags=["stored"]
def permute_pixels(dataset, seed):
    """Give all images of a data set the same permutation of their pixels."""
    pixels = np.prod(dataset.train.images.shape[1:3])
    order = np.random.default_rng(seed).permutation(pixels)
    return changed(
        dataset, lambda images: images.reshape(len(images), -1, 3)[:, order].reshape(images.shape)
    )


EPOCHS = {"centred": 20, "few": 60, "moved": 20, "permuted": 20, "wild": 12}


def load(task, seed):
    """Load a task; the seed decides the splits, the places and the permutation."""
    if task == "wild":
        return tlkit.load_dataset("wild_digits", size=32, train_per_class=300, seed=seed)
    labels = 20 if task == "few" else None
    digits = tlkit.load_dataset("digits", size=12, train_per_class=labels, seed=seed)
    if task in ("centred", "few"):
        return on_canvas(digits, 32, seed)
    moved = on_canvas(digits, 24, seed, moved=True)
    return moved if task == "moved" else permute_pixels(moved, seed)  # permute: section 5


# %% tags=["stored"]
def measure(task, pooling, head, seed, rate=0.003):
    """Train one network; return one row of results."""
    dataset = load(task, seed)

    def look(model):
        if task == "centred":
            table = explain.shift_consistency(model, dataset.test.images)
            return {f"same_{shift:.0f}": same for shift, same in table.to_numpy()[1:]}
        return probe_features(model, dataset) if head == "large" else {}  # probe: section 6

    model = network(pooling, head, dataset.train.images.shape[1])
    options = {"epochs": EPOCHS[task], "optimizer": keras.optimizers.Adam(rate), "measure": look}
    runs = repeated.train_repeatedly(model, dataset, seeds=(seed,), **options)
    row = {"task": task, "pooling": pooling, "head": head, "rate": rate, "seed": seed}
    row["parameters"] = model.count_params()
    return row | runs.drop(columns=["seed", "history"]).iloc[0].to_dict()


# %% [markdown]
# One call of `measure` trains one network (`rate` is the learning rate) and returns one row: accuracies,
# and what we look at later. The whole table, every kind from SEEDS seeds, takes an hour; the course keeps
# it in `data/results/pooling.csv`, made with these very functions (`python benchmarks/pooling.py`). Here we
# train a part of it live and check that both agree.

# %%
live = pd.DataFrame([measure("centred", "strided", "global", seed=0)])
stored = pd.read_csv("../data/results/pooling.csv")
SEEDS = stored["seed"].nunique()
KEY = ["task", "pooling", "head", "rate", "seed"]


def agree(live):
    """Show live rows beside the stored ones of the same runs, and check that they agree."""
    both = live.merge(stored, on=KEY, suffixes=(" live", " stored"))
    assert len(both) == len(live)
    columns = ["test_accuracy live", "test_accuracy stored"]
    assert (both[columns[0]] - both[columns[1]]).abs().max() < 0.1
    return both[["task", "pooling", "head", *columns]].round(3)


print(f"{len(stored)} stored runs, {SEEDS} seeds")
agree(live)

# %% [markdown]
# (They need not be equal to the last digit: another processor rounds in another order, and training
# amplifies that.) Now all kinds, on two tasks: digits in the centre of a black canvas, and the
# `wild_digits` of lesson 00, 300 pictures a class. The head is Flatten and one dense layer.
#
# > **Predict.** Order the five by test accuracy on the wild digits: max, average, strided convolution,
# > blurred, none.

# %% alt="Accuracy by pooling: close together on centred digits; on wild ones none is last"
def minus(column, one, other, **where):
    """Stored runs of `one` minus those of `other`, seed by seed, in points: mean and interval."""
    groups = []
    for group in (where | one, where | other):
        rows = stored[(stored[list(group)] == pd.Series(group)).all(axis=1)]
        assert rows["seed"].tolist() == list(range(SEEDS)), group
        groups.append(100 * rows[column].to_numpy())
    return evaluation.mean_interval(groups[0] - groups[1])


figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), layout="constrained", sharey=True)
flat = stored[(stored["head"] == "linear") & (stored["pooling"] != "late")]
for ax, task in zip(axes, ("centred", "wild"), strict=True):
    rows = flat[flat["task"] == task]
    pooling_plots.plot_groups(rows, "test_accuracy", by="pooling", label="test accuracy (share)", ax=ax)
    ax.set_title(f"{task} digits", fontsize=10)
    for kind in ("average", "strided", "blurred", "none"):
        gain = minus("test_accuracy", {"pooling": kind}, {"pooling": "max"}, task=task, head="linear")
        print(f"{task:8} {kind:8} minus max: {gain} points")

# %% [markdown]
# *In words:* a hollow dot is one seed, a bar the 95 % interval of the mean. On the centred digits all kinds
# lie close together (look at the axis). On the wild digits average pooling is several points behind max
# pooling: smoothing has a price where strong, sparse responses matter. Strided convolution and blurred
# pooling are near max pooling. No pooling at all is far behind; section 4 says why. This is a result for one
# network and two tasks, not a law: which kind is best is a question for *your* validation split.

# %%
dark, bright = (contrast.loc["max", line] for line in ("dark line", "bright line"))
smooths = (noise_table["average: spread"] * noise_table.index).between(0.97, 1.03).all()
if bright.min() > 0.99 and dark.max() < 0.01 and smooths:
    verdict = "holds when salient means large, not important"
else:
    verdict = "holds" if bright.min() > 0.99 and smooths else "does not hold"
tlkit.record(
    "A6.2",
    value=float(dark.max()),
    quantity="share of a thin dark line's contrast that max pooling keeps (of a bright line's: all)",
    verdict=verdict,
    sentence="Max pooling keeps what is large and erases what is small, be it important or not; average "
    "pooling keeps the mean and divides the spread of independent noise by the window's side.",
)

# %% [markdown]
# ## 3. Small shifts (claim A6.3)
#
# A digit stays the same digit when it moves by a pixel. A network that gives the same answer is called
# **invariant** to that shift. The assessment says that pooling brings this about. First by hand: a single
# bright pixel moves through a row, and we look at the max-pooled row.
#
# > **Predict.** The pixel moves by one place. Does the pooled row change always, never, or every second
# > time?

# %%
unchanged = []
for position in range(8):
    row = np.zeros((2, 10))
    row[0, position] = 1
    moved = np.roll(row, 1, axis=1)
    unchanged.append(np.array_equal(pool(row), pool(moved)))
    print(f"pixel at {position}: pooled {pool(row)[0].astype(int)}")
print(f"unchanged by one step: {np.mean(unchanged):.2f} of all positions")

# %% [markdown]
# *In words:* inside a window, nothing changes; when the pixel crosses to the next window, the output jumps
# by a whole place. So a layer of pooling is invariant in half of the steps, and in the other half it is
# not. **Taking every second value** is what does it: details finer than the new grid come out
# differently on it, depending on where they lie. This is called **aliasing**, and it is the reason why
# engineers blur before they shrink.
#
# Now whole networks. We train on digits in the *centre* of the canvas, move the test images by 1 to 8
# pixels, up, down, left and right, and count how often the predicted class stays the same. The canvas is
# black, so nothing is cut off and nothing new comes in. Each kind of pooling has two heads:
#
# - **Flatten** and a dense layer, which has a weight of its own for each place;
# - **global average pooling**: the mean of each map, wherever its large values are.
#
# > **Predict.** Which of the ten combinations is the most indifferent to shifts? (One of them does no
# > pooling between the convolutions at all.)

# %% alt="Same predictions by shift: Flatten falls steeply; global pooling alone stays at 1"
columns = {f"same_{shift}": shift for shift in range(1, 9)}
shifted = stored[stored["task"] == "centred"].rename(columns=columns)
names = {"linear": "Flatten, dense", "global": "global pooling, dense"}
shifted["head"], shifted[0] = shifted["head"].map(names), 1.0
shifted = shifted.melt(["pooling", "head", "seed", "test_accuracy"], range(9), "shift", "same")
figure = pooling_plots.plot_consistency(shifted)
table = shifted[shifted["shift"].isin([1, 2, 4])].pivot_table("same", ["head", "pooling"], "shift", sort=False)
table["test accuracy"] = shifted.groupby(["head", "pooling"])["test_accuracy"].mean()
table.round(3)

# %% [markdown]
# *In words:* one panel for each kind; thin lines are single seeds.
#
# *Flatten (blue).* Every kind forgets quickly: the dense layer has learned weights for the *places* at which
# it saw digits. Max pooling helps a little at 1 and 2 pixels, blurred pooling more. Average pooling and
# strided convolution are no better than no pooling at all.
#
# *Global pooling (orange).* The network **without** pooling between its convolutions hardly changes a
# prediction. That is no wonder: a convolution moves its maps along with the image (it is *equivariant*,
# lesson 04), and the mean of a map does not ask where. The others *break* this. After two halvings the map
# has one value for every four pixels, so shifts by 4 and 8 do no harm, and those in between do: aliasing.
# Blurred pooling repairs most of it.
#
# A warning: a network that always says "7" is perfectly invariant. So read the accuracy beside it. With
# global pooling, the blurred network and the one without pooling learn more slowly: after the same 20 epochs
# they are less accurate.

# %%
stored["small"] = stored[["same_1", "same_2"]].mean(axis=1)
rows = stored.query("task == 'centred' and pooling == 'max' and head == 'linear'")
same_max = evaluation.mean_interval(rows["small"])
none, best = {"pooling": "none"}, {"pooling": "max"}
flatten = minus("small", best, none, task="centred", head="linear")
overall = minus("small", best, none, task="centred", head="global")
print(f"share of predictions unchanged by 1 or 2 pixels, max minus none, in points:\n"
      f"    Flatten {flatten}, global pooling {overall}")
for kind in ("average", "strided", "blurred"):
    more = [minus("small", {"pooling": kind}, best, task="centred", head=h) for h in ("linear", "global")]
    print(f"{kind} minus max: Flatten {more[0]}, global pooling {more[1]}")
if same_max.low > 0.95 and overall.high > -2:
    verdict = "holds"
elif flatten.low > 0:
    verdict = "holds when 'invariant' is read as 'less sensitive', and the head is Flatten"
else:
    verdict = "does not hold"
tlkit.record(
    "A6.3",
    value=same_max.value,
    low=same_max.low,
    high=same_max.high,
    quantity="share of predictions unchanged by a shift of 1 or 2 pixels, max pooling, Flatten",
    seeds=SEEDS,
    verdict=verdict,
    sentence="Max pooling makes a network less sensitive to shifts within its window, not invariant: taking "
    "every second value breaks the invariance that convolutions and global pooling would have; blurring "
    "first repairs most of that.",
)

# %% [markdown]
# ## 4. What pooling saves (claim A6.4)
#
# We count. A convolution that returns $h \times w$ pixels in $f$ maps, from $c$ maps through a
# $3 \times 3$ kernel, takes $h \cdot w \cdot f \cdot 9c$ multiplications, each with an addition
# (**multiply-adds**). A number in a map takes 4 bytes.
#
# > **Predict.** Two poolings, each of which halves the sides. By what factor do the multiply-adds of the
# > whole network fall: 2, 4, 16, or something else?

# %%
def cost(model):
    """Multiply-adds for one image, bytes of all maps, and parameters."""
    adds = numbers = 0
    for layer in model.layers[2:]:
        size = int(np.prod(layer.output.shape[1:]))
        numbers += 0 if isinstance(layer, keras.layers.Flatten) else size
        if hasattr(layer, "kernel"):
            adds += size * int(np.prod(layer.kernel.shape[:-1]))
    return {"multiply-adds": adds, "bytes of maps": 4 * numbers, "parameters": model.count_params()}


kinds = ["none", "late", "max", "average", "strided", "blurred"]
models, rounds = {kind: network(kind, "linear") for kind in kinds}, []
for _ in range(9):
    seconds = {}
    for kind, model in models.items():
        began = time.perf_counter()
        model(np.zeros((64, 32, 32, 3), np.uint8))
        seconds[kind] = time.perf_counter() - began
    rounds.append({kind: value / seconds["none"] for kind, value in seconds.items()})
costs = pd.DataFrame({kind: cost(model) for kind, model in models.items()}).T
rounds = pd.DataFrame(rounds[1:])  # the first round also prepares the models
costs.assign(**{"time, none = 1": rounds.median().round(2), "its spread": rounds.std().round(2)})

# %% [markdown]
# *In words:* the factor is neither 4 nor 16. The first convolution works at full size in any case, the
# second at a quarter of the pixels, the third at a sixteenth. A strided convolution saves more: it does not
# even compute what would be dropped. Blurred pooling keeps large maps for a moment. The time, measured side
# by side on the machine that made this page, falls less than the multiply-adds, since reading and writing
# maps takes time, too. ("late" is one pooling by 4 at the end, for the next question.)
#
# ### And overfitting?
#
# A network **overfits** when it knows its training images much better than new ones. The **gap** is
# training accuracy minus test accuracy. Three tasks: centred digits, all 1,078 of them and 20 a class, and
# the wild ones.
#
# > **Predict.** On which of the three does the network without pooling have the larger gap?

# %% alt="Gap: equal on centred digits; on wild digits large without any pooling only"
figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.0), layout="constrained", sharey=True)
titles = {"centred": "centred, all", "few": "centred, 20 a class", "wild": "wild"}
kinds = stored[(stored["head"] == "linear") & stored["pooling"].isin(["max", "none", "late"])]
for ax, (task, title) in zip(axes, titles.items(), strict=True):
    rows = kinds[kinds["task"] == task].sort_values("pooling", ascending=False, kind="stable")
    pooling_plots.plot_groups(rows, "gap", by="pooling", label="gap (points)", scale=100, ax=ax)
    ax.set_title(title, fontsize=10)

# %%
gaps = {task: minus("gap", none, best, task=task, head="linear") for task in ("centred", "few", "wild")}
late = minus("gap", {"pooling": "late"}, best, task="wild", head="linear")
for name, found in gaps.items():
    print(f"{name}: gap without pooling minus gap with max pooling {found} points")
print(f"wild: gap with one late pooling minus gap with max pooling {late} points")
saved = costs["multiply-adds"]["none"] / costs["multiply-adds"]["max"]
print(f"multiply-adds: {saved:.1f} times fewer with max pooling than without")
if min(saved - 2, gaps["wild"].low) < 0:
    verdict = "does not hold"
elif all(found.low > 0 for found in gaps.values()):
    verdict = "holds"
else:
    verdict = "holds when there is overfitting to cut; the cost falls always"
tlkit.record(
    "A6.4",
    value=gaps["wild"].value,
    low=gaps["wild"].low,
    high=gaps["wild"].high,
    unit="points",
    quantity="gap between training and test accuracy on wild_digits, no pooling minus max pooling",
    seeds=SEEDS,
    verdict=verdict,
    sentence="Pooling between convolutions always cuts their multiply-adds; it cuts overfitting where there is "
    "much of it, and chiefly by making the dense layer behind Flatten smaller.",
)

# %% [markdown]
# *In words:* on the centred digits there is little overfitting, and pooling makes no clear difference to
# it. On the wild digits the gap without pooling is far larger. But look at "late": this network does not
# pool between its convolutions, only once before Flatten, and its gap is about that of max pooling. The
# table above says what the two have in common: the parameters, a tenth of those without pooling. It is the
# **smaller dense layer** that overfits less.
#
# ## 5. Flatten (claim A8.1)
#
# The assessment says that flattening *preserves the spatial information* for the dense layers. Flatten
# writes the maps as one row of numbers. Two facts about it can be checked to the last digit.

# %%
maps = np.random.default_rng(0).standard_normal((5, 6, 6, 32))
flat_maps = np.asarray(keras.layers.Flatten(dtype="float64")(maps))
print("reshaped back, equal to the last digit:", np.array_equal(flat_maps.reshape(maps.shape), maps))

kernel = np.random.default_rng(1).standard_normal((6 * 6 * 32, 10))
order = np.random.default_rng(2).permutation(6 * 6 * 32)
shuffled = flat_maps[:, order] @ kernel[order]
print(f"inputs and weights shuffled alike: outputs differ by {np.abs(shuffled - flat_maps @ kernel).max():.0e}")

# %% [markdown]
# The first line says: nothing is lost. Every number has its own fixed place, and can be put back.
#
# The second line says: **for a dense layer, all orders are the same**. Whatever it computes on the numbers
# in order, it computes on shuffled numbers with its weights shuffled alike. Its first weights are random,
# so it has no reason to prefer one order. It does not know which numbers were *neighbours*.
#
# So we make an experiment that sounds mad. We shuffle the pixels of every image, **all images in the same
# way**. No information is lost; but which pixels were neighbours can no longer be seen.

# %% alt="Digits at various places, and below them the same images shuffled: scattered dots"
both = [load(task, 0).test.images[:6] for task in ("moved", "permuted")]
figure = image_plots.plot_images(np.concatenate(both), columns=6)

# %% [markdown]
# > **Predict.** Two networks, each trained on the pictures above and, separately, on those below: a dense
# > one (Flatten, 64 units, 10 classes) and one with convolutions and max pooling. For each: does shuffling
# > cost accuracy? How much?
#
# Four trainings live, about ten seconds; all seeds from the table.

# %% alt="Shuffling costs the dense network nothing, the convolutional one nearly half"
NETWORKS = {"dense": ("no convolution", "small"), "convolutional": ("max", "linear")}
ORDERS = {"moved": "in order", "permuted": "shuffled"}
live = pd.DataFrame(measure(task, *NETWORKS[name], seed=0) for name in NETWORKS for task in ORDERS)
print(agree(live))
parts = {parts: name for name, parts in NETWORKS.items()}
runs = stored[stored["task"].isin(ORDERS) & (stored["rate"] == 0.003)]
runs = runs.assign(parts=list(zip(runs["pooling"], runs["head"], strict=True)))
runs = runs[runs["parts"].isin(parts)].assign(
    network=lambda t: t["parts"].map(parts) + ", " + t["task"].map(ORDERS)
)
ax = pooling_plots.plot_groups(
    runs.sort_values("network"), "test_accuracy", by="network", label="test accuracy (share)"
)

# %%
loss = {
    name: minus("test_accuracy", {"task": "moved"}, {"task": "permuted"}, pooling=p, head=h, rate=0.003)
    for name, (p, h) in NETWORKS.items()
}
for name, found in loss.items():
    print(f"{name}: in order minus shuffled {found} points")
dense, cnn = loss["dense"], loss["convolutional"]
blind = abs(dense.value) < 5 and cnn.low > 20
tlkit.record(
    "A8.1",
    value=cnn.value,
    low=cnn.low,
    high=cnn.high,
    unit="points",
    quantity="accuracy that a CNN loses when all images are shuffled alike (a dense network loses none)",
    seeds=SEEDS,
    verdict="holds when order is meant, not neighbourhood" if blind else "does not hold",
    sentence="Flatten keeps every number and its place, and can be undone; but the dense layer behind it "
    "treats all places alike and does not know which were neighbours: only the convolutions before used that.",
)

# %% [markdown]
# *In words:* the dense network scores about the same on both, and the interval of its difference is small.
# The convolutional one loses all its advantage and more: shuffled, it falls below the dense one. Its first
# layers look at neighbours, and neighbours mean nothing any more. So Flatten does hand over every number and
# its place. What it cannot hand over is that places are near each other; whatever the network is to make of
# that, it must make *before* it flattens.
#
#
# ### Flatten or global average pooling?
#
# > **Predict.** Which of the two heads has more parameters? Which accepts images of any size?

# %%
for layer in (keras.layers.Flatten(), keras.layers.GlobalAveragePooling2D()):
    x = keras.layers.Conv2D(32, 3)(keras.Input((None, None, 3)))
    try:
        model = keras.Model(x._keras_history.operation.input, keras.layers.Dense(10)(layer(x)))
        print(layer.name, [tuple(model(np.zeros((1, side, side, 3))).shape) for side in (24, 40)])
    except ValueError as error:
        print(f"{layer.name}: {str(error).splitlines()[0][:90]}")
heads = stored[(stored["pooling"] == "max") & stored["head"].isin(["linear", "global"])]
heads = heads.query("task in ('centred', 'moved') and rate == 0.003 or task == 'wild'")
heads.groupby(["task", "head"])[["parameters", "test_accuracy", "gap"]].mean().round(3)

# %% [markdown]
# *In words:* Flatten followed by a dense layer must know the size of the image when it is built, and has a
# weight for each place. Global average pooling takes any size and has a tenth of the parameters or fewer. In
# accuracy neither wins everywhere. On centred digits, where the place tells something, Flatten is ahead; on
# moved digits, where it tells nothing, global pooling is. On the wild ones the network with global pooling
# hardly learned anything in its 12 epochs, with which Flatten does well; networks that end in global pooling
# are usually trained longer, and with BatchNormalization.
#
#
# ## 6. Dense layers at the end (claims A9.1 and A9.2)
#
# Question 9 says that fully connected layers perform the *high-level reasoning*. VGG16 (Simonyan &
# Zisserman, 2014) is the network that most people think of: 13 convolutions, then three dense layers.
#
# > **Predict.** Which share of VGG16's 138 million parameters is in its three dense layers? Which share of
# > its multiply-adds?

# %%
side, channels, parameters, adds = 224, 3, {"convolutions": 0}, {"convolutions": 0}
for filters, layers in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]:
    for _ in range(layers):
        parameters["convolutions"] += 9 * channels * filters + filters
        adds["convolutions"] += side**2 * 9 * channels * filters
        channels = filters
    side //= 2  # max pooling: 224, 112, 56, 28, 14, 7
inputs = side * side * channels
for name, units in (("dense 1", 4096), ("dense 2", 4096), ("dense 3", 1000)):
    parameters[name], adds[name] = inputs * units + units, inputs * units
    inputs = units
built = keras.applications.VGG16(weights=None, include_top=False).count_params()
assert built == parameters["convolutions"]
vgg = pd.DataFrame({"parameters": parameters, "multiply-adds": adds})
vgg.loc["all"] = vgg.sum()
vgg.assign(**{f"share of {name}": (vgg[name] / vgg[name]["all"]).round(3) for name in vgg})

# %% [markdown]
# Nine tenths of the parameters do less than one percent of the work. Are they what *reasons*? In our
# network we vary the head: two dense layers of 512 units with ReLU before the last one, which names the
# class ("large", with most of the parameters, as in VGG16); the same without activation ("large, affine");
# the last one only ("linear"); global average pooling and the last one only ("global"). The convolutions
# are the same.
#
# With the moved digits, each head gets the better of two learning rates, chosen by *validation* accuracy.
# And we ask how far the convolutions have come already: a **probe** is a linear classifier (logistic
# regression) that is trained on what they return in the network with the large head. A second one gets the
# raw pixels.

# %% tags=["stored"]
def probe_features(model, dataset):
    """Fit a linear classifier on the convolutions' output, and one on the pixels."""
    features = keras.Model(model.inputs, model.get_layer("features").output)
    splits = {name: getattr(dataset, name).images for name in ("train", "validation", "test")}
    made = {name: features.predict(images, verbose=0) for name, images in splits.items()}
    plain = {name: images.reshape(len(images), -1) / 255 for name, images in splits.items()}
    return {
        "probe_features": head_probe.probe(made, dataset).metrics["accuracy"],
        "probe_pixels": head_probe.probe(plain, dataset).metrics["accuracy"],
    }


# %% alt="Accuracy by head: the large head is not ahead of the best small one on either task"
trials = stored[(stored["pooling"] == "max") & stored["task"].isin(["moved", "wild"])]
first = trials.assign(validation=trials["validation_accuracy"].where(trials["seed"] < 3))
validation = first.groupby(["task", "head", "rate"])["validation"].transform("mean")
best_rate = validation == validation.groupby([trials["task"], trials["head"]]).transform("max")
chosen = trials[best_rate]
figure, axes = plt.subplots(1, 2, figsize=(9, 2.3), layout="constrained", sharey=True)
for ax, task in zip(axes[::-1], ("wild", "moved"), strict=True):
    shown = chosen[chosen["task"] == task]
    pooling_plots.plot_groups(shown, "test_accuracy", by="head", label="test accuracy (share)", ax=ax)
    ax.set_title(f"{task} digits", fontsize=10)
convolutions = sum(layer.count_params() for layer in network().layers if "conv" in layer.name)
chosen = chosen.assign(in_head=chosen["parameters"] - convolutions)
columns = ["rate", "in_head", "test_accuracy", "probe_features", "probe_pixels"]
print(f"parameters of the convolutions: {convolutions:,}")
chosen.groupby(["task", "head"], sort=False)[columns].mean().round(3)

# %%
def head_minus(task, one, other):
    """Difference of two heads, each at its better rate, in points of test accuracy."""
    by = chosen[chosen["task"] == task].pivot(index="seed", columns="head", values="test_accuracy")
    return evaluation.mean_interval((100 * (by[one] - by[other])).to_numpy())


small = chosen[chosen["head"].isin(["linear", "global"])].groupby(["task", "head"])["validation_accuracy"]
gain = {}
for task in ("moved", "wild"):
    best_small = small.mean()[task].idxmax()
    gain[task] = head_minus(task, "large", best_small)
    print(f"{task}: large minus {best_small}, the best small head by validation: {gain[task]} points")
print(f"moved: large minus linear {head_minus('moved', 'large', 'linear')} points")
reached = chosen[chosen["head"] == "large"].set_index(["task", "seed"])
beyond = reached[["probe_features", "test_accuracy"]].sub(reached["probe_pixels"], axis=0)
share = beyond["probe_features"] / beyond["test_accuracy"]
there = {task: evaluation.mean_interval(share[task].to_numpy()) for task in gain}
for task, found in there.items():
    print(f"{task}: of the accuracy beyond that of pixels, the convolutions' output holds {found}")

# %% [markdown]
# *In words:* on the moved digits, global pooling with a single dense layer, whose head has 330 parameters,
# is no worse than the large head with 858,122. On the wild digits the linear head is ahead of the large one,
# which overfits. The linear probe finds nearly all of the accuracy in what the convolutions return, and next
# to nothing in the pixels. Whatever one may call reasoning, most of it has happened *before* the dense
# layers. (The wild network with global pooling has hardly learned anything, as before; it is no evidence
# for either side.)

# %%
read = min(found.low for found in there.values())
if read > 0.75 and max(found.high for found in gain.values()) < 3:
    verdict = "does not hold"
else:
    verdict = "holds when the convolutions have not separated the classes already"
tlkit.record(
    "A9.1",
    value=there["moved"].value,
    low=there["moved"].low,
    high=there["moved"].high,
    quantity="share of the accuracy beyond a linear classifier of pixels that one of the convolutions' "
    "output reaches, moved digits",
    seeds=SEEDS,
    verdict=verdict,
    sentence="The last dense layer weighs features that the convolutions have made almost linearly "
    "separable; large dense layers before it hold most of the parameters of a network such as VGG16, but a "
    "linear head or global pooling did as well here.",
)

# %% [markdown]
# ### Is a dense layer non-linear?
#
# The assessment writes: "Fully connected layers introduce non-linearity into the network." A map $f$ is
# **affine** (linear up to a constant) if for all inputs $x, y$ and numbers $a, b$
#
# $$f(ax + by) - a f(x) - b f(y) + (a + b - 1) f(0) = 0.$$
#
# > **Predict.** Keras' `Dense(32)`, two of them in a row, and `Dense(32, activation="relu")`: for which does
# > this hold?

# %%
def departure(layers, seed, a=2.0, b=-3.0):
    """Largest value of the formula's left side, relative to the largest output."""
    keras.utils.set_random_seed(seed)
    f = keras.Sequential([keras.Input((64,)), *layers])
    x, y = np.random.default_rng(seed).standard_normal((2, 100, 64)).astype(np.float32)
    f_x, f_y, f_both, f_0 = (np.asarray(f(v)) for v in (x, y, a * x + b * y, 0 * x))
    return np.abs(f_both - a * f_x - b * f_y + (a + b - 1) * f_0).max() / np.abs(f_both).max()


Dense = keras.layers.Dense
affine = [departure([Dense(32)], seed) for seed in range(5)]
stacked = [departure([Dense(32), Dense(32)], seed) for seed in range(5)]
relu = [departure([Dense(32, activation="relu")], seed) for seed in range(5)]
for name, found in {"Dense": affine, "two Dense": stacked, "Dense with ReLU": relu}.items():
    print(f"{name:16} {min(found):.0e} to {max(found):.0e}")
straight, bent = max(affine + stacked) < 1e-4, min(relu) > 0.1
tlkit.record(
    "A9.2",
    value=float(max(affine + stacked)),
    quantity="departure of dense layers without activation from an affine map (with ReLU: more than 0.1)",
    seeds=5,
    verdict="holds when the layer has an activation function" if straight and bent
    else "does not hold" if straight else "holds",
    sentence="A dense layer by itself is affine, and so are several in a row; the activation function "
    "introduces the non-linearity, behind a dense layer as behind a convolution.",
)

# %% [markdown]
# *In words:* without an activation, what is left is rounding (32-bit numbers carry about seven digits).
# Two dense layers in a row are still affine. The assessment's next sentence says it well: each neuron
# *applies an activation function* to its weighted sum. It is that function which bends, not the dense
# layer. Keras' `Dense` has none unless you ask for it. In VGG16, 13 of the 15 ReLUs stand behind
# convolutions, and the last dense layer has only the softmax, which does not change which class is the
# largest. This is also why "large, affine" above could not do more than "linear": both are the same kind of
# map.
#
# ## 7. What we measured

# %%
evidence.measured()

# %% [markdown]
# ## Quiz
#
# **1. A map has a side of 15. A $3 \times 3$ window pools it with stride 2, padding "valid". Which side comes
# out?**
#
# A. 5
#
# B. 7
#
# C. 7.5, so 8
#
# D. 8, since the border must not be lost
#
# <details><summary>Answer</summary>
#
# **B**: $\lfloor (15 - 3) / 2 \rfloor + 1 = 7$. *A* takes the window for the stride ($15 / 3$): the stride
# decides how many steps there are; move the sliders of section 1. *C* believes that pooling always halves:
# section 1 found that only stride 2 on even sides does, and that "valid" rounds down. *D* is what "same"
# gives; with "valid", the orange pixels are indeed lost.
# </details>
#
# **2. Black handwriting on white paper, pixel values from 0 to 1, goes straight into max pooling. What happens
# to a stroke one pixel wide?**
#
# A. It is kept, since it is the salient feature
#
# B. It becomes grey
#
# C. It disappears
#
# D. It gets twice as wide
#
# <details><summary>Answer</summary>
#
# **C**: each window has a brighter pixel. *A* takes "salient" for "important": max pooling only knows
# "large"; the table of section 2 gives 0 for the dark line. *B* describes average pooling, which kept half of
# the contrast. *D* happens to *bright* strokes, measured in pixels of the picture.
# </details>
#
# **3. You want predictions that do not depend on shifts of 1 to 4 pixels. Which of these networks came out
# best?**
#
# A. Max pooling, then Flatten and a dense layer
#
# B. Strided convolutions, then global average pooling
#
# C. Convolutions without pooling, then Flatten and a dense layer
#
# D. Convolutions without pooling, then global average pooling
#
# <details><summary>Answer</summary>
#
# **D**: convolutions move with the image, the global mean does not ask where. *A* believes that pooling makes
# invariant: it kept about two thirds of the predictions at 1 or 2 pixels, and few at 4. *B* believes that
# global pooling is enough: taking every second value breaks it between multiples of 4. *C* believes that
# convolutions make invariant: they are equivariant, and the dense layer behind Flatten is tied to places.
# </details>
#
# **4. All images of a training and a test set are shuffled with one fixed permutation of the pixels. What
# happens to the test accuracy of a purely dense network?**
#
# A. It falls to guessing
#
# B. It falls, but less than that of a CNN
#
# C. It stays the same, up to chance
#
# D. It stays the same for the dense network and for the CNN, since no information is lost
#
# <details><summary>Answer</summary>
#
# **C**: with its weights shuffled alike, it is the same network; section 5 checked that to rounding. *A* and
# *B* believe that a dense layer uses neighbourhood; the measured difference is near zero. *D* takes
# "information is there" for "the network can use it": the CNN lost some forty points.
# </details>
#
# **5. You remove the activation functions of the two large dense layers of a head, but leave their units.
# What can the head still compute?**
#
# A. Anything that it could before, as the parameters are the same
#
# B. Only affine functions of the features, like a single dense layer
#
# C. Nothing, since gradients cannot flow through it
#
# D. Non-linear functions, since fully connected layers introduce non-linearity
#
# <details><summary>Answer</summary>
#
# **B**: section 6 measured it: two dense layers in a row depart from an affine map by rounding only. *A* takes
# parameters for power: "large, affine" has as many as "large". *C*: it trained, as the table of heads shows.
# *D* is the sentence of the assessment; with ReLU the departure is large, without it there is none.
# </details>
#
# **6. Where are VGG16's parameters, and where is its work?**
#
# A. Both mostly in the dense layers
#
# B. Parameters mostly in the dense layers, multiply-adds mostly in the convolutions
#
# C. Parameters mostly in the convolutions, multiply-adds mostly in the dense layers
#
# D. Both mostly in the convolutions, since there are 13 of them
#
# <details><summary>Answer</summary>
#
# **B**: a dense weight is used once an image, a weight of a convolution at every place. *A* takes parameters
# for work, *D* counts layers; the table of section 6 gives both shares. *C* has them the wrong way round.
# </details>
#
# **Next:** [06 Data augmentation](06_data_augmentation.ipynb). Back to [04 CNN anatomy](04_cnn_anatomy.ipynb).
