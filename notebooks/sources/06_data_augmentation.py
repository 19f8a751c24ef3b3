# %% [markdown]
# # 06 Data augmentation
#
# **After this lesson you can** (1) write two augmentations by hand and use seven ready ones, (2) prove
# that training sees new copies in every epoch, and find the line of code that silently prevents it,
# (3) measure what augmentation does to overfitting, to accuracy and to memorising, (4) decide from your
# *labels* which transformations are allowed.
#
# **It answers** question 7 of Assessment 4 (data augmentation).
#
# **Time:** 60 minutes to work through; about half a minute of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* write, verify, measure, choose. *Prerequisites:* what a convolution, pooling, a seed and
# an interval are (lessons 00, 04 and 05). *To teach:* 60 minutes. *Prepares:* homework 1 (activations,
# gradients and CNN parts) and homework 3 (design choices).
# </details>

# %%
import colorsys
import dataclasses
import functools

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy import ndimage
from sklearn.datasets import load_digits

import tlkit
from tlkit import augmentation, augmentation_plots, curve_plots, drawing, evaluation, evidence
from tlkit.augmented_views import preview
from tlkit.batches import Batches
from tlkit.classifier import Trainer
from tlkit.dataset import Dataset, Split, stratified_split, take_per_class
from tlkit.figure_style import OKABE_ITO
from tlkit.initial import draw_weights

# %% [markdown]
# ## 1. One set of pictures, two questions
#
# Augmentation can only teach a network to ignore what really varies. So we need pictures that vary as
# photographs do. We take scikit-learn's real handwritten digits and let code put each one, **once**, on a
# sheet of coloured paper: turned by up to 20 degrees, moved, large or small, in brighter or dimmer light,
# with the grain of a camera sensor. Training, validation and test pictures are all made so.

# %%
SIDE = 24  # pixels
COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")


def on_paper(digit, rng):
    """Draw a digit in dark ink on paper of one of six colours, as a photograph might show it."""
    ink = drawing.warp(digit, rng, rotation=20, scale=(0.6, 0.95), translation=0.12, bend=0)[..., None]
    colour = int(rng.integers(len(COLOURS)))
    hue = (colour + rng.uniform(-0.25, 0.25)) / len(COLOURS) % 1
    paper = 255 * np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.2, 0.6), rng.uniform(0.6, 1)))
    photograph = paper * (1 - rng.uniform(0.6, 1) * ink) + rng.normal(0, 8, (SIDE, SIDE, 3))
    return np.clip(photograph, 0, 255).astype(np.uint8), colour


# %%
handwriting = load_digits()  # 8 x 8 pixels, enlarged here
enlarge = ndimage.zoom(np.eye(8), (SIDE / 8, 1), order=3, grid_mode=True, mode="grid-constant")
digits = np.clip(enlarge @ (handwriting.images / 16) @ enlarge.T, 0, 1).astype(np.float32)
drawn = [on_paper(digit, np.random.default_rng([6, number])) for number, digit in enumerate(digits)]
photographs = np.stack([image for image, _ in drawn])
LABELS = {"digit": handwriting.target.astype(np.int64), "colour": np.array([colour for _, colour in drawn])}
NAMES = {"digit": tuple("0123456789"), "colour": COLOURS}
print(f"{len(photographs):,} pictures of {SIDE} x {SIDE} pixels")

# %% [markdown]
# Each picture has **two** labels: *which digit* is written on it, and *which colour* the paper has. The two
# have nothing to do with each other. We can ask either question of the same pictures; keep that in mind
# for section 8. A third "question", `random`, shuffles the labels among the training pictures.


# %%
@functools.cache
def load(question, per_class, seed):
    """Divide the pictures by seed; of the training part keep `per_class` of each class."""
    asked = "digit" if question == "random" else question
    labels, names = LABELS[asked], NAMES[asked]
    parts = list(stratified_split(labels, (0.6, 0.2, 0.2), seed, names))
    parts[0] = parts[0][take_per_class(labels[parts[0]], per_class, seed, names)]
    train, validation, test = (Split(photographs[part], labels[part]) for part in parts)
    if question == "random":
        train = Split(train.images, np.random.default_rng([7, seed]).permutation(train.labels))
    return Dataset(question, names, train, validation, test)


# %% alt="Ten small pictures, each a handwritten digit in dark ink on coloured paper, with digit and colour above"
names = [f"{LABELS['digit'][i]}\n{COLOURS[LABELS['colour'][i]]}" for i in range(10)]
ax = augmentation_plots.plot_copies({"": photographs[:10]}, names)

