# %% [markdown]
# # 01 Activation functions
#
# **After this lesson you can** (1) show why a network without an activation function is one single layer in
# disguise, (2) write the six common activations and their slopes and check them, (3) say where they stop
# passing a gradient, and what the first weights have to do with it, (4) count units that have died and tell
# whether it matters, (5) compare activations without being fooled by chance.
#
# **It answers** question 1 of Assessment 4 (activation functions).
#
# **Time:** 60 minutes to work through; about half a minute of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* compose, derive, check, locate, count, compare. *Prerequisites:* lesson 00; school
# mathematics up to the slope of a curve. *To teach:* 60 minutes; sections 1 and 2 alone make a lesson of 25.
# *Prepares:* homework 1 (activations, gradients and the parts of a convolutional network).
# </details>

# %%
import decimal
import functools
import itertools

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import ndtr
from sklearn.datasets import load_digits

import tlkit
from tlkit import activation_plots, dataset, evaluation, evidence, numpy_net

SEEDS = (0, 1, 2, 3, 4)

# %% [markdown]
# ## 1. Why a network needs one (claim A1.1)
#
# A **layer** turns numbers $x$ into other numbers. Each of its **units** adds up its inputs, each times a
# **weight**, and then a constant, the **bias**. For all units at once: $z = x\,W + b$, where $W$ (in code
# `kernel`, Keras's word) holds the weights and $b$ the biases. An **activation function** $f$ is then applied
# to every single sum: $a = f(z)$. A deep network is many layers, one after the other.
#
# What if we leave $f$ out? Two layers give $(x\,W_1 + b_1)\,W_2 + b_2 = x\,(W_1 W_2) + (b_1 W_2 + b_2)$,
# which is one layer again, with the weights $W_1 W_2$.
#
# > **Predict.** Twenty layers of 64 units without activation: does one layer compute the same, nearly the
# > same, or something coarser?


# %%
def compose(layers):
    """Multiply layers without activation into a single one."""
    kernel, bias = layers[0]
    for next_kernel, next_bias in layers[1:]:
        kernel, bias = kernel @ next_kernel, bias @ next_kernel + next_bias
    return kernel, bias


def collapse_error(seed):
    """Send 1,000 inputs through 20 random layers and through their product; largest difference."""
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(0, 1 / 8, (64, 64)), rng.normal(0, 1, 64)) for _ in range(20)]
    inputs = rng.normal(0, 1, (1000, 64))
    outputs = inputs
    for kernel, bias in layers:
        outputs = outputs @ kernel + bias
    kernel, bias = compose(layers)
    return np.abs(outputs - (inputs @ kernel + bias)).max() / np.abs(outputs).max()


errors = [collapse_error(seed) for seed in range(5)]
print(f"largest difference, relative to the largest output, over {len(errors)} seeds: {max(errors):.0e}")

# %% [markdown]
# The same, down to the last digits that the computer keeps (about $10^{-16}$ for each operation). Nineteen of
# the twenty layers add nothing to what the network can compute.
#
# What is lost? One layer of sums can only cut the plane along a straight line. Here is a task that no line
# can do: two **spirals**, wound around each other. The class is which spiral a point lies on. A second task
# comes along that we need later: scikit-learn's handwritten digits, 8 by 8 pixels, ten classes. Each seed
# draws its own splits.


# %%
def spirals(seed):
    """Splits of 1,000, 400 and 1,000 points on two spirals of two turns each."""
    for split, count in enumerate((1000, 400, 1000)):
        rng = np.random.default_rng([seed, split])
        labels = np.arange(count) % 2
        radius = 2 * np.sqrt(rng.uniform(0.02, 1, count))
        angle = 2 * np.pi * radius + np.pi * labels
        points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        yield points + rng.normal(0, 0.05, points.shape), labels


def digits(seed):
    """Splits of 60, 20 and 20 % of 1,797 digits, 64 pixels each, scaled by what the first holds."""
    pixels, labels = load_digits(return_X_y=True)
    splits = dataset.stratified_split(labels, (0.6, 0.2, 0.2), seed, "0123456789")
    centre, spread = pixels[splits[0]].mean(), pixels[splits[0]].std()
    return [((pixels[split] - centre) / spread, labels[split]) for split in splits]


# %% [markdown]
# Many small networks are trained in this lesson, from several **seeds** each. To keep the wait short we train
# a whole **stack** of equally shaped networks in one go: every array gets a first axis that counts the
# networks. `x` is then `[networks, examples, inputs]`, and `@` multiplies the matrices of each network. The
# right class of an example is kept as a row of zeros with a single 1 in its place.


# %%
@functools.cache
def stack(task, seeds):
    """Splits of a task, one network a seed: inputs [networks, n, inputs], classes [networks, n, classes]."""
    parts = [list({"spirals": spirals, "digits": digits}[task](seed)) for seed in seeds]
    splits = []
    for split in zip(*parts, strict=True):
        inputs = np.stack([x for x, _ in split]).astype(np.float32)
        labels = np.stack([labels for _, labels in split])
        splits.append((inputs, np.eye(labels.max() + 1, dtype=np.float32)[labels]))
    return splits


def start(sizes, rule, seeds, bias=0.0, dtype=np.float32):
    """First kernels [networks, inputs, units], drawn by `rule`, and biases, for layers of these sizes."""
    parameters = []
    for layer, shape in enumerate(itertools.pairwise(sizes)):
        kernels = [rule(shape, np.random.default_rng([seed, layer])) for seed in seeds]
        biases = np.zeros((len(kernels), 1, shape[1]))
        if layer < len(sizes) - 2:  # in hidden layers only
            biases = biases + np.reshape(bias, (-1, 1, 1))
        parameters.append([np.stack(kernels).astype(dtype), biases.astype(dtype)])
    return parameters


# %% [markdown]
# Now the two directions. *Forward*: inputs become outputs. *Backward*: the **loss**, a number that says how
# wrong the outputs are, is traced back to every weight. The **gradient** of the loss with respect to a weight
# tells how much the loss grows when that weight grows a little. On its way back the gradient passes every
# activation and is **multiplied by its slope** $f'(z)$. Keep this line in mind: sections 3 to 5 are about it.
# You need not follow every line of the next cells: lesson 03 takes them apart, and here we check them by
# experiment.


# %%
def forward(parameters, activation, x):
    """Outputs of a stack of networks, and what every layer saw: its inputs and slopes."""
    seen = []
    for kernel, bias in parameters[:-1]:
        value, slope = activation(x @ kernel + bias)  # a = f(z) and f'(z), with z = x W + b
        seen.append((x, slope))
        x = value
    kernel, bias = parameters[-1]
    return x @ kernel + bias, [*seen, (x, np.ones(1, x.dtype))]


