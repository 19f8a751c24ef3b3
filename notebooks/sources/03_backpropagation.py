# %% [markdown]
# # 03 Backpropagation
#
# **After this lesson you can** (1) compute the gradients of a small network with a pencil, (2) write the
# backward pass of a dense and of a convolutional network in NumPy, (3) check any gradient, and say which
# mistakes such a check finds, (4) say what a gradient tells about a neuron and what it does not, (5) count
# what backpropagation costs, in multiply-adds and in memory.
#
# **It answers** question 3 of Assessment 4 (backpropagation).
#
# **Time:** 75 minutes to work through; about half a minute of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* compute by hand, implement, check, distinguish (gradient from contribution), count.
# *Prerequisites:* activation functions (lesson 01), what a loss and a gradient are (lesson 02), matrix
# products. *To teach:* 90 minutes; sections 1 to 3 fill the first half. *Prepares:* homework 1 (activations,
# gradients and parts of a CNN): the backward pass of a dense layer and the gradient check. A good board
# exercise: the graph of section 2 with other numbers.
# </details>

# %%
import functools
import itertools
import os
import time
import tracemalloc

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.datasets import load_digits

import tlkit
from tlkit import backprop_plots, evaluation, evidence, numpy_net
from tlkit.figure_style import OKABE_ITO, tidy

BLUE, RED, GREEN = OKABE_ITO[:3]
clock = time.perf_counter if os.name == "nt" else time.process_time  # too coarse on Windows

# %% [markdown]
# ## 1. One neuron, with a pencil
#
# Gradient descent (lesson 02) needs to know, for every weight, how the loss changes when that weight changes
# a little. That number is the **gradient** of the weight. Backpropagation is the way to compute it.
#
# We start with one neuron. It multiplies its input $x$ by a **weight** $w$, adds a **bias** $b$, and sends
# the result through an activation function, here the sigmoid $\sigma$. The **loss** $L$ says how far its
# output $a$ is from the target $y$:
#
# $$z = w x + b \qquad a = \sigma(z) = \frac{1}{1 + e^{-z}} \qquad L = (a - y)^2$$
#
# Computing from left to right is the **forward pass**. The **backward pass** goes from right to left and asks
# at every step: if this number grew a little, how much would $L$ grow? We write $G_a$ for
# $\partial L / \partial a$, the gradient of the loss with respect to $a$, and likewise for every other
# number.
#
# The **chain rule** says: multiply the slopes along the way. If $L$ grows by $G_a$ for each unit of $a$, and
# $a$ grows by $\sigma'(z)$ for each unit of $z$, then $L$ grows by $G_a\,\sigma'(z)$ for each unit of $z$.
# Each factor is a **local slope**: it needs only what one small step of the forward pass knows.
#
# $$G_a = 2(a - y) \qquad G_z = G_a\,\underbrace{a(1 - a)}_{\sigma'(z)} \qquad
# G_w = G_z\,x \qquad G_b = G_z \cdot 1 \qquad G_x = G_z\,w$$
#
# > **Predict.** Take a pencil: $x = 2$, $w = 1.5$, $b = -3$, $y = 1$. Compute $z$, $a$, $L$, and then, from
# > right to left, $G_a$, $G_z$, $G_w$. Should $w$ grow or shrink to reduce the loss?

# %%
x, w, b, y = 2.0, 1.5, -3.0, 1.0
z = w * x + b
a = 1 / (1 + np.exp(-z))
L = (a - y) ** 2
print(f"forward:  z = {z}, a = {a}, L = {L}")

G_a = 2 * (a - y)
G_z = G_a * a * (1 - a)
G_w, G_b, G_x = G_z * x, G_z * 1, G_z * w
print(f"backward: G_a = {G_a}, G_z = {G_z}, G_w = {G_w}, G_b = {G_b}, G_x = {G_x}")

# %% [markdown]
# *In words:* $G_w$ is negative: if $w$ grows, the loss shrinks, at a rate of half a unit of loss for a unit
# of $w$. Note that $G_z$ was computed once and used three times.
#
# Is the number right? We move $w$ by a **nudge** and look. The gradient predicts a change of $G_w \times$
# nudge.
#
# > **Predict.** For which nudges is that a good prediction: 1, 0.1, 0.01, 0.001?

# %%
rows = []
for nudge in (1, 0.1, 0.01, 0.001):
    moved = 1 / (1 + np.exp(-((w + nudge) * x + b)))
    rows.append((nudge, G_w * nudge, (moved - y) ** 2 - L))
table = pd.DataFrame(rows, columns=["nudge of w", "change by gradient", "real change"])
table["real / by gradient"] = table["real change"] / table["change by gradient"]
print(table.round(6).to_string(index=False))

# %% [markdown]
# *In words:* the smaller the nudge, the nearer the last column is to 1. For a nudge of 1 the gradient
# promises about twice what happens. **A gradient is the effect of a small change**; keep this sentence in
# mind for section 5.
#
# ## 2. A small network: where ways meet, gradients add
#
# Now two hidden neurons, with the activation ReLU, which passes positive numbers and turns negative ones into
# zero. The prediction is $p = v_1 h_1 + v_2 h_2$ and the loss $L = (p - y)^2$. (Without biases, to keep the
# figure small.)
#
# The assessment names three steps of the backward pass: **(a)** the gradient of the output; **(b)** gradients
# are passed back, multiplied by the weights and by the local slopes of the activation functions; **(c)** from
# these follow the gradients of the parameters. They are marked in the code.
#
# One thing is new: $x$ reaches the loss by two ways. A nudge of $x$ travels both, so what arrives from both
# is **added**.


# %%
def tiny(x=2.0, w1=1.0, w2=0.5, v1=1.0, v2=-3.0, y=1.0):
    """Values of the forward pass, then the gradient of L for each of them, from right to left."""
    z1, z2 = w1 * x, w2 * x
    h1, h2 = max(z1, 0.0), max(z2, 0.0)
    p = v1 * h1 + v2 * h2
    L = (p - y) ** 2
    G_p = 2 * (p - y)  # step a: the output
    G_h1, G_h2 = G_p * v1, G_p * v2  # step b: times the weight ...
    G_z1, G_z2 = G_h1 * (z1 > 0), G_h2 * (z2 > 0)  # ... and times the slope of ReLU, 1 or 0
    G_x = G_z1 * w1 + G_z2 * w2  # both ways, added
    G_v1, G_v2 = G_p * h1, G_p * h2  # step c: the parameters
    G_w1, G_w2 = G_z1 * x, G_z2 * x
    values = {"x": x, "w1": w1, "w2": w2, "v1": v1, "v2": v2, "z1": z1, "z2": z2, "h1": h1, "h2": h2}
    gradients = {"x": G_x, "w1": G_w1, "w2": G_w2, "v1": G_v1, "v2": G_v2, "z1": G_z1, "z2": G_z2}
    return {**values, "p": p, "L": L}, {**gradients, "h1": G_h1, "h2": G_h2, "p": G_p, "L": 1}


# %% [markdown]
# > **Predict.** Fill in the figure with a pencil before you look: first the values, from left to right, then
# > the gradients, from right to left. $x = 2$, $w_1 = 1$, $w_2 = 0.5$, $v_1 = 1$, $v_2 = -3$, $y = 1$.
#
# Then move a weight. Which gradients change when you change $v_1$? What happens to the gradients of the lower
# branch when $w_2$ becomes negative?

