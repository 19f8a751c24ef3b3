# %% [markdown]
# # 04 The anatomy of a CNN
#
# **After this lesson you can** (1) compute a convolution by hand and say what its kernel looks for,
# (2) count the weights and the multiplications of a layer before you build it, (3) tell *equivariance*
# from *invariance* and test a network for both, (4) say what weight sharing, depth and dropout each do
# for a network, with numbers, and what they do not.
#
# **It answers** questions 4 (the architecture of a CNN) and 5 (advantages of convolutional layers) of
# Assessment 4.
#
# **Time:** 75 minutes to work through; about half a minute of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* compute, count, predict, test, attribute. *Prerequisites:* what a weight, an activation
# and a gradient are (lessons 01 to 03). *To teach:* 75 minutes; sections 1, 5 and 6 carry the ideas.
# *Prepares:* homework 1 (activations, gradients and CNN parts).
# </details>

# %%
import dataclasses
import itertools
import logging
import time

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_sample_image

import tlkit
from tlkit import (
    backbones,
    cnn_plots,
    evaluation,
    evidence,
    explain,
    explain_plots,
    image_plots,
    initial,
    numpy_net,
    repeated,
)
from tlkit.figure_style import OKABE_ITO, tidy

logging.getLogger("tensorflow").setLevel("ERROR")  # no hints about speed

# %% [markdown]
# ## 1. A convolution, by hand
#
# A **convolutional neural network** (CNN) is a network whose first layers slide small windows over an
# image. The window's weights are called the **kernel** or **filter**. At every stop the pixels $x$ under the
# window are multiplied with the kernel's weights $w$, pixel by pixel, and added up; the sum is one pixel $y$
# of the output, the **feature map**:
#
# $$y_{r,c} = \sum_{i}\sum_{j} w_{i,j}\; x_{r+i,\,c+j}$$
#
# (Mathematicians call this *cross-correlation*; their convolution turns the kernel round first. A network
# learns its kernels, so it makes no difference here.) Real layers also add a number to each map, the *bias*.
#
# Our picture shows a temple before a bright sky, and our kernel subtracts what is above from what is below.
#
# > **Predict.** What number does it give in the middle of the sky: a large one, a small one, or about zero?
# > And at the upper edge of the dark roof: above or below zero?


# %% alt="Four steps of a kernel over a photograph: window, pixels, kernel, products, output so far"
def convolve(image, kernel):
    """Slide the kernel over the image; at each stop multiply pixel by pixel and add up."""
    height, width = kernel.shape
    output = np.zeros((image.shape[0] - height + 1, image.shape[1] - width + 1))
    for row in range(output.shape[0]):
        for column in range(output.shape[1]):
            window = image[row : row + height, column : column + width]
            output[row, column] = (window * kernel).sum()
    return output


photograph = load_sample_image("china.jpg")[:420].mean(axis=2)  # grey: mean of red, green and blue
small = photograph.reshape(42, 10, 64, 10).mean(axis=(1, 3))  # squares of 10 x 10 pixels become one
kernel = np.array([[-1, -1, -1], [0, 0, 0], [1, 1, 1]])  # what is below minus what is above
reference, _ = numpy_net.conv2d(small[None, ..., None], kernel[..., None, None], [0])
assert np.allclose(convolve(small, kernel), reference[0, ..., 0])
print("image", small.shape, "-> feature map", convolve(small, kernel).shape)
figure = cnn_plots.plot_convolution_steps(small, kernel, [(2, 10), (12, 13), (30, 40), (39, 61)])

# %% [markdown]
# *In words:* four stops of the same kernel. Each row shows where the window is, its nine pixels, the
# kernel, the nine products, and the feature map as far as it has been computed; the number is the sum. In
# the even sky (first row) the products cancel and the sum is about zero. Where the picture gets darker
# downwards it is far below zero (blue), where it gets brighter it is above (red). The last row is the whole
# map: this kernel has found the **horizontal edges**. A network is not given such kernels; it learns them.
#
# Try other kernels, or one of your own: nine numbers, row by row.

# %%
KERNELS = {
    "sharpen": "0 -1 0  -1 5 -1  0 -1 0",
    "blur": "1 1 1  1 1 1  1 1 1",
    "edges, level": "-1 -1 -1  0 0 0  1 1 1",
    "edges, upright": "-1 0 1  -1 0 1  -1 0 1",
    "any edge": "-1 -1 -1  -1 8 -1  -1 -1 -1",
    "own": "",
}
medium = photograph.reshape(105, 4, 160, 4).mean(axis=(1, 3))


def apply(kernel="sharpen", own="0 1 0  1 -4 1  0 1 0"):
    """Show the photograph and what a kernel makes of it."""
    numbers = np.array((KERNELS[kernel] or own).split(), float).reshape(3, 3)
    weights = numbers / max(abs(numbers.sum()), 1)  # so that the brightness stays
    output = convolve(medium, weights)
    dark = 0 if numbers.sum() else -200  # a kernel that adds up to 0 also gives values below 0
    _, axes = plt.subplots(1, 2, figsize=(7.5, 2.6), layout="constrained")
    axes[0].imshow(medium, cmap="gray", vmin=0, vmax=255)
    axes[1].imshow(output, cmap="gray", vmin=dark, vmax=255 if numbers.sum() else 200)
    for ax, title in zip(axes, ("photograph", kernel), strict=True):
        ax.set(title=title, xticks=[], yticks=[])
    plt.show()


control = ipywidgets.interact(apply, kernel=list(KERNELS), own="0 1 0  1 -4 1  0 1 0")

# %% [markdown]
# ## 2. What sharing saves: weights (claim A4.1, first half)
#
# In a **dense** (fully connected) layer every output has a weight of its own for every input. A
# convolutional layer differs in two ways. Each output sees only its window: the connections are **local**.
# And all outputs of a map use the same kernel: the weights are **shared**. Let us count what each of the
# two saves, for an image of side $s$ with $c$ channels, and a feature map with $f$ filters of side $k$:
#
# $$\underbrace{s^2 c \cdot s^2 f + s^2 f}_{\text{dense}} \qquad
# \underbrace{k^2 c \cdot s^2 f + s^2 f}_{\text{local}} \qquad
# \underbrace{k^2 c \cdot f + f}_{\text{local and shared: convolution}}$$
#
# > **Predict.** A grey image of 32 × 32 pixels, 8 filters of 3 × 3. How many weights does the
# > convolutional layer have? How many has a dense layer that gives the same feature maps?

# %%
side, channels, filters, k = 32, 1, 8, 3
maps = side**2 * filters
weights = {
    "dense": side**2 * channels * maps + maps,
    "local": k**2 * channels * maps + maps,
    "convolution": k**2 * channels * filters + filters,
}
image = keras.Input((side, side, channels))
in_keras = {
    "dense": keras.layers.Dense(maps)(keras.layers.Flatten()(image)),
    "convolution": keras.layers.Conv2D(filters, k, padding="same")(image),
}
for kind, output in in_keras.items():
    assert keras.Model(image, output).count_params() == weights[kind]