def backward(parameters, seen, gradient):
    """Gradients of the loss, with respect to the sums z of each layer, and to kernels and biases."""
    signals, gradients = [], []
    for (kernel, _), (x, slope) in zip(reversed(parameters), reversed(seen), strict=True):
        gradient = gradient * slope  # times f'(z)
        signals.append(gradient)
        gradients.append([x.swapaxes(1, 2) @ gradient, gradient.sum(axis=1, keepdims=True)])
        gradient = gradient @ kernel.swapaxes(1, 2)
    return signals[::-1], gradients[::-1]


# %%
def error(outputs, classes):
    """Gradient of the mean cross-entropy: predicted probabilities minus true ones, by example."""
    powers = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True) - classes) / classes.shape[1]


def train(parameters, activation, optimizer, x, classes, steps, seed=0):
    """Correct the parameters of a stack of networks `steps` times, by 32 examples each time."""
    rng = np.random.default_rng(seed)
    flat = list(itertools.chain(*parameters))
    with np.errstate(all="ignore"):  # a network that blows up shows in its accuracy
        for _ in range(steps):
            batch = rng.integers(x.shape[1], size=32)
            outputs, seen = forward(parameters, activation, x[:, batch])
            _, gradients = backward(parameters, seen, error(outputs, classes[:, batch]))
            optimizer.step(flat, list(itertools.chain(*gradients)))


def accuracy(parameters, activation, x, classes):
    """Share of examples put in the right class, by network; one that blew up can only guess."""
    with np.errstate(all="ignore"):
        outputs, _ = forward(parameters, activation, x)
    return (outputs.argmax(axis=-1) == classes.argmax(axis=-1)).mean(axis=-1)


# %% [markdown]
# The loss is the *cross-entropy* (lesson 02). All that we need of it is its gradient at the outputs:
# predicted probabilities minus true ones. The optimiser, which takes the steps, comes from the package.
#
# Two first activations: none at all, and **ReLU** (rectified linear unit), $\max(0, z)$. Each function
# returns its value and its slope.


# %%
def identity(z):
    """No activation."""
    return z, np.ones_like(z)


def relu(z):
    """max(0, z); its slope is 0 or 1."""
    return np.maximum(z, 0), (z > 0).astype(z.dtype)


# %% [markdown]
# Is the way back right? We nudge every single weight and bias a little up and a little down and look at what
# the loss does: that is the definition of a gradient, and needs no rule at all. (`he_normal` is a rule by
# which the first weights are drawn; section 4 explains it.)

# %%
(x, classes), *_ = stack("digits", (0,))
x, classes = x[:, :20].astype(np.float64), classes[:, :20]
parameters = start([64, 8, 8, 10], numpy_net.he_normal, [0], dtype=np.float64)
outputs, seen = forward(parameters, relu, x)
_, gradients = backward(parameters, seen, error(outputs, classes))


def loss(nudged):
    """Mean cross-entropy of the network, whose arrays `gradient_check` nudges in place."""
    outputs, _ = forward(parameters, relu, x)
    return numpy_net.softmax_cross_entropy(outputs[0], classes[0].argmax(axis=1))[0]


pairs = zip(itertools.chain(*parameters), itertools.chain(*gradients), strict=True)
worst = max(numpy_net.gradient_check(loss, array, gradient) for array, gradient in pairs)
print(f"largest difference to the nudges, relative to the largest gradient: {worst:.0e}")

# %% [markdown]
# So the gradients are right. Now the spirals: the same network of four hidden layers of 32 units, with ReLU
# and without any activation, trained alike: 600 steps of an optimiser called Adam (lesson 02). (A **hidden**
# layer is one whose outputs are neither inputs nor results.)
#
# > **Predict.** Guessing is right for half of the points. How many will each network get right?


# %%
def learn_spirals(activation, hidden):
    """Train from every seed; return the networks and their test accuracy."""
    training, validation, test = stack("spirals", SEEDS)
    parameters = start([2, *[32] * hidden, 2], numpy_net.he_normal, SEEDS)
    train(parameters, activation, numpy_net.Adam(0.01), *training, steps=600)
    accuracies = [accuracy(parameters, activation, *split) for split in (validation, test)]
    print(f"{activation.__name__:8} {hidden} hidden layers: validation {accuracies[0].mean():.3f}, ", end="")
    print(f"test {evaluation.mean_interval(accuracies[1])}")
    return parameters, accuracies[1]


line, accuracy_line = learn_spirals(identity, 0)
linear, accuracy_linear = learn_spirals(identity, 4)
bent, accuracy_bent = learn_spirals(relu, 4)


# %% alt="Two spirals three times: two maps cut by a straight line, the third follows the spirals"
def rule_of(parameters, activation):
    """What the first network of a stack says about points: above 0 where it says class 1."""

    def decide(points):
        first = [[kernel[:1], bias[:1]] for kernel, bias in parameters]
        return np.diff(forward(first, activation, points[None])[0][0], axis=1)

    return decide


points, classes = (array[0] for array in stack("spirals", SEEDS)[2])
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained", sharey=True)
panels = {"one layer": (line, identity), "five layers, no activation": (linear, identity)}
panels["five layers, ReLU"] = (bent, relu)
for ax, (title, network) in zip(axes, panels.items(), strict=True):
    labels = classes[:400].argmax(axis=1)
    activation_plots.plot_regions(rule_of(*network), points[:400], labels, ax=ax)
    ax.set(title=title, ylabel="second input" if ax is axes[0] else "")

# %% [markdown]
# *In words:* the plane, coloured by the class that the network of the first seed says (blue or orange), and
# 400 test points of the two spirals. One layer and five layers without activation both cut the plane in two
# along a straight line. With ReLU the border winds along between the arms. In the lines above the figure, the
# brackets hold a 95 % interval for the mean over the five seeds.

# %%
gain = evaluation.mean_interval(100 * (accuracy_bent - accuracy_linear))
kernel, bias = compose(linear)
together = points @ kernel[0] + bias[0]
apart = forward(linear, identity, stack("spirals", SEEDS)[2][0])[0][0]
agree = np.mean(together.argmax(axis=1) == apart.argmax(axis=1))
print(f"trained linear network against its product: {agree:.1%} of the test points in the same class")
exact = max(errors) < 1e-10 and agree > 0.99
if exact and gain.low > 10:
    verdict = "holds"
else:
    verdict = "holds when the task cannot be done by a linear map" if exact else "does not hold"
tlkit.record(
    "A1.1",
    value=gain.value,
    low=gain.low,
    high=gain.high,
    unit="points",
    quantity="test accuracy on two spirals, five layers with ReLU minus the same without activation",
    seeds=len(SEEDS),
    verdict=verdict,
    sentence="Without a non-linear activation function, layers of any number multiply out to a single "
    "affine map, a matrix and a constant; on a task that no straight cut can do, they fail as one layer does.",
)