# %% [markdown]
# *In words:* digits in dark ink on red, yellow, green, cyan, blue or magenta paper, upright or a little
# slanted, in the middle or off it, large or small.
#
# ## 2. Two augmentations by hand
#
# **Augmentation** means: at every training step, show the network a *changed copy* of each image and keep
# the label. Two changes need nothing but indexing. Let $x_{r,c}$ be the pixel in row $r$ and column $c$
# of an image that is $W$ columns wide. A **flip** mirrors it, a **shift** moves it down by $a$ and right
# by $b$:
#
# $$y_{r,c} = x_{r,\,W-1-c} \qquad\qquad y_{r,c} = x_{r-a,\,c-b}$$
#
# A shift needs pixels from beyond the edge. We continue the image there by its own mirror image: black bars
# would be edges that no photograph has, and a network could learn them.


# %%
def flip(image):
    """Mirror left to right."""
    return image[:, ::-1]


def shift(image, down, right):
    """Move by whole pixels; what comes in over the edge is the mirror image of what is inside."""
    edge = max(abs(down), abs(right))
    room = [(edge, edge), (edge, edge)] + [(0, 0)] * (image.ndim - 2)
    wide = np.pad(image, room, mode="symmetric")
    top, left = edge - down, edge - right
    return wide[top : top + image.shape[0], left : left + image.shape[1]]


# %% tags=["exact"]
# NBVAL_CHECK_OUTPUT
small = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
for name, result in {"image": small, "flip": flip(small), "shift (1, 1)": shift(small, 1, 1)}.items():
    print(f"{name}:\n{result}")

# %% [markdown]
# Keras has layers for both. Ours must agree with them, or we have misunderstood something. `RandomFlip`
# mirrors about half of the images; `RandomTranslation` takes its range as shares of the side, and with both
# ends of the range equal nothing is left to chance.

# %% tags=["exact"]
# NBVAL_CHECK_OUTPUT
batch = photographs[:32].astype(np.float32)
flipped = augmentation.augment(keras.layers.RandomFlip("horizontal", seed=0), batch)
same = np.array([np.array_equal(*pair) for pair in zip(flipped, batch, strict=True)])
mirrored = np.array([np.array_equal(new, flip(old)) for new, old in zip(flipped, batch, strict=True)])
assert (same ^ mirrored).all()  # each is either the image or its mirror image
moving = keras.layers.RandomTranslation((3 / SIDE, 3 / SIDE), (-2 / SIDE, -2 / SIDE), "reflect")
moved = augmentation.augment(moving, batch)
largest = max(np.abs(new - shift(old, 3, -2)).max() for new, old in zip(moved, batch, strict=True))
print(f"every image is itself or our flip; largest difference from our shift: {largest}")

# %% [markdown]
# ## 3. Seven kinds, as training sees them
#
# The assessment names seven kinds. `tlkit` has them as Keras layers, each with a mild strength:

# %%
for kind in augmentation.AUGMENTATIONS.values():
    strength = ", ".join(f"{name} {value}" for name, value in kind.strength.items())
    print(f"{kind.name:12}{kind.description}" + (f" [{strength}]" if strength else ""))

# %% [markdown]
# Below, `SETTINGS` names what we shall compare: nothing, each of the seven, all together, and all but the
# flip; then three stronger ones, for section 8. An `augmenter` is a function that `Batches`, the object
# passed to `fit`, calls on each batch. Seed and batch number decide what is drawn, so that every result
# can be repeated.

# %%
KINDS = tuple(augmentation.AUGMENTATIONS)
SETTINGS = {
    "none": None,
    **{kind: (kind,) for kind in KINDS},
    "all seven": KINDS,
    "six without flip": tuple(kind for kind in KINDS if kind != "flip"),
    "upside down": lambda: keras.layers.RandomFlip("vertical", seed=0),
    "any angle": lambda: keras.layers.RandomRotation(0.5, "reflect", seed=0),
    "any hue": lambda: keras.layers.RandomHue(1.0, value_range=(0, 255), seed=0),
}


@functools.cache
def layer_for(setting):
    """Build the augmentation of a setting once."""
    wanted = SETTINGS[setting]
    return wanted() if callable(wanted) else augmentation.build_augmentation(wanted, (SIDE, SIDE, 3))


def augmenter(setting, seed):
    """Return a function from a batch and its number to its changed copy, or None."""
    if SETTINGS[setting] is None:
        return None
    layer, first = layer_for(setting), 100_000 * seed
    return lambda images, number: augmentation.augment(layer, images, draw=first + number)


# %% [markdown]
# What does each do to *one* image? We look into the very kind of object that `fit` is given: `preview`
# takes its first images, and `on_epoch_end` is what Keras calls when an epoch (one pass over the training
# images) is over. So each draw below is what one epoch shows.

