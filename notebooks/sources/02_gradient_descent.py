# %% [markdown]
# # 02 Gradient descent
#
# **After this lesson you can** (1) write gradient descent, momentum and Adam in a few lines each, with the
# whole data or with minibatches, (2) say from the curvature of a loss how long a step may be, (3) compare
# optimisers by what they cost, (4) choose a loss by what it aims at and by the push that it gives to a wrong
# prediction.
#
# **It answers** question 2 of Assessment 4 (gradient descent and the parameters of a network).
#
# **Time:** 75 minutes to work through; about half a minute of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* derive, implement, check, count, choose. *Prerequisites:* a derivative and what it tells
# about a curve; a vector; lesson 01. *To teach:* 75 minutes, or two lessons of 45 (sections 1 to 4, then 5 to
# 8). *Prepares:* homework 1 (activations, gradients and CNN parts). *Common trouble:* students read "in the
# direction of steepest descent" as "towards the minimum"; section 4 measures the angle between the two.
# </details>

# %%
import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.sparse.linalg
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tlkit
from tlkit import descent_plots, evaluation, evidence, numpy_net
from tlkit.figure_style import OKABE_ITO, tidy

plt.rcParams.update({"axes.titlesize": 9, "figure.dpi": 90})

# %% [markdown]
# ## 1. A slope and a step
#
# A network has **weights**: numbers that training may change (the assessment says *parameters*). The **loss**
# $L(w)$ is one number that says how wrong the predictions are with the weights $w$. The **gradient**
# $\nabla L(w)$ has one entry for each weight: how fast $L$ would rise if this weight rose. To make the loss
# smaller, change the weights *against* the gradient:
#
# $$w \leftarrow w - \eta\,\nabla L(w)$$
#
# The number $\eta$ (eta) is the **learning rate**, `rate` in the code. That is all of gradient descent; the
# function `descend` below does it.
#
# The simplest loss has one weight: $L(w) = \tfrac12 w^2$, a parabola. Its gradient is the slope, $w$, and its
# minimum is at 0. We take six steps from $w = -2$, with four learning rates.
#
# > **Predict.** Which of the rates 0.2, 1, 1.8 and 2.1 ends nearest to the minimum, and which farthest?


# %% alt="One parabola, four rates: creeping down, one jump into the minimum, zigzag inwards, zigzag outwards"
def descend(gradient, w, rate, steps):
    """Go against the gradient; return the weights after every step, the first ones first."""
    path = [w]
    for _ in range(steps):
        w = w - rate * gradient(w)
        path.append(w)
    return np.array(path)


figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.5), sharey=True, layout="constrained")
line = np.linspace(-3.8, 3.8, 100)
for ax, rate in zip(axes, (0.2, 1.0, 1.8, 2.1), strict=True):
    path = descend(lambda w: w, -2.0, rate, steps=6)
    ax.plot(line, line**2 / 2, color="0.7")
    ax.plot(path, path**2 / 2, "o-", markersize=4, linewidth=1, color=OKABE_ITO[1])
    ax.plot(path[0], path[0] ** 2 / 2, "o", markersize=10, markerfacecolor="none", color=OKABE_ITO[1])
    ax.set(title=f"rate {rate}, last w = {path[-1]:.2f}", xlabel="weight w", ylabel="loss L(w)")
    tidy(ax)
    ax.label_outer()

# %% [markdown]
# *In words:* the ring is the start, each dot a step. With 0.2 the weight creeps down one side. With 1.0 it
# jumps into the minimum at once. With 1.8 each step overshoots to the other side, but lands a little lower.
# With 2.1 it lands *higher* each time, although every step goes against the gradient.
#
# One line explains it. A step gives $w - \eta w = (1 - \eta)\,w$, so each step multiplies the weight by
# $1 - \eta$. It shrinks as long as this factor lies between −1 and 1, which means $0 < \eta < 2$.
#
# ## 2. How long may a step be? (claim A2.1)
#
# The assessment says that the weights are "updated in the opposite direction of the gradients to minimize the
# loss function". So, do steps against the gradient reduce the loss?
#
# With many weights, the simplest loss is a bowl, $L(w) = \tfrac12 w^\top H w$, with the gradient $H w$. The
# matrix $H$ (the *Hessian*) holds the second derivatives. Such a bowl is steep in some directions and flat in
# others. How strongly it curves along each of its main directions is told by the **eigenvalues** of $H$,
# written $\lambda$ (lambda). Along each of them the story of the parabola repeats: a step multiplies the
# distance by $1 - \eta\lambda$. So theory says that descent converges when $\eta < 2 / \lambda_{\max}$, the
# **largest** curvature alone deciding.
#
# We find the largest working rate without using this: try a rate, see whether the loss still falls in the
# end, and halve the interval (*bisection*). Ten random bowls with ten weights each, each from its own random
# start.
#
# > **Predict.** Will the rate found depend on the start? On the smallest curvature?