# %% [markdown]
# The product of the trained matrices says the same as the trained network. One word in the source (the
# assessment's answer) is loose: with biases the map is *affine* (a matrix and a constant), not strictly
# linear.
#
# ## 2. Six activations, step by step
#
# **Sigmoid** and **tanh** squash any number into a narrow range:
#
# $$\sigma(z) = \frac{1}{1 + e^{-z}}, \quad \sigma'(z) = \sigma(z)\,(1 - \sigma(z)); \qquad
# \tanh(z) = \frac{e^{z} - e^{-z}}{e^{z} + e^{-z}}, \quad \tanh'(z) = 1 - \tanh(z)^2.$$


# %%
def sigmoid(z):
    """1 / (1 + exp(-z)), written so that exp cannot overflow."""
    decay = np.exp(-np.abs(z))
    value = np.where(z >= 0, 1, decay) / (1 + decay)
    return value, value * (1 - value)


def tanh(z):
    """Hyperbolic tangent."""
    value = np.tanh(z)
    return value, 1 - value**2


# %% [markdown]
# **Leaky ReLU** keeps a small slope left of zero (Keras's function `leaky_relu` takes 0.2 if you say nothing,
# its layer `LeakyReLU` 0.3, the paper of 2013 took 0.01). The **ELU** (exponential linear unit) bends
# smoothly towards $-\alpha$ (here $\alpha = 1$). The **GELU** (Gaussian error linear unit), which the
# source does not name, weighs $z$ with $\Phi(z)$, the share of a standard normal distribution (the bell curve
# around 0 with spread 1) that lies below $z$; in code it is `ndtr`:
#
# $$\mathrm{leaky}(z) = \max(z, 0) + 0.2\,\min(z, 0), \qquad
# \mathrm{ELU}(z) = \max(z, 0) + \alpha\,(e^{\min(z, 0)} - 1), \qquad \mathrm{GELU}(z) = z\,\Phi(z).$$


# %%
def leaky_relu(z, negative_slope=0.2):
    """z, or negative_slope z where z is negative."""
    slope = np.where(z > 0, 1, negative_slope).astype(z.dtype)
    return z * slope, slope


def elu(z, alpha=1.0):
    """z, or alpha (exp(z) - 1) where z is negative."""
    below = np.minimum(z, 0)
    slope = np.where(z > 0, 1, alpha * np.exp(below)).astype(z.dtype)
    return np.maximum(z, 0) + alpha * np.expm1(below), slope


def gelu(z):
    """z times the share of a standard normal distribution below z."""
    share = ndtr(z)
    return z * share, share + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi).astype(z.dtype)


ACTIVATIONS = {f.__name__: f for f in (sigmoid, tanh, relu, leaky_relu, elu, gelu)}


# %% [markdown]
# Are they right? We compare values and slopes with `tlkit.numpy_net` and with Keras, whose slopes TensorFlow
# finds by itself.


# %% tags=["exact"]
# NBVAL_CHECK_OUTPUT
def keras_slope(name, z):
    """Value and slope of Keras's activation of this name."""
    z = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = getattr(keras.activations, name)(z)
    return value.numpy(), tape.gradient(value, z).numpy()


z = np.linspace(-6, 6, 1201)
for name, function in ACTIVATIONS.items():
    for other in (numpy_net.ACTIVATIONS[name](z), keras_slope(name, z)):
        np.testing.assert_allclose(function(z), other, atol=1e-7)
    print(f"{name}: values and slopes agree")

# %% [markdown]
# > **Predict.** An activation is **saturated** where it is flat: where its slope is nearly 0, so that hardly
# > any gradient passes. Which of the six have such zones, on which side, and which has none?

# %% alt="Six small panels, an activation and its slope in each; grey ground where the slope is below 0.05"
figure, axes = plt.subplots(2, 3, figsize=(8, 4.4), layout="constrained", sharex=True, sharey=True)
for ax, (name, function) in zip(axes.flat, ACTIVATIONS.items(), strict=True):
    activation_plots.plot_activation(function, name, ax=ax)
    ax.set(xlabel="sum $z$" if ax in axes[1] else "")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
flat = pd.DataFrame(
    {"largest slope": [function(z)[1].max() for function in ACTIVATIONS.values()]}, index=list(ACTIVATIONS)
)
flat["flat share of -6 ... 6"] = [np.mean(np.abs(f(z)[1]) < 0.05) for f in ACTIVATIONS.values()]
flat.round(2)

# %% [markdown]
# *In words:* solid blue the value, dashed orange the slope, grey ground where the slope is below 0.05 in
# size. Sigmoid and tanh are flat on both sides; ReLU, ELU and GELU on the left only, ReLU from zero on. (GELU
# dips below zero before it rises; the thin grey strip is the bottom of the dip.) Leaky ReLU is flat nowhere.
# The sigmoid's slope is never above 0.25, that of the others reaches 1, GELU's a little more.
#
# Where a unit's sums fall decides how much gradient it passes. Move the two sliders: the mean and the spread
# of the sums that reach a unit. The green hill at the bottom shows how often each sum occurs (on a page
# without Python you see the first setting).


# %%
def sums_and_slope(name="relu", mean=0.0, spread=1.0):
    """Draw an activation over the sums that a unit gets; say what they let through."""
    sums = np.random.default_rng(0).normal(mean, spread, 10_000)
    slope = np.abs(ACTIVATIONS[name](sums)[1])
    title = f"{np.mean(slope < 0.05):.0%} of the sums in a flat zone, mean slope {slope.mean():.2f}"
    ax = activation_plots.plot_activation(ACTIVATIONS[name], f"{name}: {title}")
    ax.figure.set_size_inches(5.5, 2.8)
    ax.title.set_fontsize(9)
    ax.hist(sums, bins=np.linspace(-6, 6, 61), density=True, bottom=-1.3, color="#009E73", alpha=0.5)
    plt.show()


sliders = {"mean": (-4.0, 4.0, 0.5), "spread": (0.5, 4.0, 0.5)}
ipywidgets.interact(sums_and_slope, name=list(ACTIVATIONS), **sliders);  # fmt: skip

# %% [markdown]
# ## 3. Ranges: on paper and in a computer (claim A1.2)
#
# The source says that the sigmoid maps to values between 0 and 1, and tanh between −1 and 1. On paper the
# ends are never reached: the ranges are $(0, 1)$ and $(-1, 1)$. A computer keeps only some digits:
# **float64** (the habit of NumPy) 53 binary ones, **float32** (that of Keras) 24, **float16** 11.
#
# > **Predict.** In float32: is there a $z$ from which on $\sigma(z)$ is *exactly* 1? Roughly which: 17, 90 or
# > $10^{38}$?