# %% alt="Eight rows of seven small pictures: an image and its copies in six draws of each kind of augmentation"
images, labels = load("digit", 10, seed=0).train.images, load("digit", 10, seed=0).train.labels
position, rows = 19, {}
for setting in (*KINDS, "six without flip"):
    batches = Batches(images, labels, 32, augment=augmenter(setting, seed=0))
    copies = [images[position]]
    for _ in range(6):
        copies.append(preview(batches, count=position + 1)[0][position])
        batches.on_epoch_end()
    rows[setting] = np.stack(copies)
ax = augmentation_plots.plot_copies(rows, ["image", *(f"draw {n}" for n in range(1, 7))])

# %% [markdown]
# *In words:* one row a kind; left the image as it is, then what training sees of it in six epochs. The
# copies turn, move, grow and shrink, appear mirrored, are cut, change their light, or get grain; in the
# last row six kinds work together. Is every one of these copies still a *two*? Keep the row of the flip
# in mind.
#
# The source says that Gaussian noise simulates "sensor noise or variations in brightness". The first is
# right. For the second, we take 200 copies of this image and ask how far their *mean* brightness varies:

# %%
for setting in ("noise", "colour"):
    copies = augmenter(setting, seed=0)(np.repeat(images[position][None], 200, axis=0), 0)
    print(f"{setting:7} standard deviation of the mean brightness: {copies.mean((1, 2, 3)).std():5.2f} of 255")

# %% [markdown]
# Noise is drawn for every pixel by itself and averages out over the image. Changes of light are the work of
# colour jitter.
#
# ## 4. Are the copies really new?
#
# We now let `fit` run for two epochs on our own shift and write down everything that the network is given.
# First the network: two convolutions with pooling, and two dense layers.