# %% alt="A graph from the input x over two hidden neurons to the loss, each value with its gradient below it"
PLACES = {
    "x": (0, 0),
    "z1": (1, 0.6),
    "z2": (1, -0.6),
    "h1": (2, 0.6),
    "h2": (2, -0.6),
    "p": (3, 0),
    "L": (4, 0),
}
ARROWS = [("x", "z1", "w1"), ("x", "z2", "w2"), ("z1", "h1", "ReLU"), ("z2", "h2", "ReLU")]
ARROWS += [("h1", "p", "v1"), ("h2", "p", "v2"), ("p", "L", "(p − y)²")]


def show_tiny(w1=1.0, w2=0.5, v1=1.0, v2=-3.0):
    """Draw the small network with these weights."""
    values, gradients = tiny(w1=w1, w2=w2, v1=v1, v2=v2)
    backprop_plots.plot_computation(PLACES, ARROWS, values, gradients)
    plt.show()


_ = ipywidgets.interact(show_tiny, w1=(-2, 2, 0.5), w2=(-2, 2, 0.5), v1=(-3, 3, 0.5), v2=(-3, 3, 0.5))

# %% [markdown]
# *In words:* blue, after an equals sign, stands what the forward pass computed; red, after a G, the gradient
# of $L$. Each G is a product: $G_{h_2} = G_p\,v_2 = -4 \times -3 = 12$. The input collects
# $G_x = -4 \times 1 + 12 \times 0.5 = 2$.
#
# Change $v_1$, and $p$ changes and with it $G_p$, a factor of all gradients to its left: only $G_L = 1$ stays.
# Where ReLU is closed ($z \le 0$), its slope is 0, and no gradient passes to the left of it: with a negative
# $w_2$, $G_{z_2}$ and $G_{w_2}$ are 0, and so is $G_{v_2}$, since $h_2 = 0$.
#
# ## 3. Many neurons at once: matrices
#
# Real networks have thousands of weights and see a **batch** of $n$ images at once. Nothing new happens, but
# we write it with matrices. Our images are scikit-learn's handwritten digits, 8 by 8 pixels; a row of the
# matrix $X$ is one image, its 64 pixels in a line.
#
# The first layer has 10 hidden neurons. (Ten, so that the second weight matrix is a square: this will make a
# trap in section 4.) The activation is tanh, which is smooth. $n = 32$.


# %%
@functools.cache
def digits(seed, images=32):
    """Images [n, 64] with values from 0 to 1 and labels [n]: for training and for validation."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    train, validation = order[:images], order[-400:]
    return pixels[train] / 16, labels[train], pixels[validation] / 16, labels[validation]


def initial(seed, units=10):
    """Random weights: W1 [64, units], b1 [units], W2 [units, 10], b2 [10]."""
    rng = np.random.default_rng(seed)
    W1, W2 = rng.normal(0, 1 / 8, (64, units)), rng.normal(0, units**-0.5, (units, 10))
    return [W1, np.zeros(units), W2, np.zeros(10)]


X, y, _, _ = digits(seed=0)
parameters = initial(seed=0)
print("X", X.shape, "y", y.shape, "parameters", [array.shape for array in parameters])

# %% [markdown]
# The forward pass. The last activation, **softmax**, turns ten numbers into ten probabilities $P$, and the
# **cross-entropy** loss is small when the probability of the right class is near 1 (lesson 02; its unit is
# called *nat*, after the natural logarithm):
#
# $$Z_1 = X W_1 + b_1 \quad H = \tanh(Z_1) \quad Z_2 = H W_2 + b_2 \quad P = \operatorname{softmax}(Z_2)
# \quad L = -\frac{1}{n} \sum_{i=1}^{n} \log P_{i, y_i}$$


# %%
def forward(X, parameters):
    """Hidden outputs H [n, units] and the last layer's Z2 [n, 10]."""
    W1, b1, W2, b2 = parameters
    Z1 = X @ W1 + b1
    H = np.tanh(Z1)
    Z2 = H @ W2 + b2
    return H, Z2


def softmax(Z):
    """Probabilities, row by row; subtracting the largest number keeps exp from overflowing."""
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)


def cross_entropy(Z, y):
    """Mean over the batch of -log of the probability of the right class."""
    return -np.log(softmax(Z)[np.arange(len(y)), y]).mean()


H, Z2 = forward(X, parameters)
print(f"L = {cross_entropy(Z2, y):.4f}; guessing among ten classes costs {np.log(10):.4f}")

# %% [markdown]
# **Step a: the output.** For softmax with cross-entropy the slopes multiply to something simple. With $Y$ for
# the right answers (a 1 in the column of the right class, 0 elsewhere):
#
# $$G_{Z_2} = \frac{1}{n} (P - Y)$$
#
# "Probability given minus probability wanted", divided by $n$ because the loss is a mean.
#
# > **Predict.** What is the sum of each row of $G_{Z_2}$?


# %%
def step_a(Z, y):
    """Gradient of the last layer's Z."""
    P, Y = softmax(Z), np.eye(10)[y]
    return (P - Y) / len(y)


G_Z2 = step_a(Z2, y)
print("first image, times n:", (len(y) * G_Z2[0]).round(3), "right class:", y[0])
print("largest sum of a row:", f"{np.abs(G_Z2.sum(axis=1)).max():.0e}")

# %% [markdown]
# *In words:* only the right class has a negative entry: its $Z_2$ should grow, the others should shrink, and
# the row balances to zero (up to rounding).
#
# **Step b: back through a layer.** In section 2 the gradient was multiplied by a weight, summed over the
# ways, and multiplied by the slope of the activation. As matrices ($\odot$ multiplies entry by entry; tanh
# has the slope $1 - H^2$):
#
# $$G_H = G_{Z_2} W_2^\top \qquad G_{Z_1} = G_H \odot (1 - H^2)$$
#
# The **transpose** $W_2^\top$ (rows and columns swapped) is there because we now walk the same connections in
# the other direction: forward, neuron $j$ sends $W_{2,jk}$ to class $k$; backward, class $k$ sends $W_{2,jk}$
# to neuron $j$.


# %%
def step_b(G_Z, W, slope):
    """Gradient of a layer's input; times the slope of the activation that made this input."""
    return (G_Z @ W.T) * slope


W2 = parameters[2]
G_Z1 = step_b(G_Z2, W2, slope=1 - H**2)
print("G_Z2", G_Z2.shape, "-> G_Z1", G_Z1.shape, "as H", H.shape)

# %% [markdown]
# **Step c: the parameters.** A weight multiplies an input and adds to a $Z$, so its gradient is input times
# $G_Z$, summed over the images of the batch:
#
# $$G_{W_2} = H^\top G_{Z_2} \quad G_{b_2} = \sum_i G_{Z_2, i} \qquad
# G_{W_1} = X^\top G_{Z_1} \quad G_{b_1} = \sum_i G_{Z_1, i}$$
#
# With it the backward pass is complete: five lines.


# %%
def step_c(G_Z, inputs):
    """Gradients of a layer's weights and biases."""
    return inputs.T @ G_Z, G_Z.sum(axis=0)


def backward(X, y, parameters):
    """Gradients of all parameters, in their order."""
    W2 = parameters[2]
    H, Z2 = forward(X, parameters)
    G_Z2 = step_a(Z2, y)
    G_Z1 = step_b(G_Z2, W2, slope=1 - H**2)
    return [*step_c(G_Z1, X), *step_c(G_Z2, H)]


gradients = backward(X, y, parameters)
print("gradients", [array.shape for array in gradients])