# %%
def random_bowl(seed, weights=10):
    """A random matrix H with positive curvatures, and a random start."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(weights, 2 * weights))
    return mixing @ mixing.T / (2 * weights), rng.normal(size=weights)


def bowl_losses(H, start, rate, steps=300):
    """The loss before the first step and after every step."""
    path = descend(lambda w: H @ w, start, rate, steps)
    return np.einsum("si,ij,sj->s", path, H, path) / 2


def largest_working_rate(H, start):
    """Bisect between a rate that works and one that does not."""
    low, high = 0.0, 8.0
    for _ in range(30):
        middle = (low + high) / 2
        losses = bowl_losses(H, start, middle)
        low, high = (middle, high) if losses[-1] < losses[-2] else (low, middle)
    return low


# %%
bowls = pd.DataFrame(index=pd.RangeIndex(10, name="seed"))
with np.errstate(over="ignore", invalid="ignore"):  # a rate far too high overflows
    bowls["found"] = [largest_working_rate(*random_bowl(seed)) for seed in bowls.index]
curvatures = [np.linalg.eigvalsh(random_bowl(seed)[0]) for seed in bowls.index]
bowls["smallest curvature"] = [values[0] for values in curvatures]
bowls["largest curvature"] = [values[-1] for values in curvatures]
bowls["2 / largest"] = 2 / bowls["largest curvature"]
bowls["found / theory"] = bowls["found"] / bowls["2 / largest"]
bowls.round(4)

# %% [markdown]
# The last column says it: the rate found is the rate of theory, whatever the start and the smallest
# curvature. Now we look on both sides of the threshold: at half of it, 1 % below and 1 % above.

# %% alt="Loss of ten bowls by step at 0.5, 0.99 and 1.01 times the threshold: falling, falling slowly, rising"
figure, axes = plt.subplots(1, 3, figsize=(8.6, 2.6), sharey=True, layout="constrained")
fell = {}
for ax, factor in zip(axes, (0.5, 0.99, 1.01), strict=True):
    runs = np.array(
        [bowl_losses(*random_bowl(seed), factor * bowls.loc[seed, "2 / largest"]) for seed in bowls.index]
    )
    ax.semilogy((runs / runs[:, :1]).T, color=OKABE_ITO[0], linewidth=0.9, alpha=0.7)
    ax.set(title=f"rate = {factor} × threshold", xlabel="step", ylabel="loss / first loss", ylim=(1e-8, 1e6))
    tidy(ax)
    ax.label_outer()
    every, late = (np.diff(runs) < 0).all(axis=1), (np.diff(runs)[:, -100:] < 0).any(axis=1)
    fell[factor] = every.mean(), late.mean(), (runs[:, -1] / runs[:, 0]).min()
rows = ["bowls: every step fell", "bowls: some of the last 100 fell", "least last loss / first loss"]
pd.DataFrame(fell, index=rows).rename_axis(columns="rate / threshold").map("{:.3g}".format)

# %% [markdown]
# *In words:* one line for each bowl. Below the threshold the loss fell at every single step, in all ten
# bowls. Above it, it may fall at first, while the flat directions settle, but in the end it rises and goes on
# rising. Yet each of those steps went exactly against the gradient.
#
# What has the gradient promised, then? For a bowl a step changes the loss by exactly
#
# $$L(w - \eta g) - L(w) = -\eta\,\lVert g\rVert^2 + \tfrac12\,\eta^2\, g^\top H g, \qquad g = \nabla L(w).$$
#
# The first term is the promise: downhill. The second is the bill of the curvature, and it grows with
# $\eta^2$. When the step is small enough, the first term always wins. That is all that the gradient knows: it
# describes the loss *at* the point, not a step away from it.
#
# ## 3. The recipe, in a network
#
# The assessment gives a recipe of six steps. Here they are as code, numbered as there. Our network is small:
# 64 pixels of a handwritten digit, 32 hidden units with $\tanh$, ten outputs. Its forward and backward passes
# are those of `tlkit.numpy_net`, plain NumPy; lesson 03 builds the backward pass.

# %%
pixels, classes = load_digits(return_X_y=True)
split = {"train_size": 500, "random_state": 0}
x, rest, labels, rest_labels = train_test_split(pixels / 16, classes, stratify=classes, **split)
x_validation, x_test, labels_validation, labels_test = train_test_split(
    rest, rest_labels, stratify=rest_labels, **split
)
print(f"{len(x)} images to train on, {len(x_validation)} to choose by, {len(x_test)} to test")


def new_network(seed):
    """1. Initialisation: random weights; the biases start at zero."""
    rng = np.random.default_rng(seed)
    hidden = numpy_net.Layer(numpy_net.dense, numpy_net.glorot_uniform((64, 32), rng), np.zeros(32))
    output = numpy_net.Layer(numpy_net.dense, numpy_net.glorot_uniform((32, 10), rng), np.zeros(10))
    return numpy_net.Network([hidden, numpy_net.Layer(numpy_net.tanh), output])


# %% [markdown]
# A small correction on the way: the assessment starts weights *and biases* at random. Usually only the
# weights start at random, so that no two hidden units are the same. The biases can start at zero, as here and
# in Keras.


# %%
def train(network, rate, steps):
    """Steps 2 to 6 of the recipe; returns the loss before every step."""
    losses = []
    for _ in range(steps):  # 6. iteration
        logits = network.forward(x)  # 2. forward pass
        loss, gradient = numpy_net.softmax_cross_entropy(logits, labels)  # 3. loss
        network.backward(gradient)  # 4. backpropagation
        for weights, slope in zip(network.parameters, network.gradients, strict=True):
            weights -= rate * slope  # 5. update
        losses.append(loss)
    return np.array(losses)


losses = train(new_network(0), rate=0.5, steps=100)
print(f"loss before the first step {losses[0]:.2f}, before the hundredth {losses[-1]:.2f}")

# %% [markdown]
# The *logits* are the ten numbers that come out, one a class; *cross-entropy* is the loss for classification,
# on which section 7 has more. (Its unit is the *nat*, because it is a natural logarithm.) It works. How about
# the threshold?
#
# The loss of a network is no bowl: its curvature changes from place to place. But at the start we can measure
# it. The largest eigenvalue of $H$ needs only products $H v$, and these we get from two gradients a hair
# apart: $H v \approx (\nabla L(w + hv) - \nabla L(w - hv)) / 2h$.


# %%
def gradient_at(network, w):
    """Gradient of the loss over all training images at the weights w, as one long vector."""
    start = 0
    for weights in network.parameters:
        weights[...] = w[start : start + weights.size].reshape(weights.shape)
        start += weights.size
    network.backward(numpy_net.softmax_cross_entropy(network.forward(x), labels)[1])
    return np.concatenate([slope.ravel() for slope in network.gradients])


def largest_curvature(network, h=1e-4):
    """Largest eigenvalue of the Hessian where the network is now."""
    w = np.concatenate([weights.ravel() for weights in network.parameters])

    def product(v):
        return (gradient_at(network, w + h * v.ravel()) - gradient_at(network, w - h * v.ravel())) / (2 * h)

    hessian = scipy.sparse.linalg.LinearOperator((w.size, w.size), matvec=product, dtype=w.dtype)
    search = {"k": 1, "which": "LA", "tol": 1e-3, "v0": np.ones(w.size), "return_eigenvectors": False}
    return scipy.sparse.linalg.eigsh(hessian, **search)[0]


thresholds = [2 / largest_curvature(new_network(seed)) for seed in range(5)]
print("2 / largest curvature at the start, five seeds:", np.round(thresholds, 2))

# %% [markdown]
# > **Predict.** We train five networks for 100 steps with half of their threshold, twice and eight times as
# > much. For the bowl the answer was clear on both sides. For which of the three is it clear here?

# %% alt="Training loss of five networks at half, twice and eight times the threshold: smooth, bumpy, wild"
figure, axes = plt.subplots(1, 3, figsize=(8.6, 2.6), sharey=True, layout="constrained")
network_fell = {}
for ax, factor in zip(axes, (0.5, 2, 8), strict=True):
    runs = np.array([train(new_network(s), factor * thresholds[s], 100) for s in range(5)])
    ax.semilogy(runs.T, color=OKABE_ITO[0], linewidth=0.9, alpha=0.8)
    ax.set(title=f"rate = {factor} × threshold at the start", xlabel="step", ylabel="training loss (nats)")
    tidy(ax)
    ax.label_outer()
    network_fell[factor] = (np.diff(runs) < 0).mean(axis=1)
    print(f"{factor:3} × threshold: share of steps that fell, by seed", network_fell[factor].round(2))

# %% [markdown]
# *In words:* with half the threshold the loss of all five networks falls at every step. With eight times as
# much it jumps up and down and stays far above where it began. In between, at twice the threshold, the
# networks learn all the same, with a few steps up: they soon leave the place where we measured the curvature.
# So for a network the threshold is a guide, not a wall. The assessment's sentence holds when the step is
# small enough.

# %%
ratio = evaluation.mean_interval(bowls["found / theory"])
agrees = max(abs(ratio.low - 1), abs(ratio.high - 1)) < 0.01
below = fell[0.99][0] == 1 and network_fell[0.5].min() == 1
rises = fell[1.01][2] > 1 and network_fell[8].max() < 1
if below and rises and agrees:
    verdict = "holds when the step is small enough: for a bowl, a rate below 2 / the largest curvature"
else:
    verdict = "holds when the step is small enough" if rises else "holds"
    verdict = verdict if below else "does not hold"
tlkit.record(
    "A2.1",
    value=ratio.value,
    low=ratio.low,
    high=ratio.high,
    quantity="largest working rate found by bisection, divided by 2 / largest curvature",
    seeds=len(bowls),
    verdict=verdict,
    sentence="A step against the gradient reduces the loss if it is short enough for the curvature there; a "
    "step that is too long can raise the loss, although it goes against the gradient.",
)

# %% [markdown]
# ## 4. Steepest is not straight
#
# The assessment says that the weights move "in the direction of the steepest descent". That is right, at the
# very point where we stand. It is easily misread as "towards the minimum".
#
# We make a bowl of two weights from data: 256 examples with two inputs each, and the mean squared error of
# the predictions $x^\top w$. If one input varies much more than the other, the bowl becomes a long, narrow
# valley. How long is told by its **condition number** $\kappa$ (kappa): the largest curvature divided by the
# smallest. A round bowl has $\kappa = 1$.
#
# > **Predict.** In a valley with $\kappa = 100$ we go once around, along a line of equal loss. How many
# > degrees lie on average between the direction of steepest descent and the direction to the minimum: 5, 20,
# > or more than 45?


# %%
def make_examples(condition, turn=0.0, count=256):
    """Inputs whose squared error is a bowl with curvatures 1 / condition and 1, and unexplained noise."""
    rng = np.random.default_rng(0)
    even, noise = np.linalg.qr(rng.normal(size=(count, 2)))[0] * np.sqrt(count), 0.7 * rng.normal(size=count)
    inputs = even * np.sqrt([1 / condition, 1])
    inputs = inputs @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    return inputs, noise - inputs @ np.linalg.lstsq(inputs, noise, rcond=None)[0]


def bowl_gradient(w, inputs, noise):
    """Gradient of half the mean squared error; w counts from the best weights, which are (0, 0)."""
    return inputs.T @ (inputs @ w - noise) / len(inputs)


around = np.linspace(0, 2 * np.pi, 400, endpoint=False)
for condition in (1, 10, 100, 1000):
    points = np.stack([np.sqrt(condition) * np.cos(around), np.sin(around)], axis=1)  # all of the same loss
    downhill = -np.array([bowl_gradient(w, *make_examples(condition)) for w in points])
    lengths = np.linalg.norm(downhill, axis=1) * np.linalg.norm(points, axis=1)
    angles = np.degrees(np.arccos(np.clip((downhill * -points).sum(axis=1) / lengths, -1, 1)))
    print(f"condition number {condition:4}: {angles.mean():.0f} degrees on average")

# %% [markdown]
# In a narrow valley "downhill" mostly means *across* the valley. Plain descent goes to and fro between its
# walls, and the rate cannot be raised, because the steep direction sets the threshold. Three ideas follow.
# The first makes a step cheaper, the other two get along the valley:
#
# - **Stochastic** gradient descent: compute the gradient from a few examples (a **minibatch**), not from all.
#   Each step is noisy, but far cheaper.
# - **Momentum** (Polyak, 1964): keep a velocity $v \leftarrow \beta v - \eta g$ and move by it,
#   $w \leftarrow w + v$. What goes to and fro cancels out, what goes along the valley adds up.
# - **Adam** (Kingma and Ba, 2015): keep running means of the gradient ($m$) and of its square ($s$), and
#   divide one by the root of the other, so that every weight moves at about the same pace, be its gradient
#   large or small.
#
# Each in about five lines. `memory` is a dictionary in which an optimiser keeps what it must remember.


# %%
def plain(w, g, memory, rate):
    """Gradient descent."""
    return w - rate * g


def momentum(w, g, memory, rate, beta=0.9):
    """Gradient descent with a velocity."""
    memory["v"] = beta * memory.get("v", 0) - rate * g
    return w + memory["v"]


def adam(w, g, memory, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Steps scaled by running means of the gradient and of its square."""
    t = memory["t"] = memory.get("t", 0) + 1
    memory["m"] = beta_1 * memory.get("m", 0) + (1 - beta_1) * g
    memory["s"] = beta_2 * memory.get("s", 0) + (1 - beta_2) * g**2
    correction = np.sqrt(1 - beta_2**t) / (1 - beta_1**t)  # both means began at zero
    return w - rate * correction * memory["m"] / (np.sqrt(memory["s"]) + epsilon)