for kind, number in weights.items():
    print(f"{kind:12} {number:>9,} weights: {number / weights['convolution']:>9,.0f} times the convolution's")

# %% [markdown]
# Being local saves a factor of about a hundred here, sharing another thousand. This is arithmetic, no
# experiment could change it. But do the dense layer and the convolution really do *the same*? A layer that
# computes sums of inputs times weights is a matrix. To find the matrix of our convolution, we send in
# images that are black but for one pixel.

# %% alt="The matrix of a convolution: nearly all zero, the same nine numbers along slanted lines"
nine = np.arange(1.0, 10).reshape(3, 3)  # a kernel of nine different numbers
single_pixels = np.eye(144).reshape(144, 12, 12)
matrix = np.stack([convolve(pixel, nine).ravel() for pixel in single_pixels])
part = small[20:32, 10:22]
assert np.allclose(part.ravel() @ matrix, convolve(part, nine).ravel())
used = matrix[matrix != 0]
print(
    f"{matrix.size:,} weights of a dense layer, {used.size} of them not zero, {len(set(used))} different ones"
)
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", width_ratios=(1, 1))
for ax, shown, title in zip(axes, (matrix, matrix[:40, :28]), ("all", "its upper left corner"), strict=True):
    colours = ax.imshow(np.where(shown, shown, np.nan), cmap="viridis", interpolation="none")
    ax.set(xlabel="output pixel", ylabel="input pixel", title=title)
bar = figure.colorbar(colours, ax=axes, label="weight (white: zero)")

# %% [markdown]
# *In words:* the weights of a dense layer that computes exactly what a 3 × 3 convolution computes. Nearly
# all are zero (white): that is *local*. The same nine numbers return in every column, on slanted lines:
# that is *shared*. A convolution is a dense layer under two very strict rules. Whatever it can do, a dense
# layer could do too, if it found these weights. The question, which section 6 answers, is whether it *does*.
#
# ## 3. What it saves: multiplications (claim A5.3)
#
# The work of a layer is counted in **multiply-adds**: one weight times one input, added to a sum.
#
# > **Predict.** The side of the image doubles. By which factor does the work of the dense layer grow, by
# > which factor that of the convolution?


# %%
def race(side, filters=2, images=128, rounds=7):
    """Time both ways to the same feature maps in turns; seconds an image, a row for each round."""
    kernel = keras.random.normal((3, 3, 1, filters), seed=0)
    single_pixels = keras.ops.reshape(keras.ops.eye(side**2), (side**2, side, side, 1))
    matrix = keras.ops.reshape(keras.ops.conv(single_pixels, kernel, padding="same"), (side**2, -1))
    x = keras.random.normal((images, side, side, 1), seed=1)
    ways = {
        "dense": lambda: keras.ops.matmul(keras.ops.reshape(x, (images, -1)), matrix),
        "convolution": lambda: keras.ops.conv(x, kernel, padding="same"),
    }
    one, other = (np.ravel(way()) for way in ways.values())
    assert np.abs(one - other).max() < 1e-3  # the same feature maps
    seconds = {name: [] for name in ways}
    for name in list(ways) * rounds:
        start = time.perf_counter()
        np.asarray(ways[name]())
        seconds[name].append((time.perf_counter() - start) / images)
    return pd.DataFrame(seconds)


sides = (8, 16, 32, 64)
work = pd.DataFrame({"dense": [s**4 * 2 for s in sides], "convolution": [9 * s**2 * 2 for s in sides]}, sides)
times = {side: 1e6 * race(side) for side in sides}

# %% alt="Multiply-adds and time against the side of the image, dense layer and convolution"
median, spread = (pd.DataFrame({n: t.quantile(q) for n, t in times.items()}).T for q in (0.5, 0.9))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
for ax, table, unit in zip(axes, (work, median), ("multiply-adds", "microseconds"), strict=True):
    tidy(ax)
    for way, colour in (("dense", OKABE_ITO[1]), ("convolution", OKABE_ITO[0])):
        ax.loglog(sides, table[way], "o-", color=colour)
    ax.text(0.6, 0.86, "dense", color=OKABE_ITO[1], ha="right", transform=ax.transAxes)
    ax.text(0.97, 0.2, "convolution", color=OKABE_ITO[0], ha="right", transform=ax.transAxes)
    ax.set(xlabel="side of the image (pixels)", ylabel=f"{unit} an image")
    ax.set_xticks(sides, sides)
    ax.minorticks_off()
    dense, shared = (table.loc[64] / table.loc[32])[["dense", "convolution"]]
    print(f"{unit}: from 32 to 64 px times {dense:.1f} (dense), {shared:.1f} (convolution)")
report = {way: [f"{m:.1f} ({s:.1f})" for m, s in zip(median[way], spread[way], strict=True)] for way in work}
print(
    "median microseconds an image, and what nine in ten calls stayed below:",
    pd.DataFrame(report, sides),
    sep="\n",
)

# %% [markdown]
# *In words:* on axes where each step is a factor, a power becomes a straight line, and its slope is the
# exponent. Counted, doubling the side costs the dense layer sixteen times as much, fourth power, and the
# convolution four times as much, square. The times follow for large images; for small ones every call costs
# about the same, whatever it computes, and the two ways differ little.

# %%
exponents = {way: np.polyfit(np.log(sides), np.log(work[way]), 1)[0] for way in work}
print("counted work grows with the side to the power", {way: f"{n:.3f}" for way, n in exponents.items()})
tlkit.record(
    "A5.3",
    value=float(work["dense"][64] / work["convolution"][64]),
    unit="times",
    quantity="multiply-adds of a dense layer over those of the 3 x 3 convolution with the same output, 64 px",
    verdict="holds" if exponents["convolution"] < exponents["dense"] - 1 else "does not hold",
    sentence="For the same feature map a convolution's work grows with the number of pixels, a dense layer's "
    "with its square. At the same number of weights it is the convolution that works more, since it uses "
    "each weight at every position.",
)

# %% [markdown]
# (The last sentence of the card is shown by a table in section 6.)
#
# ## 4. What a neuron can see (claim A5.2)
#
# One output pixel of a convolution is also called a *neuron* or *unit*. The pixels of the image that can
# change it are its **receptive field**. In the first layer that is the window. In the second, it is a window
# of windows. Layer by layer, a kernel of side $k$ widens the field $r$ by $k - 1$ steps, and a step is $d$
# pixels wide, where $d$ is the product of all strides so far (a **stride** of 2 moves the window by two, and
# pooling does so, too):
#
# $$r \leftarrow r + (k - 1)\,d \qquad d \leftarrow d \cdot \text{stride}$$

# %%
backbone = tlkit.load_backbone("mini_vgg")
r, d, theory = 1, 1, {}
for layer in backbone.model.layers:
    window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if window:
        r, d = r + (window[0] - 1) * d, d * layer.strides[0]
    theory[layer.name] = r