# %% [markdown]
# Each gradient has the shape of its parameter. That is a first check, and a weak one.
#
# ## 4. Trust, but check (claim A3.1)
#
# There is a second way to a gradient, so simple that it can hardly be wrong: nudge **one** parameter by a
# small step $h$ to both sides, and look at the loss. This is the **central difference**:
#
# $$D = \frac{L(w + h) - L(w - h)}{2 h}$$
#
# We compare by the **relative error**: the largest difference between $G$ and $D$, divided by the largest
# gradient in the network.


# %%
def central_differences(loss, W, h=1e-5):
    """Change of the loss for each entry of W, one at a time; W is restored."""
    D = np.zeros_like(W)
    for index in np.ndindex(*W.shape):
        middle = W[index]
        W[index] = middle + h
        above = loss()
        W[index] = middle - h
        below = loss()
        W[index] = middle
        D[index] = (above - below) / (2 * h)
    return D


def relative_errors(G, D):
    """For each array: its largest difference, relative to the largest gradient of all arrays."""
    scale = max(np.abs(array).max() for array in (*G, *D))
    return np.array([np.abs(g - d).max() / scale for g, d in zip(G, D, strict=True)])


def loss_of(X, y, parameters, forward=forward):
    """A function without arguments: the loss for the parameters as they are at the time of the call."""
    return lambda: cross_entropy(forward(X, parameters)[-1], y)


differences = [central_differences(loss_of(X, y, parameters), array) for array in parameters]
for name, error in zip(("W1", "b1", "W2", "b2"), relative_errors(gradients, differences), strict=True):
    print(f"{name}: relative error {error:.1e}")

# %% [markdown]
# The two agree to nine or ten digits. But which step $h$ is right? Two errors pull in opposite directions:
#
# - **Truncation:** the loss is a curve, and $D$ is the slope of a straight line through two of its points.
#   The smaller $h$, the better.
# - **Rounding:** a computer keeps about 16 digits of a number (`float64`) or about 7 (`float32`). The two
#   losses are nearly equal, so their difference keeps few of these digits. The smaller $h$, the worse.
#
# We also try the **forward difference**, $(L(w + h) - L(w)) / h$, which looks to one side only.
#
# > **Predict.** You make $h$ ten times smaller, from $10^{-8}$ to $10^{-9}$. Does the central difference in
# > `float64` get better or worse?


# %% alt="Relative error against step size: V-shaped curves, lower for central differences and for float64"
def forward_differences(loss, W, h):
    """As central_differences, but to one side only."""
    here, D = loss(), np.zeros_like(W)
    for index in np.ndindex(*W.shape):
        middle = W[index]
        W[index] = middle + h
        D[index] = (loss() - here) / h
        W[index] = middle
    return D


steps = 10.0 ** np.arange(-12, -0.4, 0.5)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.3), sharey=True, layout="constrained")
for ax, dtype in zip(axes, (np.float64, np.float32), strict=True):
    X_d, *cast = (array.astype(dtype) for array in (X, *parameters))
    for method, style in ((forward_differences, "s--"), (central_differences, "o-")):
        found = [method(loss_of(X_d, y, cast), cast[2], float(h)) for h in steps]
        errors = [relative_errors([gradients[2]], [D])[0] for D in found]
        name = method.__name__.split("_")[0]
        print(f"{dtype.__name__} {name}: least error {min(errors):.0e}, at h = {steps[np.argmin(errors)]:.0e}")
        ax.loglog(steps, errors, style, color=RED if name == "forward" else BLUE, markersize=4, label=name)
    ax.set(xlabel="step h (logarithmic)", title=dtype.__name__)
    tidy(ax)
axes[0].set(ylabel="relative error (logarithmic)")
_ = axes[0].legend(frameon=False, fontsize=9)

# %% [markdown]
# *In words:* each curve is a V. Its right arm falls as $h$ gets smaller: truncation. Its left arm rises
# again: rounding. (Left in the `float32` panel the step is so small that it is lost altogether, and the error
# is 1.) The central difference (blue, dots) reaches a lower point than the one-sided one (red, squares), and
# `float64` (left) is better than `float32` (right) by orders of magnitude: with `float32`, even the right
# gradient shows an error of about 1e-4, under which a small mistake can hide. So: **central differences,
# `float64`, $h$ near $10^{-5}$**, and a relative error below $10^{-7}$ counts as right.
#
# ### Which mistakes does the check find?
#
# Here is the backward pass again with typical mistakes to choose from. None of them raises an error: all
# shapes fit, since $W_2$ is a square.


# %%
def backward_with(mistake, X, y, parameters):
    """The backward pass, with a mistake."""
    W2 = parameters[2]
    H, Z2 = forward(X, parameters)
    G_Z2 = step_a(Z2, y) * (len(y) if mistake == "not divided by n" else 1)
    slope = {"slope taken at H": 1 - np.tanh(H) ** 2, "slope forgotten": 1}.get(mistake, 1 - H**2)
    G_Z1 = step_b(G_Z2, W2.T if mistake == "transpose forgotten" else W2, slope)
    (G_W1, G_b1), (G_W2, G_b2) = step_c(G_Z1, X), step_c(G_Z2, H)
    return [G_W1, G_b1 / (len(y) if mistake == "mean for the bias" else 1), G_W2, G_b2]


MISTAKES = ["none", "transpose forgotten", "slope taken at H", "slope forgotten", "not divided by n"]
MISTAKES += ["mean for the bias"]

# %% [markdown]
# We add three traps: a mistake while the second layer starts at zero ($W_2 = 0$), a mistake while the first
# layer's weights are tiny ($W_1 / 1000$), and labels that are wrong in **both** passes.
#
# > **Predict.** Which rows of the table stay below $10^{-7}$ although something is wrong? And: after
# > "transpose forgotten", which of the four arrays are wrong?


# %%
@functools.cache
def situation(seed, shrink=(1, 1), shift=0):
    """Data and parameters, with the weights shrunk and the labels shifted, and the central differences."""
    X, y, _, _ = digits(seed)
    y = (y + shift) % 10
    W1, b1, W2, b2 = initial(seed)
    parameters = [W1 * shrink[0], b1, W2 * shrink[1], b2]
    D = [central_differences(loss_of(X, y, parameters), array) for array in parameters]
    return (X, y, parameters), D


def check(mistake, seed, **options):
    """Relative errors of the four gradients."""
    given, D = situation(seed, **options)
    return relative_errors(backward_with(mistake, *given), D)


plan = {mistake: (mistake, {}) for mistake in MISTAKES}
plan["transpose forgotten, W2 = 0"] = ("transpose forgotten", {"shrink": (1, 0)})
plan["slope forgotten, W1 / 1000"] = ("slope forgotten", {"shrink": (0.001, 1)})
plan["labels wrong in both passes"] = ("none", {"shift": 1})
found = {row: np.median([check(m, seed, **o) for seed in range(3)], axis=0) for row, (m, o) in plan.items()}
table = pd.DataFrame(found, index=["W1", "b1", "W2", "b2"]).T
print(table.map("{:.0e}".format).assign(found=table.max(axis=1) > 1e-7).to_string())

# %% [markdown]
# *In words:* (median of three seeds.) Most mistakes stand out by many orders of magnitude, and the columns
# say where to look: if $W_2$ and $b_2$ are right and $W_1$ and $b_1$ are not, step b is wrong. But
#
# - with $W_2 = 0$ nothing flows back, so a mistake in step b has nothing to spoil: **check at random weights,
#   never at zeros**;
# - with tiny $W_1$ tanh is nearly a straight line, so a forgotten slope is nearly right, and the error falls
#   to the edge of what the check can see;
# - wrong labels in both passes are invisible: the check compares the backward pass with **its own** forward
#   pass. It does not know what you wanted.
#
# ## 5. A gradient is not a contribution
#
# The assessment says of step b that it "effectively calculates how much each neuron in the current layer
# contributed to the error in the output". That is a helpful picture, and it is not quite what step b
# computes. Take the small network of section 2 with $v_2 = -1$: it predicts $p = 1 = y$, exactly right.
#
# > **Predict.** What are the gradients of $h_1$ and $h_2$? What happens to the loss if we remove $h_1$?