# %% [markdown]
# Are they right? We take 50 steps with random gradients, each optimiser beside the one of `tlkit.numpy_net`
# and the one of Keras, and keep the largest difference between the weights after any step.


# %%
def largest_difference(step, options, reference, keras_optimizer):
    """Walk three optimisers side by side; the first two in float64, the one of Keras in float32."""
    rng, memory = np.random.default_rng(0), {}
    w, others, variable = np.ones(3), [np.ones(3)], keras.Variable(np.ones(3), dtype="float32")
    differences = []
    for gradient in rng.normal(size=(50, 3)):
        w = step(w, gradient, memory, **options)
        reference.step(others, [gradient])
        keras_optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
        differences.append(
            [np.abs(w - others[0]).max(), np.abs(w - keras.ops.convert_to_numpy(variable)).max()]
        )
    return np.max(differences, axis=0)


rows = {
    "plain": (plain, {"rate": 0.1}, numpy_net.SGD(0.1), keras.optimizers.SGD(0.1)),
    "momentum": (momentum, {"rate": 0.1}, numpy_net.SGD(0.1, 0.9), keras.optimizers.SGD(0.1, 0.9)),
    "adam": (adam, {"rate": 0.1}, numpy_net.Adam(0.1), keras.optimizers.Adam(0.1)),
}
checked = pd.DataFrame([largest_difference(*row) for row in rows.values()], rows, ["numpy_net", "Keras"])
assert checked["numpy_net"].max() < 1e-12 and checked["Keras"].max() < 1e-4  # noqa: PT018
checked.map("{:.0e}".format)

# %% [markdown]
# They agree: with `numpy_net` to the last digits of float64, with Keras to those of float32. Now their paths
# in two valleys with $\kappa = 30$, of the same shape; one lies along the axes, the other is turned by 45
# degrees. All take 60 steps; the stochastic one takes 400, since each of these looks at 8 of the 256
# examples.
#
# > **Predict.** Which one will notice that the valley was turned? Which one never comes to rest?


# %%
def follow(gradient, w, step, steps, **options):
    """The path of an optimiser: `descend`, with any step."""
    memory, path = {}, [w]
    for _ in range(steps):
        w = step(w, gradient(w), memory, **options)
        path.append(w)
    return np.array(path)


def valley(turn, condition=30):
    """Loss and gradient of a valley; the gradient is of `batch` examples drawn at random, or of all."""
    inputs, noise = make_examples(condition, turn)
    rng = np.random.default_rng(2)

    def loss(w):
        return ((w @ inputs.T - noise) ** 2).mean(axis=-1) / 2

    def gradient(w, batch=None):
        chosen = slice(None) if batch is None else rng.integers(len(inputs), size=batch)
        return bowl_gradient(w, inputs[chosen], noise[chosen])

    return loss, gradient


VARIANTS = {
    "plain, rate 1.8": (None, 60, plain, {"rate": 1.8}),
    "stochastic 0.5, 400 steps": (8, 400, plain, {"rate": 0.5}),
    "momentum 0.9, rate 0.3": (None, 60, momentum, {"rate": 0.3}),
    "Adam, rate 0.3": (None, 60, adam, {"rate": 0.3}),
}