# %%
model = keras.Sequential(
    [
        keras.Input((SIDE, SIDE, 3)),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
trainer = Trainer(model, (), keras.optimizers.Adam())  # compiles; `restart` empties the optimiser
untrained = model.get_weights()
print(f"{model.count_params():,} weights")

# %% [markdown]
# > **Predict.** Of the 100 training images, how many come out *equal* in both epochs, to the last pixel,
# > when each is moved by up to three whole pixels either way?

# %%
seen = {}


def by_hand(images, number):
    """Move each image of a batch by up to three pixels; write down what comes out."""
    rng = np.random.default_rng([8, number])
    seen[number] = np.stack([shift(image, *rng.integers(-3, 4, size=2)) for image in images])
    return seen[number]


batches = Batches(images, labels, 32, augment=by_hand)  # no seed: the order stays as given
held_out = load("digit", 10, seed=0).validation
model.fit(batches, epochs=2, shuffle=False, validation_data=(held_out.images, held_out.labels), verbose=0)
given = [seen[number] for number in sorted(seen)[-2 * len(batches) :]]  # Keras peeks before it starts
first, second = np.split(np.concatenate(given), 2)
print(f"{(first == second).all((1, 2, 3)).sum()} of {len(first)} images are equal in both epochs")

# %% [markdown]
# There are $7 \times 7 = 49$ places, so chance alone repeats about two images in a hundred. The rest are
# new.
#
# **A trap.** Images are often fed by `tf.data` and its `cache()`, which keeps in memory whatever has been
# computed *before* it. Two orders of the same two words:
#
# > **Predict.** `dataset.cache().map(change)` or `dataset.map(change).cache()`: in which one does the
# > second epoch differ from the first?

# %%
plain = tf.data.Dataset.from_tensor_slices(images.astype(np.float32)).batch(32)
layer = layer_for("six without flip")


def change(batch):
    """Augment one batch."""
    return layer(batch, training=True)


for name, dataset in {
    "cache().map(change)": plain.cache().map(change),
    "map(change).cache()": plain.map(change).cache(),
}.items():
    one, two, three = (np.concatenate(list(dataset.as_numpy_iterator())) for _ in range(3))
    equal = (one == two).all() and (two == three).all()
    print(f"{name}: epochs 1 and 2 differ by {np.abs(one - two).mean():.1f}; all three equal: {equal}")
at_test = np.abs(np.asarray(layer(images.astype(np.float32), training=False)) - images).max()
print(f"largest change of a pixel when training=False: {at_test:.2f}")

# %% [markdown]
# With `cache()` last, the second and the third epoch are **identical to the first, to the last bit**: one
# frozen copy of each image, no error, no warning. Cache first, change afterwards. The last
# line shows something else that should be so: outside training the layers leave the image alone. We test
# on plain images.
#
# ## 5. Does it reduce overfitting? (claim A7.1)
#
# A network **overfits** as far as it is better on the images it was trained on than on new ones. We call
# that difference the **gap**: training accuracy minus test accuracy, *both on plain images in inference
# mode*. (The accuracy that Keras prints while it trains is of the changed copies, and would make the gap
# look smaller than it is.)
#
# Every comparison gets the **same number of steps**; a step shows a batch of at most 32 images. We look
# after 150, 300, 600 and 1,200 of them, in some cases also after 2,400.

# %%
STEPS = (150, 300, 600, 1200)


def train(dataset, augment, seed, steps=STEPS):
    """Train anew from a seed; return one row of accuracies after each number of steps."""
    model.set_weights(untrained)  # the biases; the next line draws the kernels
    draw_weights(model, seed)
    trainer.restart(0.001)
    batches = Batches(
        dataset.train.images, dataset.train.labels, 32, seed=seed, steps=steps[0], augment=augment
    )
    held_out = (dataset.validation.images, dataset.validation.labels)
    rows = []
    for done, total in zip((0, *steps), steps, strict=False):
        epochs = (total - done) // steps[0]
        model.fit(batches, epochs=epochs, shuffle=False, validation_data=held_out, verbose=0)
        rows.append({"steps": total, **scores(dataset)})
    return rows


# %%
def scores(dataset):
    """Accuracy of the plain images of each split in inference mode."""
    row = {}
    for name in ("train", "validation", "test"):
        split = getattr(dataset, name)
        answers = model.predict_on_batch(split.images).argmax(axis=1)
        row[f"{name}_accuracy"] = float((answers == split.labels).mean())
    if dataset.name == "digit":  # share of the sixes and nines that are taken for each other
        either = np.isin(split.labels, (6, 9))
        row["six_nine"] = float((answers[either] == 15 - split.labels[either]).mean())
    return row


def kept_copies(dataset, copies, seed):
    """Replace the training images by a fixed number of augmented copies of each."""
    change, split = augmenter("six without flip", seed), dataset.train
    images = np.concatenate([change(split.images, number) for number in range(copies)])
    return dataclasses.replace(dataset, train=Split(images, np.tile(split.labels, copies)))


# %%
SMALL, LARGE = 10, 100  # training images of each class
KEY = ["question", "labels per class", "augmentation", "seed"]


def measure(question, per_class, setting, seed, steps=STEPS):
    """Train once; return rows of results, one for each number of steps."""
    dataset = load(question, per_class, seed)
    if setting == "ten kept copies":
        rows = train(kept_copies(dataset, 10, seed), None, seed, steps)
    else:
        rows = train(dataset, augmenter(setting, seed), seed, steps)
    return [dict(zip(KEY, (question, per_class, setting, seed), strict=True)) | row for row in rows]


# %% [markdown]
# Many settings, six seeds and up to 2,400 steps are far too much for a lesson, so the whole table is kept
# in `data/results` (`python benchmarks/augmentation_effects.py` makes it again). As in lesson 07 we run a
# part of it live, **with the very functions that made the table**, and check that both agree. The seed
# decides the split, the first weights, the order and the copies. We begin with 10 images of each digit
# and 150 steps.
#
# > **Predict.** Which has the better test accuracy: no augmentation, or six kinds together? (Some seven
# > seconds.)

# %%
stored = pd.read_csv("../data/results/augmentation.csv")


def beside_stored(live, column):
    """Compare what was just measured with the stored results of the same seeds and steps."""
    both = live.merge(stored, on=[*KEY, "steps"], suffixes=(" live", " stored"))
    columns = [f"{column} live", f"{column} stored"]
    print(both.groupby("augmentation", sort=False)[columns].mean().round(3))
    difference = (both[columns[0]] - both[columns[1]]).groupby(both["augmentation"]).mean()
    assert len(both) == len(live) and difference.abs().max() < 0.1


live = pd.DataFrame(
    row
    for setting in ("none", "six without flip")
    for seed in (0, 1, 2)
    for row in measure("digit", SMALL, setting, seed, steps=STEPS[:1])
)
beside_stored(live, "test_accuracy")

# %% [markdown]
# The live means and the stored ones agree to within a tenth, mostly much better. And augmentation did
# **not** help: after 150 steps the six kinds are *behind* no augmentation. Is the claim wrong? We look at
# more steps, for a small training set (10 images a class) and a large one (100 a class).

# %% alt="Test accuracy against training steps, with and without six kinds of augmentation, small and large training set"
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
with_and_without = stored[stored["augmentation"].isin(["none", "six without flip"])]
for ax, size in zip(axes, (SMALL, LARGE), strict=True):
    chosen = with_and_without.query("question == 'digit' and `labels per class` == @size")
    ax.set_ylim(0.3, 1)
    curve_plots.plot_label_curve(chosen, x="steps", by="augmentation", ax=ax)
    ax.set_title(f"{size} images a class")

# %% [markdown]
# *In words:* without augmentation the curve soon becomes flat: the network has learned all that it can
# from its images. With augmentation it starts lower and keeps rising, because every step brings something
# new. The lines cross. **Augmentation costs steps before it pays**: whoever compares after a few epochs
# concludes the opposite. Bands are 95 % intervals over six seeds.


# %%
def change_by(column, setting, *, other="none", question="digit", size=SMALL, steps=1200):
    """Setting minus the other, seed by seed, in points: mean with its 95 % interval."""
    chosen = stored[
        (stored["question"] == question) & (stored["labels per class"] == size) & (stored["steps"] == steps)
    ]
    chosen = chosen.assign(gap=chosen["train_accuracy"] - chosen["test_accuracy"])
    by = 100 * chosen.pivot(index="seed", columns="augmentation", values=column)
    return evaluation.mean_interval((by[setting] - by[other]).to_numpy())


for size in (SMALL, LARGE):
    for steps in (150, 1200, 2400):
        gap = change_by("gap", "six without flip", size=size, steps=steps)
        accuracy = change_by("test_accuracy", "six without flip", size=size, steps=steps)
        print(f"{size:3} a class, {steps:4} steps: gap {gap}, test accuracy {accuracy} points")

# %% [markdown]
# The gap shrinks in every case, also where the test accuracy *falls* (after 150 steps): there the network
# is merely worse on its training images, too. **A small gap alone is no success.**
#
# > **Predict.** Now each kind by itself, 1,200 steps. Which of the seven hurts? Which does nothing? Is "all
# > seven" better than "six without flip"?

# %% alt="Change of gap and of test accuracy by each kind of augmentation, with intervals, small and large training set"
shown = (*KINDS, "all seven", "six without flip")
panels = {
    (c, size): {s: change_by(c, s, size=size) for s in shown}
    for c in ("test_accuracy", "gap")
    for size in (SMALL, LARGE)
}
figure, axes = plt.subplots(1, 4, figsize=(10, 3.2), layout="constrained", sharey=True)
for ax, ((column, size), found) in zip(axes, panels.items(), strict=True):
    augmentation_plots.plot_intervals(found, colours={"flip": OKABE_ITO[1], "all seven": OKABE_ITO[1]}, ax=ax)
    name = column.replace("_", " ")
    ax.set_title(f"{name}, {size} a class", fontsize=9.5)
    ax.set_xlabel("change (points)", fontsize=9)

# %% [markdown]
# *In words:* a row for each setting. In the two left panels a dot right of the line at zero means a
# better test accuracy than without augmentation; in the two right panels a dot left of it means a smaller
# gap. Bars are 95 % intervals over six seeds. The orange rows hold the flip. **It hurts**: a mirrored 2
# is no digit, and the network must learn it beside the real one. Because of it "all seven" is worse than
# the six, and at 100 images a class it has a small gap *and* a low accuracy. Noise changes nothing to
# speak of: the pictures have grain already. With 100 images a class rotation, translation, scaling and
# crop each help; with 10 most bars touch zero, and it is the six *together* that gain much. (With 100
# images a class the six are no better than translation alone at this point; the figure above shows that
# they are not done after 1,200 steps.)
#
# So the list of seven is a list to *choose from*. We set that up: the pictures vary in angle, place, size
# and light, and never appear mirrored. With other pictures the rows would be in another order.
#
# ## 6. As good as more images?
#
# The source says that augmentation "artificially increases the size of the training dataset". Count: with
# 10 images of each digit and ten kept copies of each we have 100 pictures a class, as many as in our
# large set.
#
# > **Predict.** Test accuracy after 1,200 steps: are ten copies of 10 images as good as 100 images? Are
# > copies made anew in every epoch better than ten that are kept?

# %% alt="Test accuracy against real training images per class, without and with augmentation, and for ten kept copies of ten images"
figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
ax.set_ylim(0.3, 1)
at_end = with_and_without.query("question == 'digit' and steps == 1200")
curve_plots.plot_label_curve(at_end, by="augmentation", ax=ax)
kept = stored.query("augmentation == 'ten kept copies' and steps == 1200")["test_accuracy"].mean()
ax.plot(LARGE, kept, "D", color=OKABE_ITO[2], markersize=8)
ax.annotate("ten kept copies of 10 images", (LARGE, kept), (-8, -12), textcoords="offset points", ha="right")
ax.set_xlabel("training images a class, logarithmic")
real = at_end.query("augmentation == 'none'").groupby("labels per class")["test_accuracy"].mean()
print("no augmentation, by images a class:", real.round(3).to_dict())
for setting in ("ten kept copies", "six without flip"):
    found = stored.query("augmentation == @setting and question == 'digit' and steps == 1200")
    mean = found.loc[found["labels per class"] == SMALL, "test_accuracy"].mean()
    worth = np.exp(np.interp(mean, real, np.log(real.index)))
    print(f"10 images a class, {setting}: {mean:.3f}, as from {worth:.0f} images without augmentation")
fresh = change_by("test_accuracy", "six without flip", other="ten kept copies")
print(f"new copies in every epoch minus ten kept copies: {fresh} points")

# %% [markdown]
# *In words:* the two lines are test accuracy without and with augmentation; the diamond stands at 100
# pictures a class, but they are copies of 10. It lies far below the 100 real images on the lower line.
# Ten copies share one handwriting; they repeat what that image says. Copies made anew in every epoch do
# better than kept ones.
#
# So the sentence is imprecise: the *number of pictures* grows, the number of *examples* does not. What
# augmentation adds is our own knowledge that a digit stays the same digit when it is moved, turned or lit
# otherwise. Here that is worth about as much as doubling the images, because our test images vary in just
# these ways.

# %%
gaps, gains = (
    {size: change_by(column, "six without flip", size=size, steps=2400) for size in (SMALL, LARGE)}
    for column in ("gap", "test_accuracy")
)
helps = {size: gaps[size].high < 0 < gains[size].low for size in (SMALL, LARGE)}
early = change_by("test_accuracy", "six without flip", size=LARGE, steps=150)
mirrored = change_by("test_accuracy", "flip")
if not helps[SMALL]:
    verdict = "does not hold"
elif not helps[LARGE]:
    verdict = "holds when the training set is small"
elif early.high < 0 and mirrored.high < 0:
    verdict = "holds when the copies keep their label and there are steps enough to learn from them"
else:
    verdict = "holds"
tlkit.record(
    "A7.1",
    value=gains[SMALL].value, low=gains[SMALL].low, high=gains[SMALL].high,
    unit="points",
    quantity="test accuracy, six kinds of augmentation minus none, 10 images a class, 2,400 steps",
    seeds=stored["seed"].nunique(),
    verdict=verdict,
    sentence="Augmentation that keeps the labels and shows what test images may look like closes part of the "
    "gap and raises test accuracy, most with few images; it needs more steps, and it adds no new examples.",
)

# %% [markdown]
# ## 7. Does it prevent memorising? (claim A7.2)
#
# How can one see whether a network *memorises*, that is, stores its training images one by one? Zhang et
# al. (2017) had a beautiful idea: **shuffle the labels**. Then there is nothing to understand, and
# whatever training accuracy is reached above guessing is memory. We shuffle those of our 100 pictures.
#
# > **Predict.** Training accuracy after 150 steps, with shuffled labels: without augmentation, and with six
# > kinds of it? And after 1,200 steps?

# %%
live = pd.DataFrame(
    row
    for setting in ("none", "six without flip")
    for seed in (0, 1, 2)
    for row in measure("random", SMALL, setting, seed, steps=STEPS[:1])
)
beside_stored(live, "train_accuracy")

# %% alt="Training accuracy against steps with and without augmentation, true labels left, shuffled labels right"
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for ax, question, title in zip(axes, ("digit", "random"), ("true labels", "shuffled labels"), strict=True):
    chosen = with_and_without.query("question == @question and `labels per class` == 10 and steps <= 1200")
    ax.set_ylim(0, 1.03)
    curve_plots.plot_label_curve(chosen, x="steps", metric="train_accuracy", by="augmentation", ax=ax)
    ax.axhline(0.1, color="0.5", linestyle=":")
    ax.set(title=title, ylabel="training accuracy (share of images)")

# %%
memory = {
    steps: change_by("train_accuracy", "six without flip", question="random", steps=steps) for steps in STEPS
}
for steps, one in memory.items():
    true = change_by("train_accuracy", "six without flip", steps=steps)
    print(f"{steps:4} steps: shuffled labels {one}, true labels {true} points")
guess = stored.query("question == 'random' and steps == 1200").groupby("augmentation")["test_accuracy"].mean()
print(f"test accuracy after training on shuffled labels:\n{guess.round(3).to_string()}")

# %% [markdown]
# *In words:* left true, right shuffled labels; the dotted line is guessing. Without augmentation the
# network knows a hundred meaningless labels by heart after 150 to 300 steps. With it, memorising takes
# about four times as many, because hardly any copy comes twice. Learning the true labels is held up, too,
# but much less. And in the end the network **does** memorise: after 1,200 steps it names nearly all of
# the shuffled labels, while the labels of new images it can only guess.
#
# The source says that augmentation "disrupts this memorization process". While training is short, yes.
# Prevented it is not: a full training accuracy proves nothing, with augmentation or without.

# %%
late = stored.query("question == 'random' and augmentation == 'six without flip' and steps == 1200")
reached = late["train_accuracy"].mean()
print(f"training accuracy on shuffled labels with augmentation after 1,200 steps: {reached:.3f}")
if memory[150].high >= 0:
    verdict = "does not hold"
elif reached > 0.9:
    verdict = "holds when training is short: memorising is delayed, not prevented"
else:
    verdict = "holds"
tlkit.record(
    "A7.2",
    value=memory[150].value,
    low=memory[150].low,
    high=memory[150].high,
    unit="points",
    quantity="training accuracy on shuffled labels after 150 steps, six kinds of augmentation minus none",
    seeds=stored["seed"].nunique(),
    verdict=verdict,
    sentence="Augmentation makes memorising slower than learning; with enough steps a network memorises all "
    "the same, so watch the validation split.",
)

# %% [markdown]
# ## 8. Does any transformation help? (claim A7.3)
#
# A transformation must not change the label. That sounds obvious, but it is a property of the
# **question**, not of the transformation. We take four: the flip, the image upside down, any angle up to
# 180 degrees, any hue of the colour circle. And we put both questions to the *same pictures*: which
# digit, which colour?
#
# > **Predict.** Eight combinations: which transformation hurts which question?

# %% alt="Two rows of copies of one handwritten six on coloured paper: turned to any angle, one looks like a nine; in any hue"
six = np.flatnonzero(LABELS["digit"] == 6)[3]
rows = {}
for setting, label in (("any angle", "6"), ("any hue", COLOURS[LABELS["colour"][six]])):
    batches = Batches(photographs[six][None], np.array([6]), 32, augment=augmenter(setting, seed=5))
    copies = []
    for _ in range(8):
        copies.append(preview(batches, count=1)[0][0])
        batches.on_epoch_end()
    rows[f"{setting}\nlabel: {label}"] = np.stack(copies)
ax = augmentation_plots.plot_copies(rows)

# %% [markdown]
# *In words:* above, a six at eight angles; some copies are nines, and the network is told that they are
# sixes. Below, the same sheet in eight hues; the network is told the same colour for all.

# %%
live = pd.DataFrame(
    row
    for setting in ("none", "any hue")
    for seed in (0, 1, 2)
    for row in measure("colour", SMALL, setting, seed, steps=STEPS[:1])
)
beside_stored(live, "test_accuracy")

# %% alt="Change of test accuracy by flip, upside down, any angle and any hue: asked for the digit, and asked for the colour"
FOUR = ("flip", "upside down", "any angle", "any hue")
panels = {
    "which digit?\n10 images a class": {s: change_by("test_accuracy", s) for s in FOUR},
    "which digit?\n100 images a class": {s: change_by("test_accuracy", s, size=LARGE) for s in FOUR},
    "which colour?\n10 images a class": {
        s: change_by("test_accuracy", s, question="colour", steps=300) for s in FOUR
    },
}
figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.7), layout="constrained", sharey=True)
for ax, (title, found) in zip(axes, panels.items(), strict=True):
    augmentation_plots.plot_intervals(found, ax=ax)
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("change of test accuracy (points)", fontsize=9)
for name, chosen in {
    "digit, 100 a class": "question == 'digit' and `labels per class` == 100 and steps == 1200",
    "colour, 10 a class": "question == 'colour' and steps == 300",
}.items():
    means = stored.query(chosen).groupby("augmentation")[["train_accuracy", "test_accuracy", "six_nine"]].mean()
    print(f"{name}:\n{means.loc[['none', *FOUR]].round(3).to_string()}")