# %%
values, G = tiny(v1=1.0, v2=-1.0)
print(
    f"h1 = {values['h1']}, h2 = {values['h2']}, loss {values['L']}; G of h1: {G['h1']}, of h2: {G['h2'] + 0.0}"
)
for removed in ("v1", "v2"):
    without, _ = tiny(**{"v1": 1.0, "v2": -1.0, removed: 0.0})
    print(f"{removed} set to 0, which removes its neuron: loss {without['L']}")

# %% [markdown]
# *In words:* both gradients are zero, and yet without either neuron the prediction is wrong. Their output
# *is* the prediction. The gradient does not say how much a neuron does; it says what a **small change** of
# its output would do, with everything else as it is. At the bottom of a valley a small step changes nothing;
# that does not mean that the ground does nothing.
#
# Does this matter in a trained network? We train ours on 300 digits by gradient descent, and stop now and
# then to remove each hidden neuron $j$ in turn (its output becomes 0 for every image). For this removal the
# gradient predicts the change $\;-\sum_i G_{H,ij}\,H_{ij}$. We do so for a narrow network (4 hidden neurons)
# and a wider one (16), five seeds each.


# %%
def removal(X, y, parameters, share=1.0):
    """Change of the loss when a hidden neuron loses a share of its output: by gradient, and real."""
    *_, W2, b2 = parameters
    H, Z2 = forward(X, parameters)
    G_H = step_b(step_a(Z2, y), W2, slope=1)
    real = []
    for neuron in range(H.shape[1]):
        less = H.copy()
        less[:, neuron] *= 1 - share
        real.append(cross_entropy(less @ W2 + b2, y) - cross_entropy(Z2, y))
    return -share * (G_H * H).sum(axis=0), np.array(real)


def train(X, y, parameters, steps, rate=0.5):
    """Gradient descent in place, all images in every step."""
    for _ in range(steps):
        for array, gradient in zip(parameters, backward(X, y, parameters), strict=True):
            array -= rate * gradient


# %% [markdown]
# > **Predict.** While the loss falls during training: will the real change on removal fall or rise, and will
# > the one predicted by gradient?

# %%
STOPS = (0, 10, 30, 100, 300, 1000)
rows, trained = [], {}
for units in (4, 16):
    for seed in range(5):
        X_t, y_t, X_v, y_v = digits(seed, images=300)
        trained[units, seed] = learned = initial(seed, units)
        for before, stop in zip((0, *STOPS), STOPS, strict=False):
            train(X_t, y_t, learned, stop - before)
            predicted, real = removal(X_t, y_t, learned)
            accuracy = np.mean(forward(X_v, learned)[1].argmax(axis=1) == y_v)
            changes = {"by gradient": predicted.mean(), "real": real.mean()}
            sizes = {"loss": cross_entropy(forward(X_t, learned)[1], y_t), "validation accuracy": accuracy}
            rows.append({"hidden": units, "seed": seed, "steps": stop} | sizes | changes)
removals = pd.DataFrame(rows)
print(removals.groupby(["hidden", "steps"]).mean().drop(columns="seed").round(3))

# %% alt="Change of the loss on removal against training steps, real and by gradient, 4 and 16 hidden neurons"
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for ax, (units, part) in zip(axes, removals[removals["steps"] > 0].groupby("hidden"), strict=True):
    for column, colour, style in (("real", BLUE, "o-"), ("by gradient", RED, "s--")):
        for _, one in part.groupby("seed"):
            ax.plot(one["steps"], one[column], color=colour, alpha=0.3, linewidth=1)
        ax.plot(part.groupby("steps")[column].mean(), style, color=colour, markersize=5, label=column)
    ax.set(xscale="log", xlabel="training steps (logarithmic)", title=f"{units} hidden neurons", ylim=(0, None))
    tidy(ax)
axes[0].set(ylabel="change of the loss on removing\none neuron (nats), mean")
axes[0].legend(frameon=False, fontsize=9)
end = removals[removals["steps"] == STOPS[-1]].assign(factor=lambda t: t["real"] / t["by gradient"])
for units, part in end.groupby("hidden"):
    print(f"{units} hidden: real over predicted {evaluation.mean_interval(part['factor'])}, 5 seeds")

# %% [markdown]
# *In words:* thin lines are seeds, thick ones their mean. With 4 hidden neurons (left) each one becomes more
# and more needed as training goes on, while the effect that the gradient predicts rises at first and then
# sinks towards zero. With 16 (right) both rise at first and then fall, probably because the others can take
# over, but what the gradient predicts still falls short by a factor. Training *makes* gradients small: it
# stops where small changes no longer help, not where neurons no longer matter.
#
# Where is the gradient right, then? Where it promises to be: for small changes. We take away a growing share
# of one neuron's output.

# %% alt="Four panels, one a neuron: change of the loss against the share of its output removed, and tangent"
shares = np.linspace(0, 1, 101)
X_t, y_t, _, _ = digits(0, images=300)
changes = np.array([removal(X_t, y_t, trained[4, 0], share) for share in shares])
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), sharey=True, layout="constrained")
for neuron, ax in enumerate(axes):
    ax.plot(shares, changes[:, 1, neuron], color=BLUE, label="real")
    ax.plot(shares, changes[:, 0, neuron], "--", color=RED, label="by gradient")
    ax.set(xlabel="share removed", title=f"hidden neuron {neuron + 1}")
    tidy(ax)
axes[0].set(ylabel="change of the loss (nats)")
axes[0].legend(frameon=False, fontsize=9)
ratio = changes[[1, -1], 1] / changes[[1, -1], 0]
print("real over predicted, 1 % removed:", ratio[0].round(2), "; all removed:", ratio[1].round(1))

# %% [markdown]
# *In words:* at the left end the red line touches the blue curve, which is all that a gradient promises.
# Further right the curve leaves it. **Better said:** *step b computes how much the loss would change if a
# neuron's output changed a little, everything else being equal.* That is just what gradient descent needs,
# since its steps are small. Whoever wants to know what a neuron contributes has to remove it and look, and
# even then the answer depends on what takes its place, here 0.
#
# ## 6. A small convolutional network
#
# A **convolution** slides a small matrix of weights, the **kernel** $K$, over the image; at each position it
# multiplies what it covers, entry by entry, and adds up (lesson 04 says more). With an image $X$ of several
# channels $c$ (such as red, green and blue) and a kernel for each **filter** $f$, that is, for each output
# channel:
#
# $$Z_{r,s,f} = \sum_{i,j,c} X_{r+i,\,s+j,\,c}\; K_{i,j,c,f}$$
#
# The backward pass follows from the same sum. A weight $K_{i,j}$ is used at *every* position $(r, s)$; it is
# one value with many ways to the loss, and where ways meet, gradients add:
#
# $$G_{K\,i,j,c,f} = \sum_{r,s} X_{r+i,\,s+j,\,c}\; G_{Z\,r,s,f} \qquad
# G_{X\,u,v,c} = \sum_{i,j,f} G_{Z\,u-i,\,v-j,\,f}\; K_{i,j,c,f}$$
#
# (For one image, and 0 where $G_Z$ has no entry; over a batch, the first sum also runs over the images.)
#
# Look at the first one: it is the forward formula again, with $G_Z$ in the place of the kernel. **The
# gradient of the kernel is the convolution of the input with the gradient of the output.** In code, all three
# have the same loop over the kernel's entries.