known = explain.receptive_fields(backbone.model).set_index("layer")["size"]
assert all(theory[name] == size for name, size in known.items())
stages = {stage: names[-1] for stage, names in backbone.stages.items()}
print({stage: theory[layer] for stage, layer in stages.items()}, "pixels; the image has 64")

# %% [markdown]
# That is what a neuron *can* see. What *does* it see? We ask how much it would change if a pixel changed:
# the size of its gradient with respect to each pixel, averaged over 16 images. This is the **effective**
# receptive field (Luo et al., 2016). We describe it by the side of the square that holds 95 % of it.
#
# > **Predict.** Does a neuron weigh all pixels of its field alike? And which share of the image does a neuron
# > of the last stage see?

# %% alt="Theoretical and effective receptive field over a picture, after stages 1 to 4"
wild = tlkit.load_dataset("wild_digits", train_per_class=20, seed=0)
pictures = wild.train.images[::13]
rows, maps = [], {}
for seed in (None, 0, 1, 2):
    start = "random" if seed is not None else "pretrained"
    network = tlkit.load_backbone("mini_vgg", weights=None, seed=seed) if seed is not None else backbone
    for stage, layer in stages.items():
        maps[start, stage] = seen = explain.effective_receptive_field(network, layer, pictures)
        row = {"stage": stage, "theory": theory[layer], "start": start}
        rows.append(row | {"95 %": explain.side_holding(seen), "50 %": explain.side_holding(seen, 0.5)})
figure, axes = plt.subplots(1, 4, figsize=(10, 3), layout="constrained")
for ax, (stage, layer) in zip(axes, stages.items(), strict=False):
    box = explain.receptive_field_box(backbone, layer)
    explain_plots.plot_receptive_field(pictures[0], maps["pretrained", stage], box, ax=ax)
    ax.set(xlabel=f"after {stage}", ylabel="")
vision = pd.DataFrame(rows)
vision.pivot_table(index=["stage", "theory"], columns="start", values=["95 %", "50 %"]).round(1)

# %% [markdown]
# *In words:* the brighter, the more that pixel moves the neuron; solid: the theoretical field, dashed: the
# square with 95 % of the gradient. Early neurons see a few pixels. After stage 4 the theoretical field nearly
# covers the image, after stage 5 the measured one does as well (table, columns "95 %"). But half of the
# gradient comes from a square of little more than half that side: the neuron looks mainly at the middle.
# Trained and random networks hardly differ here.
#
# Luo et al. studied plain stacks: $n$ layers of 3 × 3 convolutions, nothing else. In theory the field's side
# grows like $2n + 1$.

# %% alt="Side of the receptive field against depth, theory and measured; the gradient beside a Gaussian"
x = image = keras.Input((73, 73, 1))
options = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
for layer in range(1, 33):
    x = keras.layers.Conv2D(8, 3, name=f"layer_{layer}", **options)(x)
stack, depths, rows = keras.Model(image, x), np.array([1, 2, 4, 8, 16, 32]), []
noise = np.random.default_rng(0).normal(size=(16, 73, 73, 1)).astype("float32")
for seed in range(5):
    initial.draw_weights(stack, seed)
    for depth in depths:
        seen = explain.effective_receptive_field(stack, f"layer_{depth}", noise)
        rows.append({"depth": depth, "seed": seed, "side": explain.side_holding(seen)})
growth, profile = pd.DataFrame(rows), seen.sum(axis=0)
place = np.arange(73) - profile @ np.arange(73)
bell = np.exp(-(place**2) / (2 * profile @ place**2))  # a Gaussian of the same variance
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
axes[0].plot(depths, 2 * depths + 1, "s--", color="0.5")
cnn_plots.plot_mean_curve(growth, "depth", "side", ax=axes[0])
axes[0].set(
    xlabel="number of layers", ylabel="side (pixels)", title="theory (grey), 95 % of the gradient (blue)"
)
axes[1].plot(place, profile, color=OKABE_ITO[0])
axes[1].plot(place, bell / bell.sum(), ":", color="black")
axes[1].set(
    xlabel="pixels from the centre", ylabel="share of the gradient", title="32 layers; dotted: a Gaussian"
)
tidy(axes[1])

# %%
deep = growth[growth["depth"] >= 4]
powers = [
    np.polyfit(np.log(deep["depth"]), np.log(side), 1)[0] for side in (2 * deep["depth"] + 1, deep["side"])
]
print("side grows with depth to the power {:.2f} in theory, {:.2f} as measured".format(*powers))
print(f"the profile and the Gaussian share {np.minimum(profile, bell / bell.sum()).sum():.0%} of their area")
share = evaluation.mean_interval(deep[deep["depth"] == 32]["side"] / 65)
first, last = (vision[vision["stage"] == stage]["95 %"].mean() / 64 for stage in ("block1", "block5"))
print(f"mini_vgg, 95 % of the gradient as a share of the image's side: block1 {first:.2f}, block5 {last:.2f}")
tlkit.record(
    "A5.2",
    value=share.value,
    low=share.low,
    high=share.high,
    quantity="side that holds 95 % of the gradient over the theoretical side, 32 convolutions of 3 x 3",
    seeds=5,
    verdict="holds when the layer is near the image"
    if first < 0.25 and last > 0.75
    else ("holds" if last < 0.25 else "does not hold"),
    sentence="A neuron of an early layer sees a small window; with every layer and every halving the window "
    "grows, until it covers the image. What counts most is its middle: in a plain stack the effective "
    "field grows about like the square root of the depth.",
)

# %% [markdown]
# ## 5. Does a CNN care where the object is? (claim A4.2)
#
# The assessment says that CNNs "inherently possess translation invariance". Two words are needed here. A
# function $f$ is **equivariant** if moving its input moves its output, and **invariant** if moving its input
# changes nothing. With $S$ for "move by some pixels":
#
# $$\text{equivariant: } f(S x) = S f(x) \qquad\qquad \text{invariant: } f(S x) = f(x)$$
#
# > **Predict.** Which of the two is a convolution? Is it exactly so? And if its stride is 2?
#
# We measure $\lVert f(Sx) - S f(x) \rVert / \lVert S f(x) \rVert$ on the photograph. (For stride 2, a move by
# an odd number of pixels would move the map by half a unit. We then take the whole move that fits best.)

# %%
convolution = keras.layers.Conv2D(8, 3, padding="same", activation="relu")
strided = keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu")
pooling = keras.layers.MaxPooling2D(2)
parts = {
    "convolution, inside": (convolution, 1, 2),
    "convolution, with border": (convolution, 1, 0),
    "convolution of stride 2, inside": (strided, 2, 2),
    "convolution, then max pooling, inside": (lambda x: pooling(convolution(x)), 2, 2),
}
scene = (medium[None, ..., None] / 255).astype("float32")
errors = pd.DataFrame(
    {
        f"by {shift} px": explain.equivariance_error(layer, scene, shift, stride, margin)
        for shift in (1, 2, 3, 4)
    }
    for layer, stride, margin in parts.values()
).set_axis(list(parts))
errors.map("{:.1e}".format)