# %% [markdown]
# *In words:* asked for the digit (left and middle), the network loses by the flip, by upside down and by
# any angle, and does not lose by any hue. Asked for the colour (right), it is the other way round: no
# turning or mirroring matters, and any hue throws it back to guessing, one in six. Same pictures, same
# transformations.
#
# The table shows *how*. Look at `six_nine`, the share of sixes and nines that are taken for each other:
# from none to about one in six by turning to any angle, for that changes the label. Other digits keep
# theirs (an 8 upside down is an 8), and yet accuracy falls: no test image stands on its head, and
# learning what never comes costs steps (look at the training accuracy). Where the colour was the class,
# training accuracy is still full: the network could not use the hue, so it *memorised* its pictures by
# other marks.
#
# Before you choose, ask two things. **Would I still give it the same label? Could a test image look like
# this?**

# %%
harm = {title: min(found.values(), key=lambda one: one.high) for title, found in panels.items()}
worst = panels["which colour?\n10 images a class"]["any hue"]
if all(one.high < 0 for one in harm.values()):
    verdict = "does not hold"
elif any(one.high < 0 for one in harm.values()):
    verdict = "holds when the transformation leaves the label as it is"
else:
    verdict = "holds"
tlkit.record(
    "A7.3",
    value=worst.value,
    low=worst.low,
    high=worst.high,
    unit="points",
    quantity="test accuracy where the colour is the class, any hue minus none",
    seeds=stored["seed"].nunique(),
    verdict=verdict,
    sentence="A transformation can help only if it leaves the label of the task at hand as it is, and it does "
    "help where test images vary in that way; the same one may help one question and ruin another.",
)