# %%
def first_where(condition, precision):
    """Smallest positive number of this precision from which on the condition holds, by halving."""
    low, high = precision(0), precision(1000)
    while np.nextafter(low, high) < high:
        middle = precision((low + high) / 2)
        low, high = (low, middle) if condition(middle) else (middle, high)
    return float(high)


keras_value = {f: lambda z, f=f: getattr(keras.activations, f)(tf.constant(z)) for f in ("sigmoid", "tanh")}
rows = {}
for precision in (np.float16, np.float32, np.float64):
    p = np.finfo(precision).nmant + 1
    rows[precision.__name__] = {
        "binary digits p": p,
        "sigmoid is 1 from, NumPy": first_where(lambda z: sigmoid(z)[0] == 1, precision),
        "sigmoid is 1 from, Keras": first_where(lambda z: keras_value["sigmoid"](z) == 1, precision),
        "sigmoid, formula p ln 2": p * np.log(2),
        "tanh is 1 from, NumPy": first_where(lambda z: tanh(z)[0] == 1, precision),
        "tanh is 1 from, Keras": first_where(lambda z: keras_value["tanh"](z) == 1, precision),
        "tanh, formula (p + 2) ln 2 / 2": (p + 2) * np.log(2) / 2,
        "sigmoid is 0 left of, NumPy": -first_where(lambda z: sigmoid(-z)[0] == 0, precision),
    }
pd.DataFrame(rows).round(2)

# %% [markdown]
# *In words:* with $p$ binary digits, $1 + e^{-z}$ is rounded to 1 as soon as $e^{-z} \le 2^{-p}$, that is
# from $z = p \ln 2$ on: about 17 in float32. NumPy and Keras do not always agree with the formula (see tanh
# in float32), as each takes its own short cuts in the last digit. To the left, the sigmoid comes to 0 exactly
# only much later: numbers next to 0 can be far smaller than the steps next to 1.
#
# And the slope? On paper, the formula $\sigma'(z) = \sigma(z)(1 - \sigma(z))$ gives the same at $z$ and at
# $-z$, as $\sigma(-z) = 1 - \sigma(z)$.
#
# > **Predict.** The slope of the sigmoid at 20 and at −20 in float32: equal, or not?

# %%
decimal.getcontext().prec = 60
exact = {z: 1 / (1 + decimal.Decimal(-z).exp()) for z in (-20, 20)}  # 60 decimal digits
spread = {z: np.exp(-np.abs(np.float32(z))) for z in exact}
slopes = {
    "60 digits": {z: float(value * (1 - value)) for z, value in exact.items()},
    "value (1 - value)": {z: float(sigmoid(np.float32(z))[1]) for z in exact},
    "Keras": {z: float(keras_slope("sigmoid", np.float32(z))[1]) for z in exact},
    "exp(-|z|) / (1 + exp(-|z|))²": {z: float(e / (1 + e) ** 2) for z, e in spread.items()},
}
print(pd.DataFrame(slopes).T.rename_axis(columns="z").to_string(float_format="{:.2e}".format))
print("Keras, slope of ReLU at 0:", keras_slope("relu", np.float32(0))[1])
print("left and right of 0:", relu(np.float32(-1e-30))[1], relu(np.float32(1e-30))[1])

# %% [markdown]
# *In words:* both our formula and Keras give slope 0 at 20 in float32, although the true slope is about
# $2 \cdot 10^{-9}$, and although they give it correctly at −20: $\sigma(20)$ is rounded to 1, and so the
# factor $1 - \sigma(20)$ becomes 0. The last row shows that this is a matter of the formula, not of float32.
# A unit whose sums all lie beyond 17 gets no gradient whatever.
#
# ReLU has a corner at 0, and no slope there. Keras takes 0; any number from 0 to 1 would do. It is a
# convention.

# %%
below = -np.geomspace(1e-30, 1e30, 601, dtype=np.float32)
grid = np.concatenate([below, [0], -below]).astype(np.float32)
inside = [np.all((f(grid)[0] >= low) & (f(grid)[0] <= 1)) for f, low in ((sigmoid, 0), (tanh, -1))]
zero = np.all(relu(below)[0] == 0)
on_paper = 0 < exact[-20] < exact[20] < 1  # neither end is reached
reached = rows["float32"]["sigmoid is 1 from, NumPy"]
if all(inside) and zero and on_paper:
    rounded = "holds when computed exactly; float32 reaches the ends themselves"
    verdict = rounded if reached < 100 else "holds"
else:
    verdict = "does not hold"
tlkit.record(
    "A1.2",
    value=reached,
    unit="",
    quantity="smallest z at which the sigmoid is exactly 1 in float32",
    verdict=verdict,
    sentence="The sigmoid lies strictly between 0 and 1 and tanh strictly between -1 and 1; in float32 they "
    "reach 1 all the same, from about 17 and from 8 to 10 on, and their computed slope is 0 there. ReLU is zero for "
    "negative inputs and at 0, where its slope is a convention.",
)

# %% [markdown]
# ## 4. How far back does a gradient reach? (claim A1.4)
#
# On the way back, the gradient is multiplied at every layer: by the weights, and by the slope $f'(z)$. Fifty
# factors of 0.25 make $10^{-30}$: the gradient **vanishes**. Fifty factors of 2 make $10^{15}$: it
# **explodes**. The source says that the ELU mitigates vanishing gradients. But the weights are a factor as
# well, and their first size is our choice, the **initialisation**. For a layer with $n_\text{in}$ inputs and
# $n_\text{out}$ outputs three rules are common (the *variance* of numbers around zero is the mean of their
# squares):
#
# | rule | variance of the first weights | made for |
# |---|---|---|
# | LeCun (1998) | $1 / n_\text{in}$ | sums that keep their size |
# | Glorot (2010) | $2 / (n_\text{in} + n_\text{out})$ | tanh; the rule that Keras takes if you say nothing |
# | He (2015) | $2 / n_\text{in}$ | ReLU, which lets half of the sums pass |
#
# Where all layers are equally wide, Glorot's variance *is* LeCun's.
#
# The **signal** of a layer is the gradient of the loss with respect to its sums,
# $\delta = \partial L / \partial z$: what arrives there from the output. Its **norm** (root of the sum of
# squares) is its size.

# %%
RULES = {"LeCun": numpy_net.lecun_normal, "Glorot": numpy_net.glorot_uniform, "He": numpy_net.he_normal}


def gradient_norms(name, depth, rule, seeds=SEEDS):
    """Norms at each hidden layer, [seeds, depth], before any training: of signals, of kernel gradients."""
    inputs, classes = (array[:, :128] for array in stack("digits", SEEDS)[0])
    parameters = start([64] * (depth + 1) + [10], RULES[rule], seeds, dtype=np.float64)
    outputs, seen = forward(parameters, ACTIVATIONS[name], inputs.astype(np.float64))
    signals, gradients = backward(parameters, seen, error(outputs, classes))
    of_signals = [np.linalg.norm(signal, axis=(1, 2)) for signal in signals[:-1]]
    of_kernels = [np.linalg.norm(kernel, axis=(1, 2)) for kernel, _ in gradients[:-1]]
    return np.stack(of_signals, axis=1), np.stack(of_kernels, axis=1)