# %%
def conv(X, K):
    """Slide the kernels K [k, k, c, f] over the images X [n, h, w, c]."""
    k = len(K)
    r, s = X.shape[1] - k + 1, X.shape[2] - k + 1
    return sum(X[:, i : i + r, j : j + s] @ K[i, j] for i, j in np.ndindex(k, k))


def conv_step_b(G_Z, K):
    """Gradient of the images: each output hands its gradient to the pixels that it saw."""
    k, (n, r, s, _) = len(K), G_Z.shape
    G_X = np.zeros((n, r + k - 1, s + k - 1, K.shape[2]))
    for i, j in np.ndindex(k, k):
        G_X[:, i : i + r, j : j + s] += G_Z @ K[i, j].T
    return G_X


def conv_step_c(G_Z, X):
    """Gradient of the kernels: what each weight was multiplied with, times G_Z, summed."""
    k, (_, r, s, f), c = X.shape[1] - G_Z.shape[1] + 1, G_Z.shape, X.shape[-1]
    G_K = np.zeros((k, k, c, f))
    for i, j in np.ndindex(k, k):
        G_K[i, j] = X[:, i : i + r, j : j + s].reshape(-1, c).T @ G_Z.reshape(-1, f)
    return G_K


# %% [markdown]
# A case for the pencil: an image of 4 by 4, a kernel of 2 by 2, so an output of 3 by 3. Suppose the gradient
# $G_Z$ that arrives from the right is the one in the middle.
#
# > **Predict.** For the kernel's upper right weight, $K_{0,1}$: which nine pixels did it multiply? Compute
# > its gradient.
#
# The cell checks both readings to the last bit: $G_K$ as a convolution, and $G_X$ as a convolution, too, of
# $G_Z$ with a frame of zeros and the kernel turned by 180 degrees. Below its lines of text, the sliders step
# through the four weights.

# %% alt="Three grids of numbers: image with nine pixels framed, gradient of the output, gradient of the kernel"
image = np.array([[1.0, 2, 0, 1], [0, 1, 3, 1], [2, 1, 0, 0], [1, 0, 1, 2]])
kernel = np.array([[1.0, 0], [-1, 2]])
G_out = np.array([[1.0, 0, -1], [2, 0, 0], [0, 1, 0]])
G_kernel = conv_step_c(G_out[None, ..., None], image[None, ..., None])[..., 0, 0]
G_image = conv_step_b(G_out[None, ..., None], kernel[..., None, None])[0, ..., 0]
slid = conv(image[None, ..., None], G_out[..., None, None])[0, ..., 0]
turned = conv(np.pad(G_out, 1)[None, ..., None], kernel[::-1, ::-1, None, None])[0, ..., 0]
_, reference = numpy_net.conv2d(image[None, ..., None], kernel[..., None, None], [0.0])
reference = [array.ravel() for array in reference(G_out[None, ..., None])]
same = np.array_equal(reference[0], G_image.ravel()) and np.array_equal(reference[1], G_kernel.ravel())
print("Both gradients are those of tlkit.numpy_net:", same)
print("G_K is the convolution of X with G_Z:", np.array_equal(G_kernel, slid))
print("G_X is the convolution of the framed G_Z with the turned K:", np.array_equal(G_image, turned))


def show_kernel_gradient(i=0, j=1):
    """Draw which part of the image, times the output's gradient, makes entry (i, j)."""
    _, axes = plt.subplots(
        1, 3, figsize=(8, 2.7), width_ratios=(4, 3, 2), layout="constrained", gridspec_kw={"wspace": 0.15}
    )
    covered = slice(i, i + 3), slice(j, j + 3)
    here = slice(i, i + 1), slice(j, j + 1)
    backprop_plots.plot_numbers(image, title="image X", marked=covered, ax=axes[0])
    backprop_plots.plot_numbers(G_out, title="times the gradient of Z, summed,", ax=axes[1])
    backprop_plots.plot_numbers(G_kernel, title="is the gradient of K", marked=here, ax=axes[2])
    plt.show()


_ = ipywidgets.interact(show_kernel_gradient, i=(0, 1), j=(0, 1))

# %% [markdown]
# *In words:* the framed nine pixels, times the nine numbers in the middle, entry by entry, summed, give the
# framed entry on the right. Moving the frame is sliding $G_Z$ over the image.
#
# **Max pooling** keeps the largest of each 2 by 2 pixels. The others had no effect on the loss, so all of the
# gradient goes to the winner; of equal ones to the first. **Flatten** only lays the numbers out in one row;
# its backward pass folds them back.
#
# Our network: convolution (4 filters of 3 by 3), ReLU, max pooling, flatten, dense, softmax.


# %%
def pool(A):
    """Largest of each 2 by 2 pixels, and which of the four it was."""
    n, r, s, f = A.shape
    squares = A.reshape(n, r // 2, 2, s // 2, 2, f).transpose(0, 1, 3, 5, 2, 4)
    squares = squares.reshape(n, r // 2, s // 2, f, 4)
    return squares.max(axis=-1), squares.argmax(axis=-1)


def pool_backward(G_M, winner):
    """Each gradient goes to the winner of its four pixels."""
    n, r, s, f = G_M.shape
    G_A = (np.eye(4)[winner] * G_M[..., None]).reshape(n, r, s, f, 2, 2)
    return G_A.transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * r, 2 * s, f)


# %%
def cnn_forward(X, parameters):
    """All that the backward pass needs: Z1, winners of the pooling, flat features F, and Z2."""
    K, b1, W2, b2 = parameters
    Z1 = conv(X, K) + b1
    M, winner = pool(np.maximum(Z1, 0))
    F = M.reshape(len(X), -1)
    return Z1, winner, F, F @ W2 + b2


def cnn_backward(X, y, parameters):
    """Gradients of all parameters, in their order."""
    W2 = parameters[2]
    Z1, winner, F, Z2 = cnn_forward(X, parameters)
    G_Z2 = step_a(Z2, y)
    G_F = step_b(G_Z2, W2, slope=1)
    G_M = G_F.reshape(*winner.shape)
    G_Z1 = pool_backward(G_M, winner) * (Z1 > 0)
    G_b1 = G_Z1.sum(axis=(0, 1, 2))
    return [conv_step_c(G_Z1, X), G_b1, *step_c(G_Z2, F)]


# %% [markdown]
# One catch for the gradient check: ReLU and max pooling have **kinks**. If the nudge carries a number across
# zero, or makes another pixel win, then the central difference straddles a corner and is no slope of
# anything. So we look whether the pattern (which ReLU is open, which pixel wins) is the same on both sides,
# and set aside the entries for which it is not.


# %%
def crosses_kink(X, parameters, W, h=1e-5):
    """For each entry of W: does a nudge change which ReLU is open or which pixel wins?"""
    crossed = np.zeros(W.shape, bool)
    for index in np.ndindex(*W.shape):
        middle, patterns = W[index], []
        for W[index] in (middle + h, middle - h):
            Z1, winner, _, _ = cnn_forward(X, parameters)
            patterns.append(np.concatenate([(Z1 > 0).ravel(), winner.ravel()]))
        W[index] = middle
        crossed[index] = not np.array_equal(*patterns)
    return crossed


def cnn_initial(seed):
    """Random weights: K [3, 3, 1, 4], b1 [4], W2 [36, 10], b2 [10]."""
    rng = np.random.default_rng(seed)
    return [
        rng.normal(0, 1 / 3, (3, 3, 1, 4)),
        rng.normal(0, 0.1, 4),
        rng.normal(0, 1 / 6, (36, 10)),
        np.zeros(10),
    ]


# %% [markdown]
# Last, an independent judge: TensorFlow's `GradientTape`. It records every operation of a forward pass and
# then walks back through the record: backpropagation, written by others, for any network. (`mlp` in the names
# stands for *multilayer perceptron*, the usual word for a network of dense layers.)


# %%
def tape_gradients(predict, X, y, parameters):
    """Gradients by TensorFlow; `predict` computes the last layer's Z."""
    variables = [tf.Variable(array) for array in parameters]
    with tf.GradientTape() as tape:
        Z = predict(tf.constant(X), *variables)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=Z))
    return [gradient.numpy() for gradient in tape.gradient(loss, variables)]