# %% alt="Map of a convolution of stride 2, and what differs after moves by two pixels and by one"
def edges(image):
    """Level edges at every second position: a convolution of stride 2 with ReLU."""
    return np.maximum(convolve(image, kernel), 0)[::2, ::2]


still = edges(medium)
difference = {"difference after 2 px": edges(medium[2:])[:50] - still[1:51]}
difference["difference after 1 px"] = edges(medium[1:])[:50] - still[:50]
figure, axes = plt.subplots(1, 3, figsize=(10, 2.5), layout="constrained")
shown = {"map of stride 2": still[:50]} | difference
for ax, (title, values) in zip(axes, shown.items(), strict=True):
    ax.imshow(values, cmap="RdBu_r", vmin=-still.max(), vmax=still.max())
    ax.set(title=title, xticks=[], yticks=[])

# %% [markdown]
# *In words:* inside the image a convolution is **equivariant** to within the rounding of 32-bit numbers.
# At the border it is not, since the zeros around the image do not move with it. A stride of 2 keeps this for
# even moves (middle picture: nothing remains); after an odd one the window stops at other pixels, and the
# map is another one (right). Max pooling has a stride, too, and does the same.
#
# So a convolution is not invariant at all: its map moves with the image. Invariance would have to come from
# what follows. We build small networks that differ in how they halve the side of the maps, and in their
# **head**: `flatten` gives every position of the last map weights of its own, `global` takes the mean over
# all positions (**global average pooling**).
#
# Section 6 will need one more kind of layer, which no library has any more: one that is local, but does not
# share its weights. It is a convolution in which every position has a kernel of its own.