print("Keras's own rule for a Dense layer:", type(keras.layers.Dense(1).kernel_initializer).__name__)

# %% [markdown]
# Networks of 2 to 50 hidden layers of 64 units, 128 digits, no training yet. We divide the size of the signal
# at the *first* hidden layer by that at the *last* and count in powers of ten: −3 means that a thousandth
# arrives, 0 that all of it does, 1 that it grew tenfold.
#
# > **Predict.** At depth 50: what arrives through sigmoids, ReLUs and ELUs under Glorot's rule? And under
# > He's?

# %% alt="Three grids, one a rule: powers of ten by which the signal changes, by activation and depth"
DEPTHS = (2, 5, 10, 20, 50)
cells = itertools.product(RULES, ACTIVATIONS, DEPTHS)
reach = {(rule, name, depth): gradient_norms(name, depth, rule)[0] for rule, name, depth in cells}
powers = pd.Series({key: np.log10(norms[:, 0] / norms[:, -1]) for key, norms in reach.items()})
figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), layout="constrained", sharey=True)
for ax, rule in zip(axes, RULES, strict=True):
    table = powers[rule].map(np.mean).unstack()[list(DEPTHS)].loc[list(ACTIVATIONS)]
    table = table.rename_axis(columns="hidden layers").round(1) + 0.0
    activation_plots.plot_grid(table, limits=(-8, 8), colours="PuOr", form=".1f", ax=ax)
    ax.set(title=rule)

# %% [markdown]
# *In words:* rows are activations, columns depths; in each cell the power of ten, a mean over five seeds.
# Orange cells vanish, violet ones explode (the colours end at 8 powers). The sigmoid vanishes under every
# rule: its slope is at most 0.25. Under LeCun's and Glorot's rule ReLU loses between seven and eight powers
# of ten in fifty layers, and ELU about one. Under He's rule ReLU loses nothing, and through ELU and tanh the
# signal *grows*, ten to twenty times: that rule is too large for them. GELU loses nearly four powers of ten
# even under He's rule. **For ReLU, changing the rule does what changing to ELU does.** In Keras it is one
# word: `Dense(64, activation="relu", kernel_initializer="he_normal")`.
#
# What an optimiser sees is not the signal but the gradient of the weights: the layer's inputs times its
# signal.
#
# > **Predict.** ReLU, Glorot, fifty layers: which layer's weights get the smallest gradient, the first, the
# > last, or all the same?

# %% alt="Norm of the signal (above) and of the weights' gradient (below) by layer, four activations"
figure, axes = plt.subplots(2, 4, figsize=(9, 4.2), layout="constrained", sharex=True, sharey=True)
for column, name in enumerate(("sigmoid", "tanh", "relu", "elu")):
    found = {rule: gradient_norms(name, 50, rule) for rule in ("Glorot", "He")}
    for row, kind in enumerate(("signal $\\delta$", "gradient of $W$")):
        ax = axes[row, column]
        activation_plots.plot_by_layer({rule: norms[row] for rule, norms in found.items()}, ax=ax)
        ax.set(ylim=(1e-10, 1e3), xlabel="hidden layer" if row else "")
        ax.set(title="" if row else name, ylabel="" if column else f"norm, {kind}")
figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
smallest = {rule: gradient_norms("relu", 50, rule)[1].mean(axis=0) for rule in ("Glorot", "He")}
for rule, norms in smallest.items():
    places = f"first layer {norms[0]:.1e}, middle {norms[25]:.1e}, last {norms[-1]:.1e}"
    print(f"ReLU, {rule}: gradient of W, {places}")

# %% [markdown]
# *In words:* lines are means of five seeds, bands reach from the smallest to the largest; blue is Glorot's
# rule, orange He's, and the input is on the left. In the upper row ReLU's blue lines fall towards the input.
# In the lower row they are level: the inputs of the layers shrink on the way forward just as the signal
# shrinks on the way back, and the product stays the same. So *all* layers get a gradient that is far too
# small for plain gradient descent at an ordinary rate. A ratio between first and last layer alone would have
# told us that nothing was wrong. (The sigmoid's lines leave the picture at the bottom.)

# %%
deep = {(rule, name): powers[rule, name, DEPTHS[-1]] for rule in RULES for name in ACTIVATIONS}
over_relu = {rule: evaluation.mean_interval(deep[rule, "elu"] - deep[rule, "relu"]) for rule in RULES}
over_sigmoid = [evaluation.mean_interval(deep[rule, "elu"] - deep[rule, "sigmoid"]) for rule in RULES]
relu_he, elu_he = (evaluation.mean_interval(deep["He", name]) for name in ("relu", "elu"))
print(f"He: ReLU {relu_he}, ELU {elu_he} powers of ten")
print("ELU minus ReLU:", {rule: str(found) for rule, found in over_relu.items()})
helps = over_relu["Glorot"].low > 2 and min(found.low for found in over_sigmoid) > 2
if not helps:
    verdict = "does not hold"
elif relu_he.low < -2:  # ReLU needs help under its own rule, too
    verdict = "holds"
else:
    verdict = "holds when compared with the sigmoid, or with a ReLU whose initialisation is not He's"
tlkit.record(
    "A1.4",
    value=over_relu["Glorot"].value,
    low=over_relu["Glorot"].low,
    high=over_relu["Glorot"].high,
    unit="powers of ten",
    quantity="signal at the first of 50 hidden layers relative to the last, ELU over ReLU, Glorot's rule",
    seeds=len(SEEDS),
    verdict=verdict,
    sentence="Through ELUs a gradient reaches far deeper than through sigmoids, and deeper than through ReLUs "
    "under LeCun's or Glorot's initialisation; under He's, ReLUs pass it on as well without any ELU.",
)

# %% [markdown]
# ## 5. Units that die (claim A1.3)
#
# A ReLU unit whose sum is negative for *every* training image puts out 0 for all of them, and its slope is 0
# for all of them. No gradient passes, so plain gradient descent never changes its weights: it is **dead**.
# The source says that leaky ReLU addresses this. By its definition it must, since its slope is never 0. Three
# questions remain: when do units die, do leaky ones cure *accuracy*, and are ELU and GELU, which are flat on
# the left as well, any better?
#
# We call a unit dead if its slope is below 0.001 for every training image. Sums are pushed below zero in two
# ways: by a **learning rate** (the size of the steps) that is too high, so that one step throws a unit far
# off, and by a negative first bias, which puts it there from the start.