def tf_mlp(X, W1, b1, W2, b2):
    """The network of section 3."""
    return tf.tanh(X @ W1 + b1) @ W2 + b2


def tf_cnn(X, K, b1, W2, b2):
    """The network of this section."""
    A = tf.nn.relu(tf.nn.conv2d(X, K, strides=1, padding="VALID") + b1)
    M = tf.nn.max_pool2d(A, ksize=2, strides=2, padding="VALID")
    return tf.reshape(M, (len(X), -1)) @ W2 + b2


# %% [markdown]
# Both networks, six seeds each (other weights, other images), every parameter. Seed 28 is among them because
# it brings the CNN to a kink. The last three columns hold the largest relative error.


# %%
def compare(G, loss, parameters, tape, kinks):
    """Largest relative error against central differences, with and without kinks, and against the tape."""
    D = [central_differences(loss, array) for array in parameters]
    smooth = [np.where(kink, g, d) for kink, g, d in zip(kinks, G, D, strict=True)]
    aside = sum(kink.sum() for kink in kinks)
    return [sum(g.size for g in G), aside, *(relative_errors(G, other).max() for other in (D, smooth, tape))]


rows = []
for seed in (0, 1, 2, 3, 4, 28):
    X, y, _, _ = digits(seed)
    pictures, W, C = X.reshape(-1, 8, 8, 1), initial(seed), cnn_initial(seed)
    kinks = [np.zeros(array.shape, bool) for array in W]
    tape = tape_gradients(tf_mlp, X, y, W)
    rows.append(["dense", seed, *compare(backward(X, y, W), loss_of(X, y, W), W, tape, kinks)])
    kinks = [crosses_kink(pictures, C, array) for array in C]
    tape, loss = tape_gradients(tf_cnn, pictures, y, C), loss_of(pictures, y, C, cnn_forward)
    rows.append(["CNN", seed, *compare(cnn_backward(pictures, y, C), loss, C, tape, kinks)])
columns = ["network", "seed", "parameters", "at kinks", "all", "without kinks", "GradientTape"]
checks = pd.DataFrame(rows, columns=columns)
print(checks.to_string(index=False, float_format="{:.0e}".format))

# %% [markdown]
# *In words:* away from kinks, backpropagation and central differences agree to nine digits or more, and
# backpropagation and TensorFlow to fifteen or so, which is all that `float64` has. The CNN with seed 28 has a
# few parameters whose nudge crosses a kink. With them ("all") the error seems enormous, without them it is as
# small as ever: a check that straddles a corner accuses code that is right.

# %%
agreeing = evaluation.mean_interval(-np.log10(checks.groupby("seed")["without kinks"].max()))
right = checks["without kinks"].max() < 1e-7 and checks["GradientTape"].max() < 1e-9
right = right and checks["at kinks"].sum() < 0.05 * checks["parameters"].sum()
tlkit.record(
    "A3.1",
    value=round(agreeing.value, 1),
    low=round(agreeing.low, 1),
    high=round(agreeing.high, 1),
    unit="digits",
    quantity="decimal digits to which backpropagation and central differences agree, worst entry",
    seeds=checks["seed"].nunique(),
    verdict="holds" if right else "does not hold",
    sentence="Backpropagation is the chain rule, applied from the loss backwards: local slopes are multiplied "
    "along each way and added where ways meet. A gradient says what a small change of a neuron's output would "
    "do to the loss, not how much the neuron contributed to it.",
)

# %% [markdown]
# ## 7. What does it cost? (claim A3.2)
#
# The assessment says that backpropagation computes the gradients *efficiently*, by applying the chain rule.
# Let us count. Nearly all the work of a network is in its matrix products, and their unit is the
# **multiply-add**: one multiplication and one addition. An array that keeps count is quickly made.
#
# First, a surprise. The chain rule only says: multiply the slopes. It does not say in which order. Take a
# chain of six layers with 200 neurons each. The loss is *one* number, so its gradient $G$ at the end is one
# row; the slopes of each layer, one for every pair of an output and an input, are a matrix $J$ of 200 by 200.
# The product $G\,J_6 J_5 \cdots J_1$ may start at either end.
#
# > **Predict.** Start at the loss (backwards) or at the input (forwards): same result? Same cost?


# %%
class Counted(np.ndarray):
    """An array that counts the multiply-adds of the matrix products it takes part in."""

    total = 0

    def __matmul__(self, other):
        Counted.total += self.size * other.shape[-1]
        return super().__matmul__(other)


def multiply_adds(function, *arguments):
    """What a function returns, and the multiply-adds that it took."""
    before = Counted.total
    result = function(*arguments)
    return result, Counted.total - before


rng = np.random.default_rng(0)
G, *J = (rng.normal(0, 200**-0.5, (rows, 200)).view(Counted) for rows in (1, *[200] * 6))
from_loss, few = multiply_adds(functools.reduce, lambda left, right: left @ right, [G, *J])
from_input, many = multiply_adds(functools.reduce, lambda right, left: left @ right, [*J[::-1], G])
print(f"from the loss {few:,}, from the input {many:,} multiply-adds: {many / few:.0f} times as many")
print(
    f"relative difference of the results: {np.abs(from_loss - from_input).max() / np.abs(from_loss).max():.0e}"
)

# %% [markdown]
# *In words:* the same numbers, by the same chain rule, at a cost that differs by a factor of more than a
# hundred. So it is not the chain rule alone that makes backpropagation efficient. It is the **order**, from
# the one loss backwards, and that intermediate results are kept and used again.
#
# ### Layer by layer
#
# A dense layer computes $Z = XW$ forward; backward it computes $G_X = G_Z W^\top$ (step b) and
# $G_W = X^\top G_Z$ (step c).
#
# > **Predict.** How many multiply-adds has each of these three, compared with the others? And in which layer
# > can one of them be left out?

# %%
LAYERS = [  # network, shape of the inputs for 32 images, shape of the weights
    ("dense", (32, 64), (64, 256)),
    ("dense", (32, 256), (256, 256)),
    ("dense", (32, 256), (256, 10)),
    ("CNN", (32, 8, 8, 1), (3, 3, 1, 8)),
    ("CNN", (32, 6, 6, 8), (3, 3, 8, 16)),
    ("CNN", (32, 256), (256, 10)),
]
DENSE = (lambda X, W: X @ W, lambda G_Z, W: step_b(G_Z, W, slope=1), step_c)
rows = []
for network, inputs, weights in LAYERS:
    X_l, W_l = np.ones(inputs).view(Counted), np.ones(weights)
    ahead, b, c = DENSE if len(weights) == 2 else (conv, conv_step_b, conv_step_c)
    Z_l, cost = multiply_adds(ahead, X_l, W_l)
    first = network not in [row[0] for row in rows]  # nobody asks for the gradient of the image
    costs = [0 if first else multiply_adds(b, Z_l, W_l)[1], multiply_adds(c, Z_l, X_l)[1]]
    rows.append((network, " x ".join(map(str, weights)), cost, *costs))