# %% [markdown]
# ## 9. What we measured

# %%
evidence.measured()

# %% [markdown]
# And a control to play with: choose a kind, an image and a seed. Would you still give the copies the same
# label?


# %%
def copies_of(setting="any angle", image=28, seed=0):
    """Show an image and eight augmented copies of it."""
    change = augmenter(setting, seed)
    copies = change(np.repeat(images[image][None], 8, axis=0), 0)
    row = {f"label: {labels[image]}": np.concatenate([images[image][None], copies])}
    augmentation_plots.plot_copies(row)
    plt.show()


ipywidgets.interact(copies_of, setting=list(SETTINGS)[1:], image=(0, 99), seed=(0, 9));

# %% [markdown]
# ## Quiz
#
# **1. You train with augmentation. Keras prints a training accuracy of 0.80 and a validation accuracy of
# 0.80. How large is the gap?**
#
# A. Zero: the two numbers are equal.
#
# B. Unknown: the first number is of changed copies, seen during training.
#
# C. Negative: with augmentation the training images are always harder.
#
# D. It does not matter, since augmentation prevents overfitting.
#
# <details><summary>Answer</summary>
#
# **B.** A gap compares *plain* training images with plain new ones, both in inference mode, as `scores`
# does. *A* compares two different kinds of images. *C* takes the copies for the images: on plain ones our
# network with six kinds still came to nearly full training accuracy with 10 images a class (section 7,
# left figure). *D* is refuted by section 5: with 10 images a class a wide gap was left.
# </details>
#
# **2. `dataset.map(augment).cache()` runs without an error. What does training see?**
#
# A. New copies in every epoch, faster.
#
# B. The plain images.
#
# C. The same copy of each image in every epoch.
#
# D. More and more copies, since the cache grows.
#
# <details><summary>Answer</summary>
#
# **C.** The cache keeps what was computed before it, the copies. *A* is what the author hoped for; the
# second epoch was equal to the first to the last bit. *B*: the layers did act, once. *D* takes the cache
# for a collection; it is filled in the first epoch and only read afterwards.
# </details>
#
# **3. After five epochs the network with augmentation is behind the one without. What do you do?**
#
# A. Leave augmentation out.
#
# B. Compare again with more steps, the same number for both.
#
# C. Compare the gaps instead: the smaller one wins.
#
# D. Make the augmentation stronger.
#
# <details><summary>Answer</summary>
#
# **B.** In section 5 the lines crossed: behind at 150 steps, ahead at 1,200. *A* stops before the
# crossing. *C* takes a small gap for success: at 150 steps and 100 images a class the gap was smaller
# *and* the test accuracy lower. *D* would make the start slower still.
# </details>
#
# **4. From 10 images of each class you make ten copies each and keep them. What have you got?**
#
# A. The same as 100 images of each class.
#
# B. Nothing: copies hold no information.
#
# C. More than 10 images, less than 100, and less than copies made anew in every epoch.
#
# D. More than 100 images, since each copy is different.
#
# <details><summary>Answer</summary>
#
# **C**, as measured in section 6. *A* and *D* count pictures instead of handwritings: all ten copies
# share theirs. *B* goes too far: that turned, moved and recoloured digits keep their label *is* something
# that the plain images do not say, and test accuracy rose.
# </details>
#
# **5. A network trained with augmentation reaches full training accuracy. Has it understood its task?**
#
# A. Yes: augmentation makes memorising impossible.
#
# B. Nobody can tell from training accuracy; look at images that were not trained on.
#
# C. No: with augmentation full training accuracy always means memorising.
#
# D. Yes, if it took many steps.
#
# <details><summary>Answer</summary>
#
# **B.** Section 7: with *shuffled* labels and augmentation training accuracy became nearly full as well,
# only later. That refutes *A*, and *D*, too: many steps are what memorising needed. *C*: with true labels
# it also became full, and test accuracy was far above guessing.
# </details>
#
# **6. A colleague augments photographs of fruit, sorted into ripe and unripe, with a flip and strong hue
# changes. What do you say?**
#
# A. Both are fine: the more variety, the better.
#
# B. Both are dangerous: the flip hurt in this lesson.
#
# C. The flip is fine, the hue is dangerous: ripeness shows in the colour.
#
# D. The hue is fine, since colour jitter never hurt the digits.
#
# <details><summary>Answer</summary>
#
# **C.** Ask the *labels*. *A* is claim A7.3, which section 8 refuted. *B* takes "hurts" for a property of
# the transformation: the flip hurt the question "which digit?" and did nothing to "which colour?" on the
# same pictures. *D* is the same mistake the other way round: hue changes left digits alone and ruined
# colours.
# </details>
#
# **Next:** [07 Transfer learning](07_transfer_learning.ipynb). Back to
# [05 Pooling, flatten, dense](05_pooling_flatten_dense.ipynb).