# %%
class LocallyConnected(keras.layers.Layer):
    """A 3 x 3 convolution of stride 2 with ReLU, but every position has weights of its own."""

    def __init__(self, filters, **options):
        super().__init__(**options)
        self.filters = filters

    def build(self, shape):
        rows, columns, channels = -(-shape[1] // 2), -(-shape[2] // 2), shape[3]
        limit = (6 / (9 * channels + 9 * self.filters)) ** 0.5  # where Keras starts a convolution
        self.kernel_initializer = keras.initializers.RandomUniform(-limit, limit)
        size = (rows, columns, 9 * channels, self.filters)
        self.kernel = self.add_weight(shape=size, initializer=self.kernel_initializer)
        self.bias = self.add_weight(shape=(rows, columns, self.filters), initializer="zeros")

    def call(self, x):
        windows = keras.ops.image.extract_patches(x, 3, strides=2, padding="same")
        return keras.ops.relu(keras.ops.einsum("nrcw,rcwf->nrcf", windows, self.kernel) + self.bias)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


# %%
WIDTHS = {"dense, flatten": (), "local, flatten": (3, 5, 7)}  # all others as in the next function


def build(kind, dropout=0.0):
    """A network of about 22,800 weights; `kind` says how its layers halve the side, and its head."""
    halving, head = kind.split(", ")
    x = pixels = keras.Input((32, 32, 1))
    x = keras.layers.Rescaling(1 / 255)(x)
    for filters in WIDTHS.get(kind, (16, 32, 60) if head == "global" else (16, 32, 40)):
        if halving == "local":
            x = LocallyConnected(filters)(x)
        else:
            strides = 2 if halving == "stride 2" else 1
            x = keras.layers.Conv2D(filters, 3, strides, padding="same", activation="relu")(x)
        if halving == "max pooling":
            x = keras.layers.MaxPooling2D(2)(x)
        x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.GlobalAveragePooling2D()(x) if head == "global" else keras.layers.Flatten()(x)
    if halving == "dense":
        x = keras.layers.Dense(22, activation="relu")(x)
    return keras.Model(pixels, keras.layers.Dense(10, activation="softmax")(x))


# %% [markdown]
# All have about the same number of weights. The images are scikit-learn's handwritten digits, 16 pixels wide,
# on a black canvas of 32 pixels, so that a digit in the middle can move by 8 pixels without losing anything.
# Each seed draws new splits and new initial weights.


# %% alt="Sixteen handwritten digits on black canvases: eight in the middle, eight anywhere"
def digits_on_canvas(labels=None, moved=False, seed=0):
    """Handwritten digits, 16 px, on a black canvas of 32 px: in its middle, or anywhere on it."""
    data = tlkit.load_dataset("digits", size=16, train_per_class=labels, seed=seed)

    def placed(split):
        canvas = np.zeros((len(split), 32, 32, 1), np.uint8)
        for target, image, name in zip(canvas, split.images, split.names, strict=True):
            rng = np.random.default_rng([seed, int(name.split(".")[0])])
            row, column = rng.integers(0, 17, 2) if moved else (8, 8)
            target[row : row + 16, column : column + 16] = image[..., :1]
        return dataclasses.replace(split, images=canvas)

    splits = {name: placed(getattr(data, name)) for name in ("train", "validation", "test")}
    return dataclasses.replace(data, **splits)


def train(network, data, seed, epochs=3, rate=0.003, **options):
    """Train from one seed, 200 steps of 32 images an epoch; return one row of results."""
    optimizer = keras.optimizers.Adam(rate)
    table = repeated.train_repeatedly(
        network, data, epochs=epochs, steps_per_epoch=200, seeds=(seed,), optimizer=optimizer, **options
    )
    return table.drop(columns=["seed", "train_loss", "seconds", "history"]).iloc[0].to_dict()


middle, anywhere = (digits_on_canvas(10, moved).train.images[::13] for moved in (False, True))
figure = image_plots.plot_images(np.concatenate([middle, anywhere])[..., 0], columns=8)
figure.set_size_inches(8, 2)

# %% [markdown]
# *In words:* above, digits in the middle of the canvas; below, the same digits anywhere on it. In this section
# all networks are trained on digits in the **middle**. Then the test digits move, by 1 to 8 pixels up, down,
# left or right, and we count how many predictions stay the same (the **consistency**, Zhang 2019). As a second
# arm, the training images are moved at random by up to 8 pixels each way (**augmentation**, lesson 06).


# %% [markdown]
# The whole experiment takes some ten minutes. Its results are kept in `data/results` (`python
# benchmarks/cnn_anatomy.py` makes them again with the functions above). Here we run a part of it live and
# check that both agree.
#
# > **Predict.** A usual CNN, three convolutions with max pooling and a flatten head, reads nearly all digits
# > in the middle. Which share of its predictions stays the same when the digits move by 4 pixels, a quarter of
# > their width?


# %%
def measure_shifts(network, augmented, seed):
    """Train on digits in the middle; how many predictions stay when the test digits move?"""
    data = digits_on_canvas(seed=seed)
    rng = np.random.default_rng(seed)

    def move(images):
        """Augmentation: up to 8 px each way. The margin is black, so rolling loses nothing."""
        steps = rng.integers(-8, 9, (len(images), 2))
        return np.stack([np.roll(x, by, (0, 1)) for x, by in zip(images, steps, strict=True)])

    def consistency(model):
        same = explain.shift_consistency(model, data.test.images)["same"]
        return {f"same_{shift}": share for shift, share in enumerate(same)}

    options = {"augmentation": move if augmented else None, "measure": consistency}
    row = train(build(network), data, seed, **options)
    return {"network": network, "augmented": augmented, "seed": seed} | row


live = pd.DataFrame(measure_shifts("max pooling, flatten", moves, 0) for moves in (False, True))
stored = pd.read_csv("../data/results/cnn_anatomy_shifts.csv")
both = live.merge(stored, on=["network", "augmented", "seed"], suffixes=(" live", " stored"))
print(both.filter(regex="test_accuracy|same_[48]").round(2).T.set_axis(["plain", "augmented"], axis=1))
assert (both["same_4 live"] - both["same_4 stored"]).abs().max() < 0.15

# %% alt="Share of predictions that stay against the shift, six networks, with and without augmentation"
SAME = [f"same_{shift}" for shift in range(9)]
curves = stored.melt(["network", "augmented", "seed"], SAME, "shift", "same")
curves["shift"] = curves["shift"].str[5:].astype(int)
figure, axes = plt.subplots(2, 3, figsize=(10, 5), layout="constrained", sharex=True, sharey=True)
for ax, (network, runs) in zip(axes.flat, curves.groupby("network", sort=False), strict=True):
    for augmented, colour in ((False, OKABE_ITO[0]), (True, OKABE_ITO[1])):
        arm = runs[runs["augmented"] == augmented]
        cnn_plots.plot_mean_curve(arm, "shift", "same", colour=colour, ax=ax)
    ax.set(title=network, ylim=(0, 1.04))
for ax in axes[1]:
    ax.set_xlabel("digits moved by (pixels)")
for ax in axes[:, 0]:
    ax.set_ylabel("predictions that stay")
table = stored.groupby(["network", "augmented"], sort=False)[["test_accuracy", "same_1", "same_4", "same_8"]]
table.mean().round(2).unstack()

# %% [markdown]
# *In words:* one panel a network; blue: trained in the middle only, orange: trained with random moves; bands
# are 95 % intervals over six seeds. The table has the means, `True` where there was augmentation.
#
# - **Flatten head, no augmentation** (blue, first three panels): after 4 pixels the usual CNN keeps about a
#   third of its predictions, after 8 about a tenth, no more than two unrelated guesses would
#   share. The CNN with strides does no better than the *dense* network, which has no convolution at all.
# - **Strides and global pooling** (fifth panel): the strangest curve. At 4 pixels nearly everything is lost,
#   at 8 nearly everything is back. Three strides of 2 make a grid of 8 pixels: a move by a whole step of the
#   grid changes nothing, any other one shows the network other pixels (**aliasing**).
# - **No stride, global pooling** (last panel): here invariance is *built in*. Up to 4 pixels not one
#   prediction changes; then the border of the image comes into play. The price: without pooling each
#   neuron sees 7 pixels only, and this network reads fewer digits.
# - **Augmentation** (orange): moving the training images brings the CNNs to a consistency of nine in ten or
#   more, whatever their head. That part of the invariance is **learned**. (The dense network cannot learn it
#   in this budget; it reads few digits of any kind.)


# %%
def stays(network, augmented, shift):
    """Consistency over seeds with its 95 % interval."""
    runs = stored.query("network == @network and augmented == @augmented")
    return evaluation.mean_interval(runs[f"same_{shift}"])


plain = stays("max pooling, flatten", False, 4)
learned = stays("max pooling, flatten", True, 4)
built_in = stays("stride 1, global", False, 4)
print(f"4 px: usual CNN {plain}, with augmentation {learned}, stride 1 and global pooling {built_in}")
tlkit.record(
    "A4.2",
    value=plain.value,
    low=plain.low,
    high=plain.high,
    quantity="predictions that stay when digits move by 4 px; CNN with max pooling and flatten",
    seeds=6,
    verdict="holds" if plain.low > 0.95 else "does not hold",
    sentence="A convolution is equivariant: its map moves with the image, except at the border and under "
    "strides. A CNN is invariant only as far as its head is (global pooling without strides, away from "
    "the border) or as training with moved images has taught it.",
)

# %% [markdown]
# ## 6. Fewer weights, or better ones? (claims A4.1 and A5.1)
#
# Section 2 counted how many weights a convolution saves. It does not follow that the CNN is *better*. To see
# what each rule is worth we give all networks **the same number of weights** and take the rules away one by
# one: a dense network; a locally connected one (local, not shared); a convolutional one of the same form
# (local and shared); and two more CNNs, with max pooling and with global pooling.

# %%
networks = [
    "dense, flatten",
    "local, flatten",
    "stride 2, flatten",
    "max pooling, flatten",
    "max pooling, global",
]
rows = []
for kind in networks:
    model = build(kind)
    work = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            shared = isinstance(layer, keras.layers.Conv2D)  # each weight is used at every position
            work += np.prod(layer.kernel.shape) * (np.prod(layer.output.shape[1:3]) if shared else 1)
    rows.append({"network": kind, "weights": model.count_params(), "multiply-adds": int(work)})
pd.DataFrame(rows)

# %% [markdown]
# The same number of weights does not mean the same work: a shared weight is used at every position.
#
# > **Predict.** Trained and tested on digits in the middle, and on digits anywhere, with 100 labels a class:
# > on which of the two does the CNN beat the dense network? And the locally connected one?


# %%
def measure_equal(network, moved, labels, seed, rate=0.003):
    """Train on digits in the middle, or anywhere on the canvas."""
    row = train(build(network), digits_on_canvas(labels, moved, seed), seed, rate=rate)
    key = {"network": network, "moved": moved, "labels": labels, "rate": rate, "seed": seed}
    return key | row


live = pd.DataFrame(measure_equal(kind, True, 100, 0) for kind in ("dense, flatten", "max pooling, flatten"))
every = pd.read_csv("../data/results/cnn_anatomy_equal.csv")
equal = every[every["rate"] == 0.003]
both = live.merge(equal, on=["network", "moved", "labels", "seed"], suffixes=(" live", " stored"))
print(both[["network", "test_accuracy live", "test_accuracy stored"]].round(2))
assert (both["test_accuracy live"] - both["test_accuracy stored"]).abs().max() < 0.15

# %% alt="Training and test accuracy against labels, five equal networks, digits in the middle and anywhere"
figure, axes = plt.subplots(2, 5, figsize=(10, 4.4), layout="constrained", sharex=True, sharey=True)
for line, moved in zip(axes, (False, True), strict=True):
    for ax, kind in zip(line, networks, strict=True):
        runs = equal[(equal["moved"] == moved) & (equal["network"] == kind)]
        cnn_plots.plot_mean_curve(runs, "labels", "train_accuracy", colour="0.55", ax=ax)
        cnn_plots.plot_mean_curve(runs, "labels", "test_accuracy", ax=ax)
        means = runs.groupby("labels")[["train_accuracy", "test_accuracy"]].mean()
        ax.fill_between(means.index, *means.to_numpy().T, color=OKABE_ITO[4], alpha=0.2, linewidth=0)
        ax.set(xscale="log", ylim=(0, 1.04))
        ax.set_xticks([5, 20, 100], [5, 20, 100])
        ax.minorticks_off()
    line[0].set_ylabel("anywhere: accuracy" if moved else "middle: accuracy")
axes[1, 2].set_xlabel("labels per class, logarithmic")
for ax, kind in zip(axes[0], networks, strict=True):
    ax.set_title(kind.replace(", ", ",\n"), fontsize=10)

# %% [markdown]
# *In words:* grey is the accuracy on the training images, blue on the test images; the coloured area between
# them is the **gap**, the sign of overfitting. Above, digits in the middle: five networks, five nearly equal
# panels. Below, digits anywhere: from left to right the blue curve climbs and the gap closes.
#
# One trap: with 100 labels a class the dense and the locally connected network no longer fit even their
# *training* images (the grey curve falls). That makes the gap smaller without making anything better. With 20
# labels a class all five fit every training image, so there we compare the gaps.


# %%
def compared(one, other, column, moved, labels, table=equal):
    """Difference of two networks by seed, in points, with its 95 % interval."""
    runs = table[(table["moved"] == moved) & (table["labels"] == labels)]
    wide = 100 * runs.pivot(index="seed", columns="network", values=column)
    return evaluation.mean_interval(wide[one] - wide[other])


usual, dense, local, shared, pooled = [networks[i] for i in (3, 0, 1, 2, 4)]
print("in points: gap with 20 labels a class; test accuracy with 100")
for moved, place in ((False, "middle"), (True, "anywhere")):
    for one, other in ((local, dense), (shared, local), (usual, shared), (pooled, usual), (usual, dense)):
        gap, accuracy = (
            compared(one, other, "gap", moved, 20),
            compared(one, other, "test_accuracy", moved, 100),
        )
        print(f"{place:8}  {one} minus {other}: {gap}; {accuracy}")

# %% [markdown]
# *In words:* with digits anywhere, each line but the last takes one step more. Being local alone changes
# nothing that we could tell from zero, neither the gap nor the accuracy. Sharing the weights as well closes a
# little of the gap with 20 labels, and adds much accuracy with 100. Max pooling in place of strides, and global
# pooling in place of flatten, close most of the rest. In the middle none of this matters much: all differences
# are small.

# %%
still, moving = (compared(usual, dense, "gap", moved, 20) for moved in (False, True))
sparse = compared(local, dense, "gap", True, 20)
if moving.high < -10 and min(still.low, sparse.low) > -10:
    verdict = "holds when the position of the object varies and the weights are shared, not only sparse"
else:
    verdict = "holds" if max(still.high, moving.high, sparse.high) < 0 else "does not hold"
tlkit.record(
    "A5.1",
    value=moving.value,
    low=moving.low,
    high=moving.high,
    unit="points",
    quantity="gap of the usual CNN minus that of a dense network with as many weights, digits anywhere",
    seeds=6,
    verdict=verdict,
    sentence="At the same number of weights a CNN overfits less where an object can be anywhere: what a "
    "shared kernel learned in one place works in all others, and pooling uses it. Sparse connections alone "
    "do not help, and where the position is fixed there is little to gain.",
)

# %% [markdown]
# Now the second half of claim A4.1. To be fair to each network we also try two other learning rates and let
# each keep the one with the best mean *validation* accuracy.

# %%
fixed, moved = (compared(usual, dense, "test_accuracy", moved, 100) for moved in (False, True))
print(f"test accuracy, usual CNN minus dense, 100 labels: middle {fixed}, anywhere {moved} points")
rates = every[every["moved"] & (every["labels"] == 100)].groupby(["network", "rate"], as_index=False).mean()
best = rates.loc[rates.groupby("network")["validation_accuracy"].idxmax()]
print(best[["network", "rate", "validation_accuracy", "test_accuracy"]].round(3).to_string(index=False))
tlkit.record(
    "A4.1",
    value=weights["dense"] // weights["convolution"],
    unit="times",
    quantity="weights of a dense layer over those of a convolution with the same output, 32 x 32, 8 filters",
    verdict="holds" if weights["convolution"] < weights["local"] < weights["dense"] else "does not hold",
    sentence="For the same feature map a convolution needs far fewer weights; this is arithmetic. Whether it "
    "is more accurate at an equal number of weights depends on the task: by far where the position "
    "varies, hardly where it does not.",
)

# %% [markdown]
# ## 7. What the layers learn (claim A4.3)
#
# The assessment says that early layers learn edges, later ones abstract features. We take both halves apart.
#
# **First layers.** A filter of the first layer has 3 × 3 weights for each of three colours, so we can look at
# it as a small picture. An **edge** is a ramp from dark to bright in some direction, a **blob** is the same
# everywhere; both in one colour. For every filter we compute which share of it (of the sum of its squared
# weights) the best edge or the best blob explains, and compare with the filters that the networks started from.
#
# > **Predict.** What share does the best edge or blob explain in a *random* filter? Nothing?

# %% alt="First-layer filters of a pretrained and of a random network, the most edge-like or blob-like first"
ramp = np.tile([-1, 0, 1], (3, 1)) / 6**0.5
patterns = np.stack([ramp, ramp.T, np.full((3, 3), 1 / 3)])  # all of length 1


def explained(filters):
    """Share of each filter that the best edge or blob of one colour explains."""
    found = np.einsum("pij,nijc->npc", patterns, 2 * filters - 1)  # a weight of 0 is shown as 0.5
    edge = np.linalg.norm(found[:, :2], ord=2, axis=(1, 2)) ** 2  # best direction and colour at once
    blob = (found[:, 2] ** 2).sum(axis=1)
    return np.maximum(edge, blob) / ((2 * filters - 1) ** 2).sum(axis=(1, 2, 3))


starts, filters = {"pretrained": "pretrained", "random": None}, {}
for family in backbones.MINI:
    for start, kept in starts.items():
        network = tlkit.load_backbone(family, weights=kept, seed=0)
        filters[family, start] = explain.first_layer_filters(network)
shares = pd.Series({key: explained(values).mean() for key, values in filters.items()}).unstack()
figure, axes = plt.subplots(2, 1, figsize=(8, 3.6), layout="constrained")
for ax, start in zip(axes, starts, strict=True):
    shown = filters["mini_resnet", start]
    explain_plots.plot_filters(shown[np.argsort(-explained(shown))], columns=12, ax=ax).set_ylabel(start)
shares.round(2)

# %% [markdown]
# *In words:* above the filters of a pretrained network, below those of a network as it starts, each sorted from
# the most to the least edge-like or blob-like; grey is zero, colours are weights. In the table the share for
# five networks. A random filter is not at zero: with so few weights something always fits by chance, about a
# quarter. After training it is clearly more in every family, up to nearly half. So there is truth in "edges and
# the like", but more than half of what such small filters hold is neither edge nor blob.
#
# **Later layers.** To see what a stage has made of an image, we freeze the network and train a linear
# classifier on the stage's maps, each averaged over its positions (a **probe**, Alain & Bengio 2016). We do
# so on letters like those of the source task, on `wild_digits` (near), and on `oct_phantom` (far: simulated
# scans of the retina).
#
# > **Predict.** On which of the three does the accuracy rise up to the last stage?


# %%
def measure_probes(family, weights, target, seed):
    """Train a linear classifier on the output of each stage of a frozen network."""
    start = None if weights == "random" else weights
    backbone = tlkit.load_backbone(family, weights=start, seed=seed)
    data = tlkit.load_dataset(target, train_per_class=20, seed=seed)
    key = {"family": family, "weights": weights, "target": target, "seed": seed}
    return [key | row for row in explain.probe_by_stage(backbone, data).to_dict("records")]


live = pd.DataFrame(measure_probes("mini_resnet", "pretrained", "wild_digits", 0))
probes = pd.read_csv("../data/results/cnn_anatomy_probes.csv")
both = live.merge(probes, on=["family", "weights", "target", "seed", "stage"], suffixes=(" live", " stored"))
assert (both["test_accuracy live"] - both["test_accuracy stored"]).abs().max() < 0.05

# %% alt="Test accuracy of a linear probe by stage on three tasks, pretrained and random networks"
means = probes.groupby(["target", "weights", "family", "stage"], as_index=False)["test_accuracy"].mean()
means["position"] = means["stage"].map(dict(zip(live["stage"], range(6), strict=True)))
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharex=True)
for ax, (target, chance) in zip(
    axes, {"glyphs": 1 / 41, "wild_digits": 0.1, "oct_phantom": 0.5}.items(), strict=True
):
    for start, colour in (("random", OKABE_ITO[7]), ("pretrained", OKABE_ITO[0])):
        runs = means[(means["target"] == target) & (means["weights"] == start)]
        cnn_plots.plot_mean_curve(runs, "position", "test_accuracy", colour=colour, ax=ax)
    ax.axhline(chance, color="0.5", linestyle=":")
    ax.set(
        title=target,
        ylim=(0, 1),
        xlabel="stage (0: pixels)",
        ylabel="test accuracy of the probe",
        xticks=range(6),
    )