# %%
def dead_share(parameters, activation, x):
    """Share of hidden units that are dead on x, by network; NaN where the network blew up."""
    with np.errstate(all="ignore"):
        outputs, seen = forward(parameters, activation, x)
    flat = [(np.abs(slope) < 0.001).all(axis=1).mean(axis=-1) for _, slope in seen[:-1]]
    return np.where(np.isfinite(outputs).all(axis=(1, 2)), np.mean(flat, axis=0), np.nan)


def kill(name, optimizer, rates, biases, seeds=SEEDS):
    """Train 64-32-32-10 networks on the digits for each rate, first bias and seed; return a table."""
    runs = pd.DataFrame(itertools.product(rates, biases, seeds), columns=["rate", "bias", "seed"])
    training, validation, test = stack("digits", tuple(runs["seed"]))
    parameters = start([64, 32, 32, 10], numpy_net.he_normal, runs["seed"], runs["bias"])
    rate = runs["rate"].to_numpy(np.float32).reshape(-1, 1, 1)
    train(parameters, ACTIVATIONS[name], optimizer(rate), *training, steps=300)
    return runs.assign(
        name=name,
        optimizer=optimizer.__name__,
        dead=dead_share(parameters, ACTIVATIONS[name], training[0]),
        validation=accuracy(parameters, ACTIVATIONS[name], *validation),
        test=accuracy(parameters, ACTIVATIONS[name], *test),
    )


# %% [markdown]
# > **Predict.** Plain gradient descent, rates from 0.03 to 1, first biases from 0 to −4: where do ReLU units
# > die? And at the highest rate, what becomes of the leaky network, whose units cannot die?

# %% alt="Grids of the share of dead units (above) and accuracy (below) by learning rate and first bias"
BENT = ("relu", "leaky_relu", "elu", "gelu")
RATES, BIASES = (1.0, 0.3, 0.1, 0.03), (0, -1, -2, -4)
deaths = pd.concat([kill(name, numpy_net.SGD, RATES, BIASES) for name in BENT])
figure, axes = plt.subplots(2, 4, figsize=(9, 4.4), layout="constrained", sharex=True, sharey=True)
for column, name in enumerate(BENT):
    shown = deaths[deaths["name"] == name].groupby(["rate", "bias"])[["dead", "validation"]].mean()
    shown["accuracy"] = shown["validation"].where(shown["dead"].notna())  # none where it blew up
    for row, (measured, colours) in enumerate((("dead", "cividis_r"), ("accuracy", "cividis"))):
        table = shown[measured].unstack().loc[list(RATES), list(BIASES)]
        ax = activation_plots.plot_grid(table, limits=(0, 1), colours=colours, ax=axes[row, column])
        title = {"dead": "dead units", "accuracy": "accuracy"}[measured]
        ax.set(title=f"{name}: {title}", xlabel="first bias" if row else "")
        ax.set(ylabel="" if column else "learning rate")

# %% [markdown]
# *In words:* bright is good in both rows. Above, the share of dead units (mean of five seeds), below, the
# validation accuracy; a dash where all five networks **blew up**: their weights grew beyond every number of
# float32. At the three lower rates and bias 0 hardly a ReLU unit dies. A negative bias kills; at −4 ReLU's
# accuracy is that of guessing. Leaky units are never dead, and at the rates 0.1 and 0.3 they repair most of
# the damage. ELU comes close to that at 0.3. GELU does not: at −4 only a part of its units counts as dead,
# but the slopes of the others are small as well.
#
# Now look at the row of rate 1. ReLU units die, ELU units die, and the leaky network *blows up*: nothing
# stops its weights from growing. There the cure is not an activation but a lower rate.
#
# Does a dead unit ever come back? One in the first hidden layer cannot: its inputs are the images, which
# never change, and its weights get no gradient. We check it with plain gradient descent. (Adam remembers
# earlier gradients and would push it on for some steps.)

# %%
training, *_ = stack("digits", SEEDS)
parameters = start([64, 32, 32, 10], numpy_net.he_normal, SEEDS, bias=-1.0)
train(parameters, relu, numpy_net.SGD(0.3), *training, steps=300)
_, seen = forward(parameters, relu, training[0])
dead = (seen[0][1] == 0).all(axis=1)  # [networks, units] of the first hidden layer
before = parameters[0][0].copy()
train(parameters, relu, numpy_net.SGD(0.3), *training, steps=300, seed=1)
moved = (parameters[0][0] != before).any(axis=1)
print(f"dead: {dead.sum()} of {dead.size} units, of which {moved[dead].sum()} moved in 300 further steps")
print(f"alive: {(~dead).sum()} units, of which {moved[~dead].sum()} moved")
assert not moved[dead].any()

# %% [markdown]
# Not one weight of a dead unit moved, to the last bit.
#
# Most people train with Adam, which scales its steps by itself (lesson 02). So we repeat ReLU and leaky ReLU
# with it, and put both optimisers in one table: ordinary settings (the rate with the best validation accuracy
# of ReLU at bias 0), a first bias of −4, and a rate that is too high.

# %%
adam = [kill(name, numpy_net.Adam, (0.003, 0.01, 0.03, 0.1, 0.3), (0, -4)) for name in BENT[:2]]
runs = pd.concat([deaths[deaths["name"].isin(BENT[:2])], *adam])
rows, gains = [], {}
for optimizer, table in runs.groupby("optimizer", sort=False):
    usual = table.query("name == 'relu' and bias == 0").groupby("rate")["validation"].mean().idxmax()
    high = table["rate"].max()
    for case, rate, bias in (("ordinary", usual, 0), ("bias -4", usual, -4), ("high rate", high, 0)):
        here = table[(table["rate"] == rate) & (table["bias"] == bias)]
        both = here.pivot(index="seed", columns="name", values="test")
        gains[optimizer, case] = evaluation.mean_interval(100 * (both["leaky_relu"] - both["relu"]))
        dead = here[here["name"] == "relu"]["dead"].mean()
        row = [optimizer, case, rate, dead, *both.mean()[list(BENT[:2])], gains[optimizer, case]]
        rows.append(row)
columns = ["optimizer", "case", "rate", "dead ReLUs", "ReLU", "leaky", "leaky minus ReLU, points"]
pd.DataFrame(rows, columns=columns).round(3)

# %% [markdown]
# *In words:* a row for each case; "ReLU" and "leaky" are mean test accuracies, and the last column is their
# difference in points with its 95 % interval over five seeds. (SGD, stochastic gradient descent, is plain
# gradient descent by a few examples a step.) At ordinary settings hardly a ReLU is dead and both intervals
# contain zero. After a first bias of −4, and with Adam at the high rate, leaky ReLU is far ahead. With plain
# gradient descent at the high rate it is behind, as its networks blew up.