# %% alt="Eight panels: paths of four optimisers in a valley that lies along the axes and in one that is turned"
figure, axes = plt.subplots(2, 4, figsize=(8.6, 4.6), sharex=True, sharey=True, layout="constrained")
valley_paths = {}
for row, turn in zip(axes, (0, np.pi / 4), strict=True):
    loss, gradient = valley(turn)
    frame = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])  # along, across
    for ax, (name, (batch, steps, step, options)) in zip(row, VARIANTS.items(), strict=True):
        path = follow(lambda w: gradient(w, batch), [-3, 0.8] @ frame, step, steps, **options)  # noqa: B023
        limits = ((-3.6, 1.6), (-2.8, 2.4))
        descent_plots.plot_descent(loss, [path], limits=limits, minima=[(0, 0)], title=name, ax=ax)
        ax.label_outer()
        valley_paths[name, turn] = path @ frame.T
for name in VARIANTS:
    apart = np.abs(valley_paths[name, 0] - valley_paths[name, np.pi / 4]).max()
    print(f"{name}: turned back, the two paths are at most {apart:.2g} apart")

# %% [markdown]
# *In words:* the darker, the lower; the ring is the start, each dot a step, the square the end, the star the
# minimum. *Plain* descent jumps from wall to wall and then creeps along the floor. *Stochastic* descent takes
# a noisy way and, once near the minimum, dances around it: there, only the noise is left. *Momentum* swings
# through the valley, past the minimum and back. *Adam* takes one smooth curve where the valley lies along the
# axes (upper row), and an angular way in the turned one.
#
# Compare the rows. All but Adam take the same path in both, only turned; the numbers say that it is the same
# to the last digits. (The stochastic one was given the same examples in both rows.) Adam sets the pace for
# each weight by itself, as if each had a ruler of its own, and to it a valley that lies across two weights is
# another problem. So even *steepest* depends on the ruler: the gradient takes all weights to be measured by
# the same one.
#
# Now you. Below, 40 steps with momentum in the same valley; momentum 0 is plain descent. (On a page without
# Python, you see the path for the first setting.) Find the largest rate that works for momentum 0, then for
# 0.9.


# %%
def play(rate=1.8, beta=0.0, turned=False):
    """Draw the path of 40 steps for a learning rate and a momentum."""
    loss, gradient = valley(np.pi / 4 if turned else 0.0)
    path = follow(gradient, np.array([-3.0, 0.8]), momentum, 40, rate=rate, beta=beta)
    limits = ((-3.6, 3.6), (-2.8, 2.8))
    title = f"loss above the minimum: {loss(path[-1]) - loss(np.zeros(2)):.2g}"
    descent_plots.plot_descent(loss, [path], limits=limits, minima=[(0, 0)], title=title)
    plt.show()


ipywidgets.interact(play, rate=(0.1, 4.0, 0.1), beta=(0.0, 0.95, 0.05), turned=False);

# %% [markdown]
# ## 5. How many steps? (claim A2.2)
#
# The assessment describes training as steps "repeated iteratively for a specified number of epochs or until
# convergence criteria are met". (An **epoch** is one pass over all training images.) How many it takes
# depends on the optimiser. To compare fairly, each optimiser gets the same grid of learning rates, its best
# rate is chosen on three seeds that are not reported, and we count gradient evaluations.
#
# First on bowls of ten weights that lie at random angles. The start is such that no direction dominates the
# loss. We count until the loss is a ten-thousandth of its start. `steps_needed` runs all rates side by side,
# one row each.

# %%
RATES = 10 ** np.arange(-2, 1.01, 0.125)
TUNING, REPORTED = (100, 101, 102), range(6)