# %% [markdown]
# *In words:* blue pretrained, grey random weights, dotted line guessing; bands are 95 % intervals over the
# five families. On letters and on `wild_digits` every stage adds to what a linear classifier can read, up to
# the last. On the far target the rise is small and ends earlier: the last stage adds nothing that we could
# tell from zero. With random weights depth adds nothing anywhere: the rise is **learned**, not built in.

# %%
wide = means.pivot_table(index=["target", "weights", "family"], columns="stage", values="test_accuracy") * 100


def rise(target, start, first, last):
    """What the stages from `first` to `last` add, in points, with the interval over families."""
    rows = wide.loc[target, start]
    return evaluation.mean_interval(rows[f"block{last}"] - rows[f"block{first}"])


steps = {"block1 to 2": (1, 2), "block2 to 4": (2, 4), "block4 to 5": (4, 5)}
for target in ("glyphs", "wild_digits", "oct_phantom"):
    parts = [f"{name} {rise(target, 'pretrained', *step)}" for name, step in steps.items()]
    print(f"{target}: " + ", ".join(parts), f"\n    random, block1 to 5 {rise(target, 'random', 1, 5)}")
gain = evaluation.mean_interval(shares["pretrained"] - shares["random"])
print(f"share of a first-layer filter that an edge or blob explains, pretrained minus random: {gain}")