# %%
never = (runs.loc[runs["name"] == "leaky_relu", "dead"].fillna(0) == 0).all()
ordinary = [gains[optimizer, "ordinary"] for optimizer in ("SGD", "Adam")]
rescued = [gains[optimizer, "bias -4"] for optimizer in ("SGD", "Adam")]
unneeded = all(max(-found.low, found.high) < 5 for found in ordinary)
if not never or min(found.low for found in rescued) < 10:
    verdict = "does not hold"
else:
    verdict = "holds when so many units are dead that accuracy suffers, and no step blows the network up"
    verdict = verdict if unneeded else "holds"
tlkit.record(
    "A1.3",
    value=rescued[0].value,
    low=rescued[0].low,
    high=rescued[0].high,
    unit="points",
    quantity="test accuracy on digits, leaky ReLU minus ReLU, first bias -4 (ordinary bias: no difference)",
    seeds=len(SEEDS),
    verdict=verdict,
    sentence="A leaky ReLU cannot die, and it rescues accuracy where most ReLUs would be dead, after a bad "
    "start or with Adam at too high a rate; at ordinary settings few ReLUs die and nothing is gained, and with "
    "plain gradient descent at too high a rate the leaky network blows up instead.",
)

# %% [markdown]
# ## 6. Which one is best? (claim A1.5)
#
# It depends on the task, says the source, and one has to experiment. So we do, as fairly as we can: six
# activations, 2 to 16 hidden layers, two tasks, 600 steps of Adam. **Each combination gets its own best
# settings**: five learning rates and two initialisations were tried on three other seeds, and chosen by the
# *validation* accuracy. Then twenty fresh seeds were trained. That takes some minutes, so the table is kept
# in `data/results` (`python benchmarks/activations.py` makes it again, with the function below). We run a
# part of it live and check that both agree.
#
# > **Predict.** With two hidden layers on the digits, in what order do the six come? And which of them still
# > work with sixteen?


# %%
def measure(task, name, depth, rule, rate, seeds, steps=600):
    """Train networks of 32 units a layer, one a seed, with Adam; return a row for each."""
    training, validation, test = stack(task, tuple(seeds))
    sizes = [training[0].shape[2], *[32] * depth, training[1].shape[2]]
    parameters = start(sizes, RULES[rule], seeds)
    rates = np.broadcast_to(np.float32(rate), len(seeds)).reshape(-1, 1, 1)
    train(parameters, ACTIVATIONS[name], numpy_net.Adam(rates), *training, steps)
    table = pd.DataFrame({"task": task, "activation": name, "depth": depth, "seed": seeds})
    return table.assign(
        rule=rule,
        rate=rate,
        validation=accuracy(parameters, ACTIVATIONS[name], *validation),
        test=accuracy(parameters, ACTIVATIONS[name], *test),
    )


stored = pd.read_csv("../data/results/activations.csv")
key = ["task", "activation", "depth"]
settings = stored.groupby(key)[["rule", "rate"]].first()
again = [("digits", "sigmoid", 2), ("digits", "sigmoid", 16), ("digits", "relu", 16), ("spirals", "gelu", 2)]
live = pd.concat([measure(*one, *settings.loc[one], seeds=(0, 1, 2)) for one in again])
both = live.merge(stored, on=[*key, "seed"], suffixes=(" live", " stored"))
means = both.groupby(key)[["test live", "test stored"]].mean()
assert (means["test live"] - means["test stored"]).abs().max() < 0.1
means.round(3)

# %% [markdown]
# The two columns agree. Now the whole table.

# %% alt="Test accuracy by depth, one panel for each activation, digits above, spirals below"
figure, axes = plt.subplots(2, 6, figsize=(9, 3.8), layout="constrained", sharex=True, sharey=True)
for row, (task, guess) in enumerate((("digits", 0.1), ("spirals", 0.5))):
    for ax, name in zip(axes[row], ACTIVATIONS, strict=True):
        shown = stored[(stored["task"] == task) & (stored["activation"] == name)]
        activation_plots.plot_depths(shown, column="test", ax=ax)
        ax.axhline(guess, color="0.5", linestyle=":")
        ax.set(ylim=(0, 1.03), title="" if row else name, xlabel="hidden layers" if row else "")
    axes[row, 0].set_ylabel(f"{task}: test accuracy")

# %% [markdown]
# *In words:* grey dots are seeds, the blue line is their mean, dotted is guessing. On the digits all six are
# alike with two and with four hidden layers, sigmoid included. With eight the sigmoid falls, with sixteen it
# guesses. On the spirals it is behind from the start. The others stay near the top everywhere; tanh is uneven
# on the spirals.
#
# Which of these differences are more than luck? In each of the eight situations we take the activation with
# the best *validation* accuracy and subtract the others, seed by seed. That is 40 comparisons. If each had a
# 95 % interval, about two of them would miss zero by luck alone. So we ask more of each: an interval of
# $1 - 0.05 / 40$, or 99.9 % (Bonferroni's correction). A star marks what is left: intervals that lie wholly
# above one point.

# %%
SURE = 1 - 0.05 / 40


def ahead(table, one, other, confidence=SURE):
    """Interval, over seeds, of how many points of test accuracy `one` is ahead of `other`."""
    by = 100 * table.pivot(index="seed", columns="activation", values="test")
    return evaluation.mean_interval(by[one] - by[other], confidence=confidence)


lines, counted = {}, {}
for (task, depth), table in stored.groupby(["task", "depth"]):
    best = table.groupby("activation")["validation"].mean().idxmax()
    found = {name: ahead(table, best, name) for name in ACTIVATIONS if name != best}
    counted[task, depth] = [name for name, gap in found.items() if gap.low > 1]
    words = {best: "best"}
    for name, gap in found.items():
        words[name] = f"{gap.value:.1f} ± {gap.high - gap.value:.1f}" + " *" * (gap.low > 1)
    lines[task, depth] = {name: words[name] for name in ACTIVATIONS}
pd.DataFrame(lines).T.rename_axis(["task", "hidden layers"])


# %%
def lead(task):
    """ReLU minus sigmoid with two hidden layers on a task, in points, by seed."""
    by = tables[task, 2].pivot(index="seed", columns="activation", values="test")
    return 100 * (by["relu"] - by["sigmoid"])


tables = dict(list(stored.groupby(["task", "depth"])))
pairs = list(itertools.permutations(ACTIVATIONS, 2))
surer = 1 - 0.05 / (len(pairs) * len(tables))  # all pairs are searched, so each has to be surer still
wins = {pair: [t for t in tables if ahead(tables[t], *pair, surer).low > 1] for pair in pairs}
turned = [pair for pair in pairs if wins[pair] and wins[pair[::-1]]]
print("pairs of which each is ahead somewhere:", turned or "none")
for where in (("digits", 8), ("spirals", 16)):
    gap = ahead(tables[where], "tanh", "gelu")
    print(f"nearest to it: tanh minus GELU, {where[0]}, {where[1]} hidden layers: {gap} points")