columns = ["network", "weights", "forward", "step b", "step c"]
counts = pd.DataFrame(rows, columns=columns)
print(counts.to_string(index=False, formatters=dict.fromkeys(columns[2:], "{:,}".format)))
sums = counts.groupby("network", sort=False)[columns[2:]].sum()
whole = (sums["step b"] + sums["step c"]) / sums["forward"]
print("backward over forward, whole network:", whole.round(2).to_dict())

# %% [markdown]
# *In words:* step b and step c cost exactly as much as the forward pass each, in dense layers and in
# convolutions alike; pooling, ReLU and flatten have no multiply-adds. Only the first layer needs no step b.
# So **the backward pass costs twice the forward pass, less the first layer's share**.
#
# Is that so by the clock, too? Multiply-adds are not all: there are activations to compute and numbers to
# move. We build networks of any depth and measure **in turns**: forward alone, then forward and backward, and
# so on, so that whatever slows the machine slows both. The clock counts processor time, that is, without the
# time in which other programs had the processor.


# %%
def deep(layers, width=256, seed=0):
    """Weights and biases of a network from 64 inputs over layers of this width to 10 classes."""
    rng, sizes = np.random.default_rng(seed), [64, *[width] * (layers - 1), 10]
    return [(rng.normal(0, i**-0.5, (i, o)), np.zeros(o)) for i, o in itertools.pairwise(sizes)]


def forward_all(X, network):
    """The inputs of every layer, which the backward pass will need, and the last Z."""
    inputs = [X]
    for W, b in network[:-1]:
        inputs.append(np.tanh(inputs[-1] @ W + b))
    W, b = network[-1]
    return inputs, inputs[-1] @ W + b


def predict(X, network):
    """Forward pass that keeps nothing, as is enough to predict."""
    for W, b in network:
        X = np.tanh(X @ W + b)


def both_passes(X, y, network):
    """Gradients of all layers, first to last."""
    inputs, Z = forward_all(X, network)
    G_Z, gradients = step_a(Z, y), []
    for number in reversed(range(len(network))):
        gradients.append(step_c(G_Z, inputs[number]))
        if number > 0:
            G_Z = step_b(G_Z, network[number][0], slope=1 - inputs[number] ** 2)
    return gradients[::-1]


# %% [markdown]
# > **Predict.** Forward and backward together, over forward alone: what does this ratio tend to as the
# > network gets deeper?


# %% alt="Cost of both passes over that of the forward pass by number of layers: the count rises towards 3"
def in_turns(first, second, repeats=40):
    """Seconds of two functions, called in turns: [repeats, 2]."""
    seconds = np.zeros((repeats, 2))
    for turn, column in np.ndindex(repeats, 2):
        start = clock()
        (first, second)[column]()
        seconds[turn, column] = clock() - start
    return seconds


rows, (X, y, *_) = [], digits(0, images=300)
for layers in (2, 3, 4, 6, 8):
    network = deep(layers)
    alone = multiply_adds(forward_all, X.view(Counted), network)[1]
    both = multiply_adds(both_passes, X.view(Counted), y, network)[1]
    passes = (functools.partial(forward_all, X, network), functools.partial(both_passes, X, y, network))
    quotients = np.divide(*in_turns(*passes).T[::-1])
    rows.append((layers, both / alone, *np.quantile(quotients, (0.25, 0.5, 0.75))))
ratios = pd.DataFrame(rows, columns=["layers", "counted", "lower quartile", "median", "upper quartile"])
print(ratios.round(2).to_string(index=False))
_, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.plot(ratios["layers"], ratios["counted"], color=BLUE, label="counted multiply-adds")
ax.plot(ratios["layers"], ratios["median"], "s", color=RED, label="measured time")
ax.vlines(ratios["layers"], ratios["lower quartile"], ratios["upper quartile"], color=RED)
ax.set(xlabel="layers", ylabel="both passes /\nforward pass", ylim=(1, None))
ax.legend(frameon=False, fontsize=9)
tidy(ax)

# %% [markdown]
# *In words:* the line is the count, which rises towards 3. The squares are medians of the times on the
# machine that made this page, with quartiles (a quarter of the turns lies below the lower one, a quarter
# above the upper one); they lie in the same region, and not on the line, because time holds more than
# multiply-adds: tanh, for example, is computed on the way forward only.
#
# ### Against one-at-a-time differences
#
# The simple way of section 4 needs no chain rule. Why not train with it? Because it asks for each parameter
# anew: two forward passes apiece. We count the passes, and take the time, for growing networks.
#
# > **Predict.** A network has 9,610 parameters. How many forward passes do its gradients cost by central
# > differences, and about how many by backpropagation?

# %% alt="Cost in forward passes against parameters: differences rise in proportion, backpropagation is flat"
X, y, _, _ = digits(0)


def loss():
    """The loss, and a count of how often it was asked for."""
    loss.calls += 1
    return cross_entropy(forward(X, parameters)[1], y)


rows, loss.calls = [], 0
for units in (1, 4, 16, 64, 128):
    parameters = initial(0, units)
    alone, both = np.median(in_turns(loss, functools.partial(backward, X, y, parameters)), axis=0)
    work = multiply_adds(forward, X.view(Counted), parameters)[1]
    more = multiply_adds(backward, X.view(Counted), y, parameters)[1]
    calls, start = loss.calls, clock()
    for array in parameters:
        central_differences(loss, array)
    timed = (clock() - start) / alone
    rows.append((sum(array.size for array in parameters), loss.calls - calls, timed, more / work, both / alone))
columns = ["differences: passes", "differences: time", "backpropagation: work", "backpropagation: time"]
costs = pd.DataFrame(rows, columns=["parameters", *columns]).set_index("parameters")
print(costs.round(2).to_string())
ax = costs.plot(loglog=True, style=["-", "s", "--", "o"], color=[RED, RED, BLUE, BLUE], figsize=(6.4, 3.6))
ax.set(xlabel="parameters (logarithmic)", ylabel="cost in forward passes (logarithmic)", ylim=(1, None))
tidy(ax)

# %% [markdown]
# *In words:* everything is in units of one forward pass of the same network. Central differences (red, solid
# line and squares) need exactly two passes for each parameter. Backpropagation (blue, dashed line and dots)
# stays between two and three passes of work, whatever the size. By the clock it is a little less here: with
# arrays this small, much of the time is spent on other things than multiply-adds. (A cleverer scheme of
# differences would recompute only what a nudge can change; in a deep network, that is still all the later
# layers, for each parameter.)
#
# What that means for a network of the size of VGG16 (lesson 08), if a forward pass took a tenth of a second:

# %%
size = 138_357_544  # parameters of VGG16
print(f"differences: {2 * size:,} passes, {2 * size * 0.1 / 86_400:,.0f} days for one step of gradient descent")
print(f"backpropagation: at most 3 passes of work, {3 * 0.1:.1f} seconds")
every = [*ratios["counted"], *(1 + whole), *costs["backpropagation: work"]]
linear = (costs["differences: passes"] == 2 * costs.index).all()
tlkit.record(
    "A3.2",
    value=ratios["counted"].iloc[-1],
    low=min(every),
    high=max(every),
    unit="forward passes",
    quantity="multiply-adds for all gradients by backpropagation, deepest of our networks [least, most of all]",
    verdict="holds" if linear and max(every) <= 3 else "does not hold",
    sentence="Backpropagation gets the gradients of all parameters for the work of at most three forward "
    "passes, however many parameters there are, because it applies the chain rule from the one loss backwards "
    "and reuses what it computed; one-at-a-time differences need two passes for each parameter. The price is "
    "memory for the activations of every layer.",
)