# %%
source, by_chance = (rise("glyphs", start, 1, 5) for start in ("pretrained", "random"))
tlkit.record(
    "A4.3",
    value=source.value,
    low=source.low,
    high=source.high,
    unit="points",
    quantity="accuracy of a linear probe on letters, stage 5 minus stage 1, five pretrained networks",
    seeds=3,
    verdict="holds" if min(gain.low, source.low - by_chance.high) > 0 else "does not hold",
    sentence="Trained first layers lean towards edges and blobs, though much of a small filter is neither; "
    "each later stage makes the classes of the source task easier to tell apart. On a task far from it "
    "the last stages add little.",
)

# %% [markdown]
# ## 8. Dropout (claim A4.4)
#
# **Dropout** sets each number of a layer's output to zero with probability $p$, its **rate**, anew at every
# training step, and multiplies the others by $1 / (1 - p)$. When the network is used, nothing is dropped.
# The assessment says that it prevents overfitting.
#
# > **Predict.** At which rate is the gap between training and test accuracy smallest: 0, 0.2, 0.4, 0.6 or
# > 0.8? And at which is the test accuracy best?


# %%
def measure_dropout(rate, labels, seed):
    """Train the CNN on digits anywhere on the canvas, with Dropout after each pooling."""
    data = digits_on_canvas(labels, True, seed)
    row = train(build("max pooling, flatten", rate), data, seed, epochs=5)
    return {"rate": rate, "labels": labels, "seed": seed} | row


live = measure_dropout(0.4, 10, 0)
dropout = pd.read_csv("../data/results/cnn_anatomy_dropout.csv")
kept = dropout.query("rate == 0.4 and labels == 10 and seed == 0").iloc[0]
print(f"test accuracy: live {live['test_accuracy']:.2f}, stored {kept['test_accuracy']:.2f}")
assert abs(live["test_accuracy"] - kept["test_accuracy"]) < 0.15

# %% alt="Training accuracy, test accuracy and gap against the dropout rate, 10 and 100 labels a class"
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharex=True, sharey=True)
titles = {"train_accuracy": "training accuracy", "test_accuracy": "test accuracy", "gap": "gap"}
for ax, (column, title) in zip(axes, titles.items(), strict=True):
    for labels, colour in ((10, OKABE_ITO[1]), (100, OKABE_ITO[0])):
        runs = dropout[dropout["labels"] == labels]
        cnn_plots.plot_mean_curve(runs, "rate", column, colour=colour, ax=ax)
    ax.set(title=title, xlabel="dropout rate", ylim=(-0.05, 1.04))


def against_none(column, labels, rate):
    """Dropout minus no dropout by seed, in points, with its 95 % interval."""
    wide = dropout[dropout["labels"] == labels].pivot(index="seed", columns="rate", values=column)
    return evaluation.mean_interval(100 * (wide[rate] - wide[0.0]))