def turned_bowl(condition, seed, weights=10):
    """Curvatures from 1 / condition to 1, turned at random, and a start with similar loss in each direction."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(weights, weights)))[0]
    curvature = np.geomspace(1 / condition, 1, weights)
    return (turn * curvature) @ turn.T, turn @ (rng.normal(size=weights) / np.sqrt(curvature))


def steps_needed(step, rates, condition, seed, target=1e-4, **options):
    """Gradient evaluations until the loss is `target` of its start, for each rate; infinite if too many."""
    H, start = turned_bowl(condition, seed)
    w, memory, needed = np.tile(start, (len(rates), 1)), {}, np.full(len(rates), np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for count in range(8 * condition + 300):
            g = w @ H
            reached = (w * g).sum(axis=1) <= target * (start @ H @ start)
            needed[reached & np.isinf(needed)] = count
            if np.isfinite(needed).all():
                break
            w = step(w, g, memory, np.reshape(rates, (-1, 1)), **options)
    return needed


# %% [markdown]
# Momentum has a second number to set, $\beta$. The usual value is 0.9. For a bowl, theory knows the best pair
# (Polyak, 1964): $\beta = \left(\frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}\right)^2$ and, with largest curvature
# 1, $\eta = \left(\frac{2}{1 + 1/\sqrt\kappa}\right)^2$. It promises steps that grow like $\sqrt\kappa$,
# where plain descent needs steps that grow like $\kappa$. We try both ways to set it. (Theory has to be told
# $\kappa$, which nobody knows for a network.)
#
# > **Predict.** Does momentum 0.9 need fewer steps than plain descent on every bowl?


# %%
def times(first, second):
    """How many times as many `first` is as `second`, seed by seed: geometric mean and interval."""
    log = evaluation.mean_interval(np.log(np.asarray(first) / np.asarray(second)))
    return evaluation.Interval(*np.exp([log.value, log.low, log.high]))


counts = []
for condition in (2, 10, 100, 1000):
    for name, step in {"plain": plain, "momentum 0.9": momentum, "Adam": adam}.items():
        tuning = np.mean([steps_needed(step, RATES, condition, seed) for seed in TUNING], axis=0)
        rate = RATES[tuning.argmin()]
        counts += [(name, condition, s, steps_needed(step, [rate], condition, s)[0]) for s in REPORTED]
    root = np.sqrt(condition)
    rate, beta = (2 / (1 + 1 / root)) ** 2, ((root - 1) / (root + 1)) ** 2
    for s in REPORTED:
        steps = steps_needed(momentum, [rate], condition, s, beta=beta)[0]
        counts.append(("momentum by theory", condition, s, steps))
counts = pd.DataFrame(counts, columns=["optimiser", "condition number", "seed", "steps"])

# %% alt="Steps against condition number for plain descent, momentum 0.9, momentum by theory and Adam"
names = ["plain", "momentum 0.9", "momentum by theory", "Adam"]
figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.5), sharey=True, layout="constrained")
for ax, name in zip(axes, names, strict=True):
    own = counts[counts["optimiser"] == name]
    ax.loglog(own["condition number"], own["steps"], "o", color="0.7", markersize=4)
    ax.loglog(own.groupby("condition number")["steps"].mean(), "o-", color=OKABE_ITO[0])
    ax.set(title=name, xlabel="condition number", ylabel="gradient evaluations")
    tidy(ax)
    ax.label_outer()
steps = counts.pivot_table(index=["condition number", "optimiser"], columns="seed", values="steps")
print(steps.mean(axis=1).unstack()[names].round(0).astype(int), "\n")
on_bowl = {}
for condition in (10, 1000):
    for name in names[1:]:
        on_bowl[condition, name] = times(steps.loc[condition, "plain"], steps.loc[condition, name])
        print(f"condition number {condition:4}: steps of plain / steps of {name}: {on_bowl[condition, name]}")
for name in ("plain", "momentum by theory"):
    slope = np.log10(steps.loc[1000, name] / steps.loc[10, name]) / 2
    print(f"steps of {name} grow like the condition number to the power {evaluation.mean_interval(slope)}")

# %% [markdown]
# *In words:* grey dots are single seeds, blue their mean. Plain descent takes a handful of steps in a nearly
# round bowl and then grows about in proportion to $\kappa$, as theory says. Momentum 0.9 is level, and so is
# Adam up to $\kappa = 100$: they take some seventy or eighty steps even where plain descent takes a handful.
# So at $\kappa = 10$ **plain descent wins**, and at $\kappa = 1000$ it loses by far. Momentum set by theory
# grows with about the root of $\kappa$, and is never behind plain descent here. None of them is best
# everywhere.

# %% [markdown]
# Now our network, until its training loss is 0.1. We add minibatches: 25 of the 500 images at a time, in an
# order drawn anew for every epoch. A minibatch step costs a twentieth of a full step, so we count **images
# seen**. From here on we use the optimisers of `tlkit.numpy_net`, which change many arrays in place. As we
# saw, they do the same. Two seeds choose the rate here, and we look at the loss after every epoch.
#
# > **Predict.** Full batch or minibatches of 25: which needs fewer steps, and which fewer images? Is the
# > answer the same for Adam?


# %%
def epochs_needed(optimizer, seed, batch, limit, target=0.1):
    """Passes over the training images until the training loss is at most `target`; infinite if too many."""
    network, rng = new_network(seed), np.random.default_rng([1, seed])
    for epochs in range(limit):
        loss, _ = numpy_net.softmax_cross_entropy(network.forward(x), labels)  # when to stop: not counted
        if loss <= target:
            return epochs
        if not loss < 1000:
            break
        for chosen in np.array_split(rng.permutation(len(x)), len(x) // batch):
            loss, gradient = numpy_net.softmax_cross_entropy(network.forward(x[chosen]), labels[chosen])
            network.backward(gradient)
            optimizer.step(network.parameters, network.gradients)
    return np.inf


KINDS = {
    "plain": numpy_net.SGD,
    "momentum 0.9": lambda rate: numpy_net.SGD(rate, momentum=0.9),
    "Adam": numpy_net.Adam,
}

# %%
epochs, table = {}, []
for batch, limit in ((500, 150), (25, 40)):
    for name, make in KINDS.items():
        tuning = {
            rate: np.mean([epochs_needed(make(rate), seed, batch, limit) for seed in TUNING[:2]])
            for rate in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
        }
        rate = min(tuning, key=tuning.get)
        epochs[name, batch] = np.array([epochs_needed(make(rate), seed, batch, limit) for seed in REPORTED])
        mean = epochs[name, batch].mean()
        table.append((name, batch, rate, round(mean * 500 / batch), round(mean * 500)))
columns = ["optimiser", "images a step", "best rate", "steps, mean", "images seen, mean"]
print(pd.DataFrame(table, columns=columns).to_string(index=False), "\n")
on_network = {
    "plain / momentum 0.9, full batch": times(epochs["plain", 500], epochs["momentum 0.9", 500]),
    "plain / Adam, full batch": times(epochs["plain", 500], epochs["Adam", 500]),
    "full batch / minibatch, plain": times(epochs["plain", 500], epochs["plain", 25]),
    "full batch / minibatch, momentum 0.9": times(epochs["momentum 0.9", 500], epochs["momentum 0.9", 25]),
    "full batch / minibatch, Adam": times(epochs["Adam", 500], epochs["Adam", 25]),
}
for name, found in on_network.items():
    print(f"images seen, {name}: {found}")

# %% [markdown]
# *In words:* with the full batch, momentum and Adam need a fraction of the steps of plain descent.
# Minibatches take *more steps*, but see far fewer images, and images are what costs. The gain is largest for
# plain descent.
#
# ### The loss need not fall at every step
#
# A minibatch is a sample. Its gradient is right on average, but a single step goes down the loss *of this
# minibatch*, which is not the loss of all images.
#
# > **Predict.** A network is half trained. Of 100 further steps with one image each, at how many does the
# > loss over all images fall?


# %%
def share_that_fell(batch, seed, rate=0.1, steps=100):
    """Shares of steps that lowered the loss of all images, and that of the minibatch itself."""
    network, rng, optimizer = new_network(seed), np.random.default_rng([3, seed]), numpy_net.SGD(rate)
    fell = []
    for step in range(50 + steps):  # the first 50, with all images, train it half
        chosen = rng.permutation(len(x))[: batch if step >= 50 else len(x)]
        before = [numpy_net.softmax_cross_entropy(network.forward(x[c]), labels[c])[0] for c in (..., chosen)]
        network.backward(numpy_net.softmax_cross_entropy(network.forward(x[chosen]), labels[chosen])[1])
        optimizer.step(network.parameters, network.gradients)
        after = [numpy_net.softmax_cross_entropy(network.forward(x[c]), labels[c])[0] for c in (..., chosen)]
        fell.append(np.less(after, before))
    return np.mean(fell[50:], axis=0)


for batch in (1, 5, 25, 500):
    every, own = np.transpose([share_that_fell(batch, seed) for seed in range(4)])
    print(
        f"{batch:3} images a step: fell for all images at {evaluation.mean_interval(every)} of the steps,",
        end=" ",
    )
    print(f"for those of the step itself at {own.mean():.3f}")

# %% [markdown]
# ### "Until convergence"
#
# And it does not come to rest. In a valley with $\kappa = 10$ we let stochastic descent run long with fixed
# rates, and print how far above the minimum it hovers.

# %%
inputs, noise = make_examples(condition=10)
hovering = {}


def sampled(seed):
    """A gradient from eight examples, drawn anew each time."""
    rng = np.random.default_rng(seed)

    def gradient(w):
        chosen = rng.integers(len(inputs), size=8)
        return bowl_gradient(w, inputs[chosen], noise[chosen])

    return gradient


for rate in (0.4, 0.2, 0.1, 0.05):
    hovering[rate] = []
    for seed in range(5):
        path = follow(sampled(seed), np.zeros(2), plain, 2000, rate=rate)
        hovering[rate].append(1000 * ((path[1000:] @ inputs.T) ** 2).mean() / 2)
    print(f"rate {rate:4}: {evaluation.mean_interval(hovering[rate])} thousandths above the minimum")

# %% [markdown]
# Started *in* the minimum, it does not even stay there: it hovers above it, half as high at half the rate.
# That is why rates are lowered towards the end of a training. "Convergence" must mean something modest for
# stochastic descent: the mean loss has stopped falling, or the budget is spent.
#
# ## 6. Where the gradient is zero
#
# Even without noise, descent stops where the gradient is zero, and that need not be a minimum. A **saddle**
# goes up on two sides and down on the other two. Ours is
# $L(u, v) = \tfrac12 u^2 - \tfrac12 v^2 + \tfrac14 v^4$: a saddle at (0, 0), two minima at (0, ±1), and
# between them the ridge $v = 0$. Each optimiser starts once *exactly* on the ridge (blue) and once 0.01
# beside it (orange). The stochastic one has noise added to its gradient, as a minibatch would have.
#
# > **Predict.** Which of the blue paths reach a minimum? Momentum has a velocity, Adam enlarges small
# > gradients.


# %%
def saddle(w):
    """Loss with a saddle at (0, 0) and minima at (0, -1) and (0, 1)."""
    return w[..., 0] ** 2 / 2 - w[..., 1] ** 2 / 2 + w[..., 1] ** 4 / 4


def saddle_path(name, start, seed=0, steps=150, rate=0.1):
    """The path of an optimiser over the saddle."""
    rng = np.random.default_rng(seed)

    def gradient(w):
        exact = np.array([w[0], w[1] ** 3 - w[1]])
        return exact + rng.normal(size=2) * (0.2 if name == "stochastic" else 0)

    step = {"momentum 0.9": momentum, "Adam": adam}.get(name, plain)
    return follow(gradient, np.array(start), step, steps, rate=rate)


def steps_to_minimum(path):
    """Steps until the path is within 0.2 of a minimum; infinite if never."""
    near = np.minimum(*(np.linalg.norm(path - [0, side], axis=1) for side in (-1, 1))) < 0.2
    return near.argmax() if near.any() else np.inf


# %% alt="Paths over a saddle from the ridge and from beside it: from the ridge only the noisy one gets away"
figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.8), sharey=True, layout="constrained")
escape = {}
for ax, name in zip(axes, ("plain", "stochastic", "momentum 0.9", "Adam"), strict=True):
    paths = [saddle_path(name, (-1.6, offset), seed) for seed, offset in enumerate((0.0, 0.01))]
    limits, minima = ((-1.9, 1.3), (-1.6, 1.6)), [(0, -1), (0, 1)]
    descent_plots.plot_descent(saddle, paths, limits=limits, minima=minima, title=name, ax=ax)
    ax.label_outer()
    escape[name] = [steps_to_minimum(path) for path in paths]
noisy = [saddle_path("stochastic", (-1.6, 0.0), seed) for seed in range(20)]
freed = np.array([steps_to_minimum(path) for path in noisy])
sides = sum(path[-1, 1] > 0 for path in noisy)
print(pd.DataFrame(escape, index=["steps from the ridge", "steps from beside it"]))
print(f"stochastic, from the ridge, 20 seeds: {evaluation.mean_interval(freed)} steps, at most {freed.max()};")
print(f"{sides} of them ended on the upper side")

# %% [markdown]
# *In words:* in three of the panels the blue path stays on the ridge and ends in the saddle, for good. On the
# ridge the gradient across it is exactly zero; momentum has nothing to build up, and Adam nothing to enlarge.
# Noise frees it: every one of 20 seeds reached a minimum, some on one side, some on the other. Starting 0.01
# beside the ridge all reach a minimum; momentum and Adam in fewer steps than plain descent.
#
# Real networks do not start exactly on a ridge, since their weights are random. The lesson is about words:
# descent converges to a point where the *gradient* is small. That it is a minimum, or the lowest one, nobody
# has promised.

# %%
different = [*on_bowl.values(), *on_network.values()]
vary = all(found.low > 1 or found.high < 1 for found in different)
stuck = (
    all(np.isinf(escape[name][0]) for name in ("plain", "momentum 0.9", "Adam")) and np.isfinite(freed).all()
)
hovers = evaluation.mean_interval(hovering[0.4]).low > evaluation.mean_interval(hovering[0.1]).high
if vary and (stuck or hovers):
    verdict = "holds when “until it converges” means until the gradient is small or the budget is spent"
else:
    verdict = "holds" if vary else "does not hold"
found = on_network["plain / Adam, full batch"]
tlkit.record(
    "A2.2",
    value=found.value,
    low=found.low,
    high=found.high,
    unit="times",
    quantity="steps of plain descent over steps of Adam to the same training loss, full batch",
    seeds=len(REPORTED),
    verdict=verdict,
    sentence="Forward pass, loss, gradient and update are repeated until the gradient is small or the budget "
    "is spent. Momentum and Adam save steps where the loss is much steeper in some directions than in others, "
    "minibatches save images; at a fixed rate, minibatches hover above a minimum.",
)

# %% [markdown]
# ## 7. Which loss? (claim A2.3)
#
# The assessment: "mean squared error (MSE) for regression tasks and cross-entropy loss for classification
# tasks". True to custom. But *why*? Descent knows the loss only through its gradient, so let us look at that.
#
# Take a network that decides between two classes. It gives out a **logit** $z$, any number, and the
# probability of the true class is $p = \sigma(z) = 1 / (1 + e^{-z})$. Cross-entropy is $-\log p$, the squared
# error is $(1 - p)^2$. By the chain rule their gradients with respect to $z$ are
#
# $$\frac{\partial}{\partial z}\left(-\log p\right) = p - 1, \qquad
#   \frac{\partial}{\partial z}\,(1 - p)^2 = -2\,(1 - p)\;p\,(1 - p).$$
#
# > **Predict.** At $z = -10$ the network is sure of the wrong class. Which loss pushes harder to correct it,
# > and how many times as hard?

# %% alt="Left: both losses by logit. Right: sizes of their gradients; squared error vanishes on the wrong side"
z = np.linspace(-12, 6, 181)
p, slope = numpy_net.sigmoid(z)  # slope = p (1 - p)
push = {"cross-entropy": 1 - p, "squared error": 2 * (1 - p) * slope}
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
for name, value, colour in (("cross-entropy", -np.log(p), 0), ("squared error", (1 - p) ** 2, 1)):
    axes[0].plot(z, value, color=OKABE_ITO[colour])
    axes[0].annotate(name, (-9, 10 if colour == 0 else 1.5), color=OKABE_ITO[colour])
    axes[1].semilogy(z, push[name], color=OKABE_ITO[colour])
    axes[1].annotate(name, (-9, 2 if colour == 0 else 1e-5), color=OKABE_ITO[colour])
axes[0].set(ylabel="loss", title="loss")
axes[1].set(ylabel="size of the gradient", title="gradient", ylim=(1e-6, 20))
for ax in axes:
    ax.set_xlabel("logit of the true class (left: sure of the wrong class)")
    tidy(ax)
for logit in (-2, -5, -10):
    at = np.abs(z - logit).argmin()
    strong, weak = push["cross-entropy"][at], push["squared error"][at]
    print(
        f"z = {logit:3}: {strong:.3f} and {weak:.6f}: cross-entropy pushes {strong / weak:,.0f} times as hard"
    )

# %% [markdown]
# *In words:* left, towards a confident mistake cross-entropy rises like a straight line, and squared error
# flattens out: it cannot exceed 1. Right, the gradients on a logarithmic axis. On the far left, the more
# wrong the prediction, the *less* squared error pushes: the slope $p\,(1 - p)$ of the sigmoid vanishes
# (lesson 01). In cross-entropy the logarithm cancels exactly this slope.
#
# Does it matter in training? We make six networks confidently wrong, by training them on shifted labels
# ("each 3 is a 4") until they believe it. Then we show them the true labels.


# %%
def squared_error(logits, labels):
    """Mean squared error of softmax(logits), with its gradient with respect to the logits."""
    p = numpy_net.softmax(logits)
    loss, gradient = numpy_net.mean_squared_error(p, np.eye(10)[labels])
    return loss, p * (gradient - (p * gradient).sum(axis=1, keepdims=True))


def training_step(network, optimizer, loss, chosen, targets):
    """Forward pass, loss, backpropagation, update."""
    network.backward(loss(network.forward(x[chosen]), targets[chosen])[1])
    optimizer.step(network.parameters, network.gradients)


def confidently_wrong(seed):
    """A network that believes that every digit is its successor."""
    network, optimizer = new_network(seed), numpy_net.Adam(0.03)
    for _ in range(50):
        training_step(network, optimizer, numpy_net.softmax_cross_entropy, slice(None), (labels + 1) % 10)
    return network


logits = np.random.default_rng(0).normal(size=(5, 10))
gradient = squared_error(logits, labels[:5])[1]
print("gradient check:", numpy_net.gradient_check(lambda z: squared_error(z, labels[:5])[0], logits, gradient))
p = np.stack([numpy_net.softmax(confidently_wrong(s).forward(x)) for s in REPORTED])
print(f"{(p.argmax(axis=2) == labels).mean():.3f} of the images right;", end=" ")
print(f"probability given to the wrong class, mean: {p[:, np.arange(len(x)), (labels + 1) % 10].mean():.3f}")

# %% [markdown]
# Each loss gets its own best rate, chosen on two other seeds, once with plain descent and once with Adam.
# Because the gradients of squared error are smaller, its grid for plain descent reaches a hundred times
# further up. We count full-batch steps until 85 % of the training images are right, and stop at 600.
#
# > **Predict.** Given its own best rate, can squared error make up for its small gradients? Does Adam, which
# > enlarges small gradients, save it?


# %%
def recovery(loss, optimizer, seed, limit=600):
    """Share of training images that are right, before every step, until it is 0.85."""
    network, shares = confidently_wrong(seed), []
    for _ in range(limit):
        logits = network.forward(x)
        shares.append((logits.argmax(axis=1) == labels).mean())
        if shares[-1] >= 0.85:
            break
        network.backward(loss(logits, labels)[1])
        optimizer.step(network.parameters, network.gradients)
    return shares


LOSSES = {"cross-entropy": numpy_net.softmax_cross_entropy, "squared error": squared_error}
GRIDS = {
    ("plain", "cross-entropy"): (0.3, 1, 3),
    ("plain", "squared error"): (3, 10, 30, 100, 300),
    ("Adam", "cross-entropy"): (0.03, 0.1, 0.3),
    ("Adam", "squared error"): (0.03, 0.1, 0.3),
}

# %% alt="Training accuracy by step from a wrong start: cross-entropy soon recovers, squared error hardly"
figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.5), sharey=True, sharex=True, layout="constrained")
recovered = {}
for ax, (name, grid) in zip(axes, GRIDS.items(), strict=True):
    make, loss = KINDS[name[0]], LOSSES[name[1]]
    tuning = {rate: np.mean([len(recovery(loss, make(rate), seed)) for seed in TUNING[:2]]) for rate in grid}
    best = min(tuning, key=tuning.get)
    recovered[name] = [recovery(loss, make(best), seed) for seed in REPORTED]
    for run in recovered[name]:
        ax.semilogx(np.arange(1, len(run) + 1), run, color=OKABE_ITO[0], linewidth=1.1, alpha=0.8)
    ax.set(title=", ".join(name), xlabel="step, logarithmic", ylabel="training accuracy", ylim=(0, 1))
    tidy(ax)
    ax.label_outer()
    print(f"{', '.join(name)}: rate {best}; steps by seed {[len(run) for run in recovered[name]]}")
slower = {}
for kind in ("plain", "Adam"):
    steps = [[len(run) for run in recovered[kind, loss]] for loss in ("squared error", "cross-entropy")]
    slower[kind] = times(*steps)
    print(f"{kind}: steps of squared error / steps of cross-entropy {slower[kind]}, or more: stopped at 600")

# %% [markdown]
# *In words:* one line for each seed. With cross-entropy the networks are back after a few dozen steps at
# most. With squared error they crawl, jump and linger, and need many times as long, if they arrive at all.
# The flat stretches near whole tenths hint that whole classes are left behind. A likely reason: a rate large
# enough for the confident mistakes is too large for everything else. Adam enlarges small gradients weight by
# weight, not image by image, and that did not save it.
#
# So cross-entropy is better? Here is the fair question: an **ordinary** start, Adam with minibatches, twenty
# epochs. Each loss gets its own best rate, by validation accuracy on three seeds that are not reported. Then
# the test split, once.
#
# > **Predict.** By how many points does cross-entropy win?


# %%
def trained(loss, rate, seed, epochs=20):
    """A network trained from an ordinary start with Adam on minibatches of 25."""
    network, optimizer, rng = new_network(seed), numpy_net.Adam(rate), np.random.default_rng([2, seed])
    for _ in range(epochs):
        for chosen in np.array_split(rng.permutation(len(x)), 20):
            training_step(network, optimizer, loss, chosen, labels)
    return network


right = {}
for name, loss in LOSSES.items():
    valid = {}
    for rate in (0.003, 0.01, 0.03, 0.1):
        predicted = [trained(loss, rate, seed).forward(x_validation).argmax(axis=1) for seed in TUNING]
        valid[rate] = (np.array(predicted) == labels_validation).mean()
    best = max(valid, key=valid.get)
    predicted = [trained(loss, best, seed).forward(x_test).argmax(axis=1) for seed in REPORTED]
    right[name] = np.array(predicted) == labels_test
    print(f"{name}: best rate {best}, test accuracy {evaluation.accuracy_interval(right[name])}")
ordinary = evaluation.paired_difference(right["cross-entropy"], right["squared error"])
print(f"cross-entropy minus squared error: {ordinary}")

# %% [markdown]
# After ordinary training the difference is a point or so at most, and the interval tells whether it is there
# at all. So the reason for cross-entropy is not a great gain in accuracy. It is that it keeps pushing where
# the network is confidently wrong.
#
# ## 8. What a loss aims at
#
# A second way to choose a loss: ask which prediction makes it smallest. We let descent find one single number
# $c$ for a whole sample of waiting times, most short and a few very long; and for a sample of three classes,
# three probabilities.
#
# > **Predict.** Which single number makes the mean *squared* error smallest: the mean, the median, or the
# > most frequent value? And the mean *absolute* error?

# %%
rng = np.random.default_rng(0)
minutes, classes = rng.lognormal(1.5, 1.0, 1001), rng.choice(3, 1000, p=[0.6, 0.3, 0.1])
frequency = np.bincount(classes, minlength=3) / len(classes)


def through_softmax(gradient):
    """Turn a gradient for the probabilities into one for the logits."""

    def for_logits(z):
        p = numpy_net.softmax(z[None])[0]
        return p * (gradient(p) - p @ gradient(p))

    return for_logits


squared = descend(lambda c: 2 * np.mean(c - minutes), 0.0, 0.1, 500)[-1]
absolute = descend(lambda c: np.mean(np.sign(c - minutes)), 0.0, 0.02, 3000)[-1]
print(f"squared error: {squared:.2f} (mean {minutes.mean():.2f})")
print(f"absolute error: {absolute:.2f} (median {np.median(minutes):.2f})")
print("class frequencies:", frequency)
for name, gradient in (
    ("cross-entropy", lambda p: -frequency / p),
    ("squared error", lambda p: 2 * (p - frequency)),
):
    logits = descend(through_softmax(gradient), np.zeros(3), 0.5, 2000)[-1]
    print(f"{name}: probabilities {numpy_net.softmax(logits[None])[0].round(3)}")

# %% [markdown]
# Squared error aims at the **mean**, absolute error at the **median**, cross-entropy at the **frequency of
# each class**. (So does squared error on probabilities: in classification both have the same aim, and differ
# in the way there.) Cross-entropy does not fit regression as it stands: it wants classes, and it looks only
# at the probability of the true one. To call a 5 a 6 would cost as much as to call it a 90.
#
# Is the mean what a regression should predict? Often. But a few gross errors in the targets move a mean. We
# fit a line through the origin, true slope 2, to 100 points; in the second round one target in ten is grossly
# wrong.


# %%
def slope_errors(outliers, seed):
    """Distance of the fitted slope from the true one, by squared and by absolute error."""
    rng = np.random.default_rng([4, seed])
    inputs = rng.normal(size=100)
    wrong = rng.random(100) < outliers
    targets = 2 * inputs + np.where(wrong, rng.normal(0, 10, 100), rng.normal(0, 0.3, 100))
    squared = descend(lambda w: np.mean((w * inputs - targets) * inputs), 0.0, 0.2, 200)[-1]
    absolute = descend(lambda w: np.mean(np.sign(w * inputs - targets) * inputs), 0.0, 0.01, 600)[-1]
    return abs(squared - 2), abs(absolute - 2)


gain = {}
for outliers in (0, 0.1):
    squared, absolute = np.transpose([slope_errors(outliers, seed) for seed in range(40)])
    gain[outliers] = evaluation.mean_interval(squared - absolute)
    print(f"{outliers:3.0%} wrong targets: error squared {squared.mean():.3f}, absolute {absolute.mean():.3f}")
    print(f"{'':6}squared minus absolute: {gain[outliers]}")

# %% [markdown]
# With clean targets the two are about as good. With one grossly wrong target in ten, absolute error wins
# clearly. So mean squared error is the loss for a regression *that should predict the mean*, from targets one
# can trust.

# %%
kinder = slower["plain"].low > 1 and slower["Adam"].low > 1
needs_trust = gain[0.1].low > 0
if kinder and needs_trust:
    verdict = "holds when a regression should predict the mean and its targets can be trusted"
else:
    verdict = "holds" if kinder else "does not hold"
tlkit.record(
    "A2.3",
    value=slower["plain"].value,
    low=slower["plain"].low,
    high=slower["plain"].high,
    unit="times",
    quantity="steps to recover from a confidently wrong start, squared error over cross-entropy (at least)",
    seeds=len(REPORTED),
    verdict=verdict,
    sentence="Cross-entropy suits classification because its gradient stays large where the network is "
    "confidently wrong; after ordinary training its accuracy need not be much higher. Squared error suits "
    "regression when the mean is wanted; absolute error aims at the median and bears gross errors.",
)

# %% [markdown]
# ## What we measured

# %%
evidence.measured()

# %% [markdown]
# ## Quiz
#
# **1. The loss of a bowl rises although every step goes exactly against the gradient. What is the most likely
# reason?**
#
# - A. The gradient is computed wrongly: against the right gradient the loss always falls.
# - B. The learning rate is above 2 / the largest curvature.
# - C. The loss has no minimum.
# - D. Nothing is wrong. With more steps it will fall.
#
# <details><summary>Answer</summary>
#
# **B.** A takes the gradient for a promise about the whole step; it only describes the point where one
# stands. In section 2 the gradients were exact, and 1 % above the threshold the loss of all ten bowls rose.
# C: those bowls had a minimum, and half the rate led into it. D: above the threshold none of the last 100 of
# 300 steps lowered the loss.
# </details>
#
# **2. In a long, narrow valley, where does the direction of steepest descent point?**
#
# - A. To the minimum.
# - B. Along the floor of the valley, since that is the way down.
# - C. Mostly across the valley, to its floor.
# - D. The same way whatever the shape of the valley.
#
# <details><summary>Answer</summary>
#
# **C.** A confuses *steepest here* with *shortest way*: section 4 measured a large angle between the two, on
# average, already at a condition number of 100. B: the floor slopes so gently that its share in the gradient
# is small; the path of plain descent jumped from wall to wall. D: in a round bowl the angle was 0 degrees,
# and it grew with the condition number.
# </details>
#
# **3. Which optimiser needs the fewest gradient evaluations on a bowl?**
#
# - A. Adam, because it is the most modern.
# - B. Momentum 0.9, because it always speeds plain descent up.
# - C. That depends on the condition number.
# - D. All the same, because all arrive at the same minimum.
#
# <details><summary>Answer</summary>
#
# **C.** A and B: with condition number 10, plain descent needed several times fewer steps than Adam and than
# momentum 0.9, all at their best rates; with 1,000 it was the other way round. D confuses the place of
# arrival with the way: the counts in section 5 differ by far more than their intervals.
# </details>
#
# **4. You train with minibatches. After one step the loss over all images is higher than before. What do you
# do?**
#
# - A. Look for a bug, because the loss must fall at every step.
# - B. Stop, because training has converged.
# - C. Go on, and watch the mean over many steps.
# - D. Switch to one image a step, which follows each image exactly.
#
# <details><summary>Answer</summary>
#
# **C.** A carries what holds for the full batch and a small rate over to minibatches: in section 5 only a
# part of the steps with few images lowered the loss of all images, in correct code. B: the networks learned
# all the same, and saw fewer images for it. D makes it worse: with one image a step the share of steps that
# lowered the loss was the smallest.
# </details>
#
# **5. Plain descent has stopped: the gradient is zero to the last digit. What do you know?**
#
# - A. The weights are at the lowest point of the loss.
# - B. The weights are at some minimum, perhaps not the lowest.
# - C. The gradient is zero there. It may be a minimum or a saddle.
# - D. The learning rate was too small.
#
# <details><summary>Answer</summary>
#
# **C.** A and B read "converged" as "at a minimum": from the ridge in section 6, plain descent, momentum and
# Adam all ran into a saddle and stayed, although two minima were near. D: where the gradient is zero, a step
# is zero at any rate. What freed the weights was noise.
# </details>
#
# **6. Why is cross-entropy the usual loss for classification?**
#
# - A. Its test accuracy is much higher.
# - B. It keeps pushing hard where the network is confidently wrong.
# - C. Squared error aims at the wrong probabilities.
# - D. Squared error has smaller gradients, but a larger rate makes up for that.
#
# <details><summary>Answer</summary>
#
# **B.** A: after ordinary training, both losses at their own best rates, the difference in section 7 was a
# point or so at most. C: in section 8 both losses led to the class frequencies. D: in the race from a
# confidently wrong start squared error had its own best rate from a grid that reached a hundred times further
# up, and still took many times as long.
# </details>
#
# **Next:** [03 Backpropagation](03_backpropagation.ipynb). Back to [01](01_activation_functions.ipynb).