# %% [markdown]
# ### The price: memory
#
# Step c needs the inputs of every layer, and step b the slopes. So the forward pass has to **keep the
# activations** of all layers until the backward pass has used them. To predict only, each layer's output can
# be dropped as soon as the next one is computed.
#
# > **Predict.** Twice as many layers: what happens to the memory for training, and to that for predicting?
# > And twice as many images in a batch: what happens to the weights' memory, and to the activations'?


# %% alt="Memory against layers and against batch: kept activations rise with both, prediction is flat in depth"
def peak(function, *arguments):
    """Most memory that was in use at one time, in megabytes."""
    tracemalloc.start()
    function(*arguments)
    most = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return most


rows = []
for layers, n in ((2, 600), (4, 600), (8, 600), (16, 600), (8, 75), (8, 150), (8, 300)):
    net, batch, labels = deep(layers), np.resize(X, (n, 64)), np.resize(y, n)
    weights = sum(array.nbytes for pair in net for array in pair) / 1e6
    kept = sum(array.nbytes for array in forward_all(batch, net)[0][1:]) / 1e6
    rows.append((layers, n, weights, peak(predict, batch, net), kept, peak(both_passes, batch, labels, net)))
names = ["weights", "predicting (peak)", "activations kept", "training (peak)"]
table = pd.DataFrame(rows, columns=["layers", "images", *names]).round(1).sort_values(["layers", "images"])
print(table.to_string(index=False))
_, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
options = {"y": names, "style": [":", "^-", "--", "o-"], "color": [GREEN, OKABE_ITO[4], BLUE, RED]}
deeper, larger = table[table["images"] == 600], table[table["layers"] == 8]
tidy(deeper.plot(x="layers", ax=axes[0], title="600 images", ylabel="megabytes", **options))
tidy(larger.plot(x="images", ax=axes[1], title="8 layers", legend=False, **options))

# %% [markdown]
# *In words:* left, more and more layers; right, more and more images in a batch. The activations kept (blue,
# dashed; counted) grow in proportion to the images, and by the same amount with each layer. The peak of
# training (red, dots; measured) lies above them by the gradients, which take as much as the weights, and by a
# few arrays in work. (Both peaks leave out the weights themselves, which were there before.) Prediction
# (orange, triangles) hardly cares about depth, and the weights (green, dotted) do not care about the batch.
# Where the activations are the larger part, as here with 600 images, the batch size is the first place to
# look when memory runs out.
#
# What happens to the *size* of a gradient on its way back through many layers, whether it vanishes or
# explodes, is the subject of lesson 01: every step b multiplies by a weight matrix and by a slope.
#
# ## 8. What we measured

# %%
evidence.measured()

# %% [markdown]
# ## Quiz
#
# **1. A number $h$ feeds two neurons of the next layer. Through the first arrives the gradient 3, through the
# second −5. What is the gradient of $h$?**
#
# A. −5, the one of larger size
#
# B. −1, their mean
#
# C. −2, their sum
#
# D. −15, their product
#
# <details><summary>Answer</summary>
#
# **C.** A nudge of $h$ travels both ways, and both effects reach the loss.
#
# A takes the strongest way for the only one: in section 2, $G_x$ was $-4 + 6 = 2$, not 6. B confuses this sum
# with the mean over the images of a batch, which the loss contains; the check in section 4 caught "mean for
# the bias", the same confusion. D multiplies where it should add: slopes are multiplied *along* a way and
# added *across* ways.
# </details>
#
# **2. A gradient check of a dense network of two layers shows relative errors of 1e-10 for $W_2$ and $b_2$,
# 0.3 for $W_1$ and $b_1$. Where is the mistake?**
#
# A. In step a, the gradient of the output
#
# B. In step b, on the way back through the second layer
#
# C. Nowhere: 1e-10 shows that the network is right
#
# D. In the labels
#
# <details><summary>Answer</summary>
#
# **B.** What lies to the right of the mistake is right, all that lies to the left is wrong: the row "slope
# forgotten" of section 4.
#
# A would have spoilt $W_2$ and $b_2$, too, as "not divided by n" did. C looks at one array only; each has to
# be checked. D cannot be seen by any check of this kind: with wrong labels in both passes all errors stayed
# at the level of rounding.
# </details>
#
# **3. Your check uses $h = 10^{-5}$ in `float64`. A friend advises $h = 10^{-12}$, "since a derivative is the
# limit of a small step". What happens?**
#
# A. The check becomes more exact
#
# B. Nothing: central differences do not depend on $h$
#
# C. The check becomes worse, because the loss bends more at small steps
#
# D. The check becomes worse, because the two losses agree in almost all of their digits
#
# <details><summary>Answer</summary>
#
# **D.** The left arm of the V in section 4 is rounding.
#
# A is the limit of mathematics, with endless digits; a computer has about 16. B is refuted by the V itself. C
# has it the wrong way round: bending (truncation) is the error of *large* steps, the right arm.
# </details>
#
# **4. In a trained network the gradient of the loss with respect to a neuron's output is almost zero. Which
# conclusion is right?**
#
# A. A small change of its output would hardly change the loss
#
# B. The neuron contributes nothing and can be removed
#
# C. The neuron is dead: its output is always zero
#
# D. The neuron has not learned anything yet
#
# <details><summary>Answer</summary>
#
# **A**, and nothing more.
#
# B: in section 5 the gradient predicted only a part of what removal really did, and in the network that fits
# exactly, gradient zero, each neuron was needed. C confuses the gradient of a neuron with its output: in that
# network the outputs were 2 and 1. D has it backwards: the gradients shrank *because* the network had
# learned.
# </details>
#
# **5. You replace a network by one with ten times as many parameters, by making its layers wider. How does
# the cost of backward pass over forward pass change?**
#
# A. It grows tenfold
#
# B. It hardly changes: it stays at two or less
#
# C. It grows a hundredfold, since every weight affects every other
#
# D. It falls to one, since the backward pass reuses the forward pass
#
# <details><summary>Answer</summary>
#
# **B.** Both passes grow alike: each layer costs one product forward and two backward, the first layer one.
# (In section 7 both passes together stayed near 2.1 forward passes for a network of two layers, and below 3
# for deeper ones.)
#
# A is right for differences one at a time, whose number of passes grew in proportion to the parameters; C has
# no counterpart in what we counted. D: reuse is what keeps it at two or less rather than thousands, but steps
# b and c are two products for each one of the forward pass, in all layers but the first.
# </details>
#
# **6. Training stops with "out of memory", although the weights fill only a tenth of it. What helps most
# directly?**
#
# A. A smaller learning rate
#
# B. A smaller batch
#
# C. Fewer training images on disk
#
# D. Computing the backward pass layer by layer
#
# <details><summary>Answer</summary>
#
# **B.** Activations are kept for every image of the batch; in section 7 they grew in proportion to it.
#
# A changes the size of steps, and no array. C confuses the data set with the batch that is in memory. D is
# what backpropagation does already; the activations must be there when their layer's turn comes.
# </details>
#
# **Next:** [04 The anatomy of a CNN](04_cnn_anatomy.ipynb). Back to [02 Gradient
# descent](02_gradient_descent.ipynb).