for labels, rate in itertools.product((10, 100), (0.2, 0.4, 0.6, 0.8)):
    changes = [against_none(column, labels, rate) for column in ("gap", "test_accuracy")]
    print("{:3} labels, rate {}: gap {}, test accuracy {} points".format(labels, rate, *changes))

# %% [markdown]
# *In words:* blue 100, orange 10 labels a class; all trained for 1,000 steps. Moderate rates narrow the gap and
# raise the test accuracy, with 10 labels more than with 100. But with 10 labels most of the gap remains. At
# 0.6 the network no longer learns its 1,000 *training* images in that time, at 0.8 not even 100: it
# **underfits**. The gap is smallest where nothing at all has been learned, so a small gap is not a goal in
# itself.

# %%
table = dropout.groupby(["labels", "rate"])["validation_accuracy"].mean().unstack()
best = table.idxmax(axis=1)  # chosen by validation accuracy
shrinks, better, left, worse = {}, {}, {}, {}
for labels, rate in best.items():
    shrinks[labels], better[labels] = (against_none(c, labels, rate) for c in ("gap", "test_accuracy"))
    worse[labels] = against_none("test_accuracy", labels, 0.8)
    chosen = dropout[(dropout["labels"] == labels) & (dropout["rate"] == rate)]
    left[labels] = evaluation.mean_interval(100 * chosen["gap"])
    print(f"{labels} labels: best rate by validation {rate}, gap {shrinks[labels]}, leaves {left[labels]}")
helps = all(shrinks[n].high < 0 < better[n].low for n in best.index)
if helps and all(worse[n].high < 0 < left[n].low for n in best.index):
    verdict = "holds when the rate is moderate and 'prevents' reads 'reduces'"
else:
    verdict = "holds" if helps else "does not hold"
tlkit.record(
    "A4.4", value=shrinks[10].value, low=shrinks[10].low, high=shrinks[10].high, unit="points", seeds=6,
    quantity="gap with dropout minus without, 10 labels a class, rate chosen by validation", verdict=verdict,
    sentence="Dropout at a moderate rate reduces overfitting; it does not make up for missing images, and at "
    "a high rate the network underfits. Choose the rate by validation accuracy, not by the gap.",
)  # fmt: skip

# %% [markdown]
# ## 9. What we measured

# %%
evidence.measured()

# %% [markdown]
# ## Quiz
#
# **1. A convolutional layer with 16 filters of 3 × 3 takes a grey image of 64 × 64 pixels. How many weights
# does it have, biases included?**
#
# A. 144
#
# B. 160
#
# C. 655,360
#
# D. It depends on the size of the image
#
# <details><summary>Answer</summary>
#
# **B**: nine weights and one bias for each of 16 filters.
#
# A forgets the biases. C is the *locally connected* layer, ten numbers for each of 64 × 64 × 16 outputs: it
# is local but does not share (section 2, second line of the table). D is true of a dense layer: in section 2
# the formula of the convolution has no $s$ in it. </details>
#
# **2. A CNN with max pooling and a flatten head was trained on centred digits. Every test digit now moves by
# four pixels. What do you expect?**
#
# A. No change: CNNs are translation invariant
#
# B. Hardly any change: max pooling takes up small moves
#
# C. Most predictions change; training on moved digits would have prevented it
#
# D. Most predictions change; only an architecture without convolutions could prevent it
#
# <details><summary>Answer</summary>
#
# **C.** In section 5 such a network kept about a third of its predictions, with augmentation nearly all.
#
# A takes equivariance for invariance: the maps move with the digit, and a flatten head has other weights there.
# B: pooling helped somewhat (compare the panel with strides), far from enough. D: the dense network, which has
# no convolution, lost as much.
# </details>
#
# **3. A convolution has stride 2. The image moves by one pixel. Its feature map …**
#
# A. moves by one unit
#
# B. moves by half a unit
#
# C. stays as it is
#
# D. becomes another map, which no whole move of the old one matches
#
# <details><summary>Answer</summary>
#
# **D.** The kernel now stops at the pixels that it left out before; the right picture in section 5 shows what
# remains after the best whole move.
#
# A is true for stride 1. B: there are no half units; only for a move by two pixels does the map move exactly,
# by one. C would be invariance: the difference of the maps was far from zero.
# </details>
#
# **4. A dense network and a CNN have the same number of weights. Which needs more multiplications for an
# image?**
#
# A. The dense network: everything is connected with everything
#
# B. Both the same: a weight is a multiplication
#
# C. The CNN: each of its weights is used at many positions
#
# D. It depends on the values of the weights
#
# <details><summary>Answer</summary>
#
# **C**, by a wide margin, as the table in section 6 shows.
#
# A mixes up two comparisons: for the same *feature map* the dense layer needs far more of both (sections 2 and
# 3). B is true of dense layers only. D: zeros are multiplied like any other number; section 3 raced a matrix
# that was nearly all zeros.
# </details>
#
# **5. Two layers of 3 × 3 follow on a network whose strides so far multiply to 4. By how many pixels does the
# receptive field's side grow in theory?**
#
# A. 4
#
# B. 6
#
# C. 8
#
# D. 16
#
# <details><summary>Answer</summary>
#
# **D**: each layer adds $(3 - 1) \cdot 4 = 8$ pixels.
#
# A forgets the strides: it holds in the plain stack of section 4, where all are 1. B adds kernel sides rather
# than kernel sides minus one. C counts one layer. (What the neuron really weighs grows more slowly still.)
# </details>
#
# **6. A colleague reports: "With dropout 0.8 the gap between training and test accuracy is zero, so we have no
# overfitting left." What do you say?**
#
# A. Good: the gap is what counts
#
# B. Look at the test accuracy: a network that has learned nothing has no gap, either
#
# C. Impossible: dropout cannot close the gap
#
# D. Use it at test time as well, to make the gap negative
#
# <details><summary>Answer</summary>
#
# **B.** In section 8 the rate with the smallest gap was the one at which the network had not even learned its
# training images.
#
# A is refuted by the same figure. C: it closed, for the wrong reason. D: at test time nothing is dropped; doing
# so would only add noise to the predictions.
# </details>
#
# **7. "CNNs overfit less because their connections are sparse." Which experiment tests this sentence?**
#
# A. A CNN against a dense network with many more weights
#
# B. A CNN against a dense network with as many weights
#
# C. A locally connected network against a dense and a convolutional one, all with as many weights
#
# D. A CNN with dropout against one without
#
# <details><summary>Answer</summary>
#
# **C.** It alone separates *sparse* from *shared*, and in section 6 sparse alone changed nothing.
#
# A changes the number of weights too. B shows that something about the CNN helps, but not what. D tests another
# sentence, that of section 8.
# </details>
#
# **Next:** [05 Pooling, flatten, dense](05_pooling_flatten_dense.ipynb). Back to
# [03 Backpropagation](03_backpropagation.ipynb).
