# %% [markdown]
# # 00 Start here
#
# **After this lesson you can** (1) find your way through the course, (2) run a first experiment that
# compares two ways of training a network, (3) read its result with its *spread*, which is what most
# course material leaves out.
#
# **It answers** no question of the assessments yet; it prepares all of them.
#
# **Time:** 20 minutes; about half a minute of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* open, run, predict, read an interval. *Prerequisites:* a little Python. *To teach:*
# 20 minutes. *Prepares:* every lesson.
# </details>

# %% [markdown]
# ## How this course works
#
# You have probably read that "CNNs are translation invariant" or that "fine-tuning beats feature
# extraction". Such sentences are repeated everywhere, and many are half true. In this course **every
# statement is measured in front of you**. Each one has a number, such as A10.1, an experiment, a result
# with its uncertainty, and a verdict: *holds*, *holds when …*, or *does not hold*. Together the verdicts
# make up the **ledger**.
#
# A lesson goes in a rhythm of three: **predict** (a question; answer it before you go on, even wrongly),
# **run** (the next cell), **explain** (what the figure shows, in words).
#
# To run a cell, click into it and press Shift + Enter. Run them from top to bottom. Everything works
# without a network, on two cores.

# %%
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import tlkit
from tlkit import evaluation, image_plots, plots

# %% [markdown]
# ## The pictures
#
# Our running example is `wild_digits`: real handwritten digits that were bent, coloured and laid over
# parts of two photographs. Ten **classes**, 0 to 9. An image whose class we tell the network is called
# **labelled**; labels are what costs money in practice, so we take only 10 for each class.

# %%
digits = tlkit.load_dataset("wild_digits", train_per_class=10, seed=0)
print(digits.description)
digits.summary().T

# %% [markdown]
# The table counts the images of each class in the three **splits**. We *train* on the first. We make
# choices, such as when to stop, on the *validation* split. We look at the *test* split once, at the end:
# it tells how good the result is on images that influenced nothing. No handwritten digit is in two
# splits.

# %% alt="Fourteen small colour pictures of handwritten digits over photographs, with their classes"
figure = image_plots.plot_images(
    digits.train.images[:14],
    [digits.class_names[label] for label in digits.train.labels[:14]],
    columns=7,
)

# %% [markdown]
# *In words:* fourteen small colour pictures, each with one digit, often hard to make out, over petals,
# roofs or trees; the class is written above each.
#
# Move the slider to see others (on a page without Python it shows the first one).

# %%
def show(position=0):
    """Show one training image, enlarged, with its class."""
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.imshow(digits.train.images[position])
    ax.set(title=digits.class_names[digits.train.labels[position]], xticks=[], yticks=[])
    plt.show()


ipywidgets.interact(show, position=(0, len(digits.train) - 1));

# %% [markdown]
# ## A first experiment
#
# We train the same small network, `mini_resnet`, in two ways:
#
# - **from scratch**: all its weights start as random numbers;
# - **partial**: its weights start as they were after learning *another* task (letters, outlines,
#   textures; no digits). The part next to the image stays **frozen**, which means unchanged; the last
#   part is trained. This is a kind of *transfer learning*.
#
# One **step** shows the network 32 images and corrects its weights a little. Both ways get the same 80
# steps.
#
# > **Predict.** Guessing would be right for one image in ten. How much of the test split will each of
# > the two get right?

# %%
runs = [
    tlkit.fit(digits, backbone="mini_resnet", strategy=strategy, epochs=4, steps_per_epoch=20, seed=seed)
    for strategy in ("scratch", "partial")
    for seed in (0, 1, 2)
]
results = pd.DataFrame(
    {
        "backbone": run.backbone,
        "strategy": run.strategy,
        "seed": run.seed,
        "test_accuracy": run.metrics["accuracy"],
    }
    for run in runs
)
results.pivot(index="strategy", columns="seed", values="test_accuracy").round(3)

# %% alt="Test accuracy of three runs each from scratch, near guessing, and by partial fine-tuning, far above"
ax = plots.plot_accuracy(results, chance=0.1)

# %% [markdown]
# *In words:* one dot for each training run, one row for each strategy; the bar is a 95 % interval. The
# dots of `partial` lie far to the right of those of `scratch`, which lie near the dotted line of
# guessing.
#
# ## Why three dots?
#
# A **seed** is the number from which all chance in a run is drawn: the first random weights, the order of
# the images. Another seed gives another result, although nothing else changed. One run each would not
# tell whether a difference is real or luck. So we ask: *how large is the difference, and how sure are
# we?*

# %%
correct = {
    strategy: np.stack(
        [r.test_predictions.argmax(1) == digits.test.labels for r in runs if r.strategy == strategy]
    )
    for strategy in ("partial", "scratch")
}
difference = evaluation.paired_difference(correct["partial"], correct["scratch"])
print(
    f"partial minus scratch: {difference.difference:.2f}, "
    f"95 % interval [{difference.low:.2f}, {difference.high:.2f}], p = {difference.p_value:.4f}"
)

# %% [markdown]
# The **interval** is the range of differences that fit what we saw. It was found by repeating the
# comparison many times on test images drawn anew from ours (a *bootstrap*) and adding the spread between
# seeds. It lies far above zero, so this difference is not luck. When an interval contains zero, this
# course does not say "better".
#
# ## What was trained?
#
# "Frozen" is easily said. Code that silently freezes nothing, or freezes less than it says, is found in
# famous tutorials. Here a report shows it, and `tlkit.fit` asserts it after training, to the last bit.

# %% tags=["exact"]
# NBVAL_CHECK_OUTPUT
partial = runs[-1]
print(tlkit.trainable_report(partial.model).to_string(index=False))

# %% [markdown]
# *In words:* the network's five stages, the image's side first, and the new **head** that names the
# class. `trainable` counts the weights that training may change: none in the first four stages.
#
# ## Where it is wrong
#
# A good habit: look at the mistakes, the surest first.

# %% alt="Eight test images that the network got most confidently wrong, with true and predicted class"
figure = image_plots.plot_wrong(
    digits.test.images,
    digits.test.labels,
    partial.test_predictions,
    digits.class_names,
    count=8,
    columns=4,
)

# %% [markdown]
# *In words:* eight test images; above each its true class, what the network said, and how sure it was.
# You will find some of them hard yourself.
#
# ## What we measured

# %%
pd.DataFrame(
    {
        strategy: str(evaluation.accuracy_interval(correct[strategy]))
        for strategy in ("scratch", "partial")
    }.items(),
    columns=["strategy", "test accuracy [95 % interval]"],
)

# %% [markdown]
# ## Test yourself
#
# <details><summary>1. Two strategies reach 0.71 and 0.73 in one run each. Which is better?</summary>
#
# Nobody can tell. One run each says nothing about the spread between seeds. Run at least three seeds and
# look at the interval of the difference.
# </details>
#
# <details><summary>2. Why not choose the best epoch on the test split?</summary>
#
# Because the test split would then have influenced a choice, and its accuracy would flatter us. Choices
# are made on the validation split.
# </details>
#
# <details><summary>3. The frozen stages were trained on letters and textures. Why do they help with
# digits?</summary>
#
# They turn pixels into edges, strokes and shapes that stand out from any background. Digits are made of
# these, too. Lesson 07 measures how far this carries.
# </details>
#
# **Next:** lessons 01 to 06 build up what a network is; [07 Transfer learning](07_transfer_learning.ipynb)
# goes on from here.