alike = [where for where, names in counted.items() if not names]
print("no difference counts:", alike)


# %%
more = evaluation.mean_interval(lead("spirals") - lead("digits"))
for task in ("digits", "spirals"):
    print(f"ReLU minus sigmoid, two hidden layers, {task}: {evaluation.mean_interval(lead(task))} points")
if turned:
    verdict = "holds"
elif alike and any(counted.values()) and more.low > 1:
    verdict = "holds when the network is deep or the task hard; elsewhere no choice is measurably best"
else:
    verdict = "does not hold"
tlkit.record(
    "A1.5",
    value=more.value,
    low=more.low,
    high=more.high,
    unit="points",
    quantity="how far the sigmoid is behind ReLU with two layers and 600 steps, spirals minus digits",
    seeds=stored["seed"].nunique(),
    verdict=verdict,
    sentence="Task, depth and the number of steps decide whether the choice matters at all: with few layers "
    "on an easy task no activation is measurably best, while sigmoids stay behind in deep networks and, for "
    "many steps, on a winding border. Compare several seeds, each activation at its own best settings, and "
    "count only differences beyond the spread.",
)

# %% [markdown]
# *In words:* on the digits with two and with four hidden layers there is no star: nobody could say which of
# the six is best. Most stars are the sigmoid's; the table gives tanh one in the deepest networks on the
# spirals, ELU a small one in the shallowest. No pair changes places beyond doubt. So the source is right that
# one has to experiment, but the answer is often "no difference"; with one run for each activation we would
# have named a winner all the same.
#
# *Two limits of this experiment.* Every network got 600 steps, so one that is behind may be slow rather than
# unable: try `measure("spirals", "sigmoid", 2, "He", 0.03, (0, 1, 2), steps=3000)` in a cell of your own. And
# tanh's rate for the deepest networks on the spirals, `settings.loc[("spirals", "tanh", 16)]`, is the
# smallest of the five that were tried, so its star may say more about our list of rates than about tanh.
#
# ## 7. What we measured

# %%
evidence.measured()

# %% [markdown]
# ## Quiz
#
# **1. A friend stacks ten Dense layers without activation "to learn more complicated curves". What can this
# network compute that one Dense layer cannot?**
#
# A. Curves of degree ten, as ten matrices are multiplied
#
# B. Nothing
#
# C. A little more than one layer, as there are ten times as many weights
#
# D. It computes nothing at all, as it cannot be trained
#
# <details><summary>Answer</summary>
#
# **B.** The ten matrices multiply out to one (section 1: the same up to rounding).
#
# A mixes up the weights with the input: the *weights* are multiplied with each other, the input enters once,
# and the border in the figure stayed straight. C counts weights instead of what they can do: the accuracy of
# five layers was that of one. D: it trained well, to what a straight cut can reach.
# </details>
#
# **2. In float32, a sigmoid unit gets $z = 20$ for every image. Which slope does Keras use on the way back?**
#
# A. About $2 \cdot 10^{-9}$, the true one
#
# B. 0.25
#
# C. Exactly 0
#
# D. NaN, as the number is too small
#
# <details><summary>Answer</summary>
#
# **C.** $\sigma(20)$ is rounded to 1, and Keras computes $\sigma\,(1 - \sigma)$ (section 3).
#
# A takes float32 for exact arithmetic; float32 could hold that number, as it does at $-20$, but the formula
# loses it. B is the slope at $z = 0$, the largest there is. D: numbers far smaller than this are kept, and
# rounding to 1 is no error for the computer.
# </details>
#
# **3. Fifty layers of ReLU under Glorot's rule. Which of these is right?**
#
# A. Nothing vanishes, as first and last layer get equally large weight gradients
#
# B. Only another activation, such as ELU, can help
#
# C. The sigmoid would be safer, as its values cannot explode
#
# D. Drawing the starting weights of all layers by He's rule helps as much as ELU does
#
# <details><summary>Answer</summary>
#
# **D.** Under He's rule the signal through ReLUs kept its size over fifty layers (section 4).
#
# A looks at a ratio only: the lower row of the figure is level, but at about $10^{-8}$. B forgets that the
# weights are a factor, too; compare the three grids. C confuses values with slopes: the sigmoid's values are
# bounded, but its slopes are at most 0.25, and its row was the darkest in every grid.
# </details>
#
# **4. In a trained network two ReLUs of a hundred are dead. A colleague swaps in leaky ReLU and gets 0.2
# points more in one run. What follows?**
#
# A. Nothing yet
#
# B. Dead units cost 0.1 points each
#
# C. Leaky ReLU is better, as its units cannot die
#
# D. The ReLU network must have been near guessing, as a dead unit blocks all that comes before it
#
# <details><summary>Answer</summary>
#
# **A.** At ordinary settings leaky minus ReLU had an interval on both sides of zero (section 5), wider than
# 0.2 points.
#
# B reads a cause into a difference within the spread. C takes "cannot die" for "classifies better": the two
# are separate columns in our table, and with gradient descent at rate 1 the leaky network was the worse one.
# D: other units of the layer pass the signal on; at bias −1 and rate 0.3 some units were dead and the
# accuracy was as good as at bias 0.
# </details>
#
# **5. Which of these units can never be dead by our definition (a slope below 0.001 for every image)?**
#
# A. ELU, as its slope never reaches 0 on paper
#
# B. Leaky ReLU
#
# C. GELU, as it is smooth
#
# D. tanh, as it has no corner
#
# <details><summary>Answer</summary>
#
# **B.** Its slope is 0.2 or 1 everywhere.
#
# A: far on the left the ELU's slope $e^z$ is as good as 0; at rate 1 nearly all ELU units died. C and D:
# smoothness is about corners, not about flat ground; GELU units died at bias −4, and tanh is flat on both
# sides in the figure of section 2.
# </details>
#
# **6. You compare six activations on your task, five seeds each, and look at all 15 pairs. One pair has a 95
# % interval that misses zero. What is the best reading?**
#
# A. That activation is the better one for this task
#
# B. It is better, but only with 95 % certainty
#
# C. With 15 pairs, one such interval is close to what luck alone gives
#
# D. Five seeds can never show anything
#
# <details><summary>Answer</summary>
#
# **C.** One interval in twenty misses by luck, so 15 of them miss 0.75 times on average; ask for wider
# intervals, as we did in section 6.
#
# A and B treat the pair as if it had been chosen before looking. D goes too far: with five seeds the
# difference between ReLU and no activation in section 1 was beyond all doubt.
# </details>
#
# **Next:** [02 Gradient descent](02_gradient_descent.ipynb). Back to [00 Start here](00_start_here.ipynb).
