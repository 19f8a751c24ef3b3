# %% [markdown]
# # 07 Transfer learning
#
# **After this lesson you can** (1) turn a pretrained network into a classifier for your own images,
# (2) freeze a part of it and *prove* that it stayed frozen, (3) say, with numbers, when starting
# from a pretrained network pays, which layers are worth keeping, and what each strategy costs.
#
# **It answers** question 10 of Assessment 4 (transfer learning) and questions 1 and 2 of the
# image-classification assignment (design choices, merits and demerits).
#
# **Time:** 60 minutes to work through; about one minute of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* build, freeze, assert, compare, decide. *Prerequisites:* what a convolution, an
# epoch and a validation split are (lessons 04 and 06). *To teach:* 60 minutes. *Prepares:* homework
# 2 (architectures and transfer) and homework 3 (design choices).
# </details>

# %%
import functools

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import tlkit
from tlkit import curve_plots, evaluation, evidence, image_plots
from tlkit.strategies import STRATEGIES

# %% [markdown]
# ## 1. Two tasks
#
# *Transfer learning* means: take what a network learned on one task (the **source**) and use it for
# another one (the **target**). Here the source is a mixture of letters, symbols, outlines, fractals,
# textures and bits of photographs, all drawn by code. **No digit was in it.** The target is real
# handwriting: scikit-learn's digits, warped, coloured and laid over photographs.

# %% alt="Two rows of eight small pictures: letters over photographs above, handwritten digits over photographs below"
letters = tlkit.load_dataset("glyphs", train_per_class=1, seed=0)
target = tlkit.load_dataset("wild_digits", train_per_class=20, seed=0)
chosen = np.random.default_rng(0).permutation(len(letters.train))[:8]
figure = image_plots.plot_images(
    np.concatenate([letters.train.images[chosen], target.train.images[::25]]),
    [f"source: {letters.class_names[i]}" for i in letters.train.labels[chosen]]
    + [f"target: {i}" for i in target.train.labels[::25]],
    columns=8,
)

# %% [markdown]
# *In words:* two rows of eight small pictures. Above, single letters in many colours over parts of a
# flower or a temple; below, handwritten digits treated in the same way.
#
# ## 2. The mechanism, by hand
#
# A pretrained network without its last, task-specific layer is called a **backbone**. We put a new
# last layer, the **head**, on it. Below is all there is to it: five lines of Keras.

# %%
keras.utils.set_random_seed(0)
backbone = tlkit.load_backbone("mini_resnet")
pixels = keras.Input((64, 64, 3))
features = backbone.model(backbone.preprocess(pixels))
features = keras.layers.GlobalAveragePooling2D()(features)
probabilities = keras.layers.Dense(10, activation="softmax")(features)
model = keras.Model(pixels, probabilities)

# %% [markdown]
# `backbone.preprocess` matters: every network expects pixels in the form it was trained on (this one:
# from −1 to 1). The wrong form raises no error. It only costs accuracy.
#
# Now we **freeze** the backbone: its weights shall not change. The backbone has five **stages**,
# `block1` (next to the image) to `block5`. We freeze all of them, so that only the head is trained.
# The table shows what would be trained.

# %% tags=["exact"]
# NBVAL_CHECK_OUTPUT
tlkit.freeze(model, until="block5")
print(tlkit.trainable_report(model).to_string(index=False))

# %% [markdown]
# Read the last column, too. *BatchNormalization* layers keep running averages of what passes through
# them. A frozen network must not update these either, and in Keras 3 that needs more than the widely
# taught `training=False`; lesson 11 shows the trap. `tlkit.freeze` sets it right.
#
# > **Predict.** We train for three epochs. How many of the backbone's weight tensors will have
# > changed afterwards, even in the last digit: none, a few, or about half?

# %%
before = tlkit.weight_snapshot(model)
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(
    target.train.images,
    target.train.labels,
    validation_data=(target.validation.images, target.validation.labels),
    epochs=3,
    verbose=0,
)
after = tlkit.weight_snapshot(model)
tlkit.assert_only_trained(before, after, stages=["head"])
moved = [
    path for path, value in before.values.items() if not np.array_equal(value, after.values[path])
]
print(f"{len(moved)} of {len(before.values)} weight tensors moved: {moved}")

# %% [markdown]
# Only the head's two tensors moved, to the last bit. **Never believe a freeze; assert it.** Changing
# `trainable` without compiling again, for example, does nothing and says nothing. From here on
# `tlkit.fit` does these steps for us: it builds, freezes, compiles, trains, asserts after every phase,
# keeps the best epoch by *validation* accuracy, and looks at the test split once.
#
# ## 3. An experiment, small here and large in store
#
# A verdict needs many runs: several numbers of labels, several strategies, six seeds. That takes several
# minutes, so the course keeps the whole table in `data/results`, and one command makes it again
# (`python benchmarks/reference_results.py transfer`). **Here we run a part of it live, with the very
# function that made the table**, and check that both agree.

# %%
SETTINGS = {"backbone": "mini_resnet", "epochs": 3, "steps_per_epoch": 30}


@functools.cache
def load(name, labels, seed):
    """Load a data set once; the seed decides which images are in which split."""
    return tlkit.load_dataset(name, train_per_class=labels, seed=seed)


def measure(name, labels, strategy, seed, until=None):
    """Fit once; return one row of results."""
    data = load(name, labels, seed)
    run = tlkit.fit(data, strategy=strategy, seed=seed, until=until, **SETTINGS)
    return {
        "task": name,
        "labels per class": labels,
        "strategy": strategy,
        "until": until or "",
        "seed": seed,
        "test_accuracy": run.metrics["accuracy"],
        "train_accuracy": run.history["accuracy"][run.best_epoch - 1],
        "seconds": run.seconds,
        "trained": run.trainable_parameters,
    }


# %% [markdown]
# With 20 labels a class on `wild_digits`, from three seeds each: training everything from random weights
# (`scratch`), training everything from pretrained weights (`full`), training the last stage and the head
# (`partial`), training the head only (`feature_extraction`). All get the same 90 steps.
#
# > **Predict.** Order the four by test accuracy. Which order would you expect for the seconds?
#
# About half a minute.

# %%
live = pd.DataFrame(
    measure("wild_digits", 20, strategy, seed, until)
    for strategy, until in (
        ("scratch", None),
        ("full", None),
        ("partial", "block4"),
        ("feature_extraction", None),
    )
    for seed in (0, 1, 2)
)

# %%
stored = pd.read_csv("../data/results/transfer.csv").fillna({"until": ""})
key = ["task", "labels per class", "strategy", "until", "seed"]
both = live.merge(stored, on=key, suffixes=(" live", " stored"))
columns = ["test_accuracy live", "test_accuracy stored"]
print(both.groupby("strategy", sort=False)[columns].mean().round(3))
assert (both[columns[0]] - both[columns[1]]).groupby(both["strategy"]).mean().abs().max() < 0.1

# %% [markdown]
# The live means and the stored ones of the same seeds agree to within a tenth, mostly much better. (They
# need not be equal: another processor rounds in another order, and training amplifies that.) From here on
# we use the stored table, which has six seeds.
#
# ## 4. When does it pay? (claims A10.1 and B3)
#
# The assessment says that transfer helps most when the target set is small. We look at 5 to 100
# labels for each class, pretrained (`full`) against random (`scratch`), **with the same number of
# steps**, twice: on plain digits, an easy task, and on the wild ones.
#
# > **Predict.** For each of the two tasks: at how many labels is the advantage of the pretrained
# > network largest?

# %% alt="Test accuracy against labels per class for fine-tuning and for training from scratch, on digits and on wild_digits"
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for ax, name in zip(axes, ("digits", "wild_digits"), strict=True):
    chosen = stored[(stored["task"] == name) & stored["strategy"].isin(["full", "scratch"])]
    curve_plots.plot_label_curve(chosen, ax=ax)
    ax.set(title=name, ylim=(0, 1))

# %%
def advantage(task, labels):
    """Pretrained minus scratch for each seed, in points of test accuracy."""
    at = stored[(stored["task"] == task) & (stored["labels per class"] == labels)]
    wide = at.pivot_table(index="seed", columns="strategy", values="test_accuracy")
    return 100 * (wide["full"] - wide["scratch"])


def interval(values):
    """Mean over seeds with its 95 % interval."""
    return evaluation.mean_interval(values.to_numpy())


for task, sizes in (("digits", (5, 100)), ("wild_digits", (5, 20, 100))):
    for labels in sizes:
        print(f"{task:12} {labels:4} labels a class: {interval(advantage(task, labels))} points")

# %% [markdown]
# *In words:* on plain digits (left) the pretrained network is ahead with 5 labels a class, and by 100
# labels the network from scratch has caught up. On the wild digits (right) the network from scratch hardly
# leaves the floor of guessing, 0.1, while the pretrained one climbs: here the advantage *grows* with the
# labels. So "the smaller the set, the more transfer helps" needs a condition: it holds **once training
# from scratch works at all**. Before that, one end of the curve is at the floor.
#
# Is the wild task impossible from scratch, then? With every label that there is and more steps it is not:

# %%
families = pd.read_csv("../data/results/pretraining.csv", dtype={"labels": str})
everything = families.query("family == 'mini_resnet' and labels == 'all'")
pictures = len(tlkit.load_dataset("wild_digits").train)
print(f"{pictures:,} pictures to train on")
print(everything.groupby(["target", "start"])["test_accuracy"].agg(["mean", "std", "count"]).round(3))

# %%
closing = interval(advantage("digits", 5) - advantage("digits", 100))
opening = interval(advantage("wild_digits", 5) - advantage("wild_digits", 100))
print(f"advantage at 5 labels minus at 100: digits {closing}, wild_digits {opening} points")
if closing.low > 0 > opening.high:
    verdict = "holds when training from scratch works at all"
else:
    verdict = "holds" if closing.low > 0 else "does not hold"
tlkit.record(
    "A10.1",
    value=closing.value,
    low=closing.low,
    high=closing.high,
    unit="points",
    quantity="advantage of pretraining on digits, at 5 labels a class minus at 100",
    seeds=6,
    verdict=verdict,
    sentence="Pretraining helps most with the fewest labels at which the pretrained network can "
    "already learn the task; its advantage closes as training from scratch catches up.",
)

# %% [markdown]
# The assignment says that training from scratch *needs much data and time*. It calls this "training the
# pre-trained model completely from scratch", which cannot be: a model trained from scratch starts
# random, so nothing of the pretraining is left. What is kept is the *architecture*.

# %%
lack = interval(advantage("wild_digits", 20))
tlkit.record(
    "B3",
    value=lack.value,
    low=lack.low,
    high=lack.high,
    unit="points",
    quantity="fine-tuned minus scratch on wild_digits, 20 labels a class, equal steps",
    seeds=6,
    verdict="holds" if lack.low > 0 else "does not hold",
    sentence="Training the same architecture from random weights needs many more labels and steps "
    "than fine-tuning to reach the same accuracy; on an easy task the difference is small.",
)

# %% [markdown]
# ## 5. How much to train: shallow, deep, all (claims B1 and B2)
#
# The assignment names three choices: train the head only (*shallow fine-tuning*, `feature_extraction`),
# some stages near the head (*deep fine-tuning*, `partial`), or everything. We unfreeze one more stage at a
# time, on 20 labels a class.
#
# > **Predict.** Order these by test accuracy: head only, head and one stage, two, three, all five. Then
# > by the gap between training and test accuracy.

# %% alt="Test accuracy, train-test gap and seconds against the number of stages unfrozen"
depth = stored[(stored["labels per class"] == 20) & (stored["task"] == "wild_digits")]
depth = depth[depth["strategy"] != "scratch"].assign(gap=lambda t: t["train_accuracy"] - t["test_accuracy"])
stages = {"feature_extraction": 0, "partialblock4": 1, "partialblock3": 2, "partialblock2": 3, "full": 5}
depth["unfrozen"] = (depth["strategy"] + depth["until"]).map(stages)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
labels = {
    "test_accuracy": "test accuracy",
    "gap": "training minus test accuracy",
    "seconds": "seconds of training",
}
for ax, (column, label) in zip(axes, labels.items(), strict=True):
    ax.plot(depth["unfrozen"], depth[column], "o", color="0.7", markersize=4)
    ax.plot(depth.groupby("unfrozen")[column].mean(), "-o", color="#0072B2")
    ax.set(xlabel="stages unfrozen", ylabel=label, xticks=[0, 1, 2, 3, 5])
    ax.grid(alpha=0.3)

# %%
summary = depth.groupby("unfrozen")[["trained", "test_accuracy", "gap", "seconds"]].mean()
summary.assign(trained=summary["trained"].astype(int)).round(3)

# %% [markdown]
# *In words:* grey dots are single seeds, the blue line is their mean; from left to right more of the
# network is trained. The middle figure shows how much better the network knows its training images than
# new ones, the rightmost one the cost. (The seconds are those of the machine that made the table.)

# %%
def by_depth(column, one, other):
    """Difference of two depths by seed, with an interval over seeds."""
    by = depth.pivot(index="seed", columns="unfrozen", values=column)
    return interval(by[one] - by[other])


gap, seconds = by_depth("gap", 0, 5), by_depth("seconds", 0, 5)
print(f"head only minus everything: gap {gap}, seconds {seconds}")
tlkit.record(
    "B1",
    value=100 * gap.value,
    low=100 * gap.low,
    high=100 * gap.high,
    unit="points",
    quantity="gap between training and test accuracy, head only minus everything trained",
    seeds=6,
    verdict="holds" if max(gap.high, seconds.high) < 0 else "does not hold",
    sentence="Training only the head is by far the cheapest choice and leaves the smallest gap "
    "between training and test accuracy; a small gap is not the same as the best test accuracy.",
)

# %%
over_head = by_depth("test_accuracy", 1, 0)
over_all = by_depth("test_accuracy", 1, 5)
cheaper = by_depth("seconds", 1, 5)
print(f"one stage minus head only: {over_head}")
print(f"one stage minus everything: {over_all}, seconds {cheaper}")
balanced = over_all.low > 0 and cheaper.high < 0
tlkit.record(
    "B2",
    value=100 * over_all.value,
    low=100 * over_all.low,
    high=100 * over_all.high,
    unit="points",
    quantity="test accuracy, last stage and head minus everything, 20 labels a class",
    seeds=6,
    verdict="holds" if balanced and over_head.low > 0
    else "holds when compared with training everything" if balanced
    else "does not hold",
    sentence="With few labels, training the last stage beats training everything and costs less; "
    "whether it also beats the head alone is a question for the validation split.",
)

# %% [markdown]
# ## 6. Which layers are general? (claim A10.2)
#
# The assessment says: lower layers are general, upper ones specific. Yosinski et al. (2014) tested it by
# *transplanting*: keep the first $k$ stages frozen, start the others anew at random, train those. If the
# kept stages are general, this works for a **far** target as well as for a near one. Our far target is
# `oct_phantom`: simulated scans of the retina, grey and speckled, with a lesion or without.
#
# The transplant is in plain sight:

# %%
def transplant(kept, seed):
    """A backbone whose first `kept` stages are pretrained and whose others are new."""
    backbone = tlkit.load_backbone("mini_resnet")
    new = tlkit.load_backbone("mini_resnet", weights=None, seed=seed)
    for stage in list(backbone.stages)[kept:]:
        for name in backbone.stages[stage]:
            backbone.model.get_layer(name).set_weights(new.model.get_layer(name).get_weights())
    return backbone


def graft(name, kept, seed):
    """Test accuracy with `kept` pretrained, frozen stages below new ones."""
    settings = SETTINGS | {"backbone": transplant(kept, seed), "seed": seed}
    plan = {0: ("full", None), 5: ("feature_extraction", None)}
    strategy, until = plan.get(kept, ("partial", f"block{kept}"))
    data = load(name, 100, seed)
    run = tlkit.fit(data, strategy=strategy, until=until, batchnorm="update", **settings)
    return {"target": name, "kept": kept, "seed": seed, "test_accuracy": run.metrics["accuracy"]}


# %% [markdown]
# > **Predict.** For each target: which number of kept stages gives the best test accuracy? Does the
# > far target lose by keeping all five?
#
# About 15 seconds for $k = 3$ on both targets; the stored table has every $k$, over six seeds.

# %%
grafts = pd.DataFrame(
    graft(name, 3, seed) for name in ("wild_digits", "oct_phantom") for seed in (0, 1, 2)
)

# %% alt="Test accuracy against the number of pretrained stages kept, near target left, far target right"
whole = pd.read_csv("../data/results/transplants.csv")
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
for ax, (name, chance) in zip(axes, (("wild_digits", 0.1), ("oct_phantom", 0.5)), strict=True):
    spread = whole[whole["target"] == name].groupby("kept")["test_accuracy"].agg(["mean", "std"])
    ax.errorbar(spread.index, spread["mean"], spread["std"], color="#0072B2", capsize=3, label="stored")
    here = grafts[grafts["target"] == name]
    ax.plot(here["kept"], here["test_accuracy"], "o", color="#D55E00", label="just measured")
    ax.axhline(chance, color="0.6", linestyle=":", label="guessing")
    ax.set(xlabel="pretrained stages kept, frozen", ylabel="test accuracy", title=name)
axes[0].legend(frameon=False);

# %% [markdown]
# *In words:* left the near target, right the far one. Zero kept stages is training from scratch, five is
# a fixed feature extractor; bars are one standard deviation over seeds.

# %%
def kept_minus(name, one, other):
    """Accuracy with `one` kept stages minus with `other`, in points, by seed."""
    by = whole[whole["target"] == name].pivot(index="seed", columns="kept", values="test_accuracy")
    return 100 * (by[one] - by[other])


targets = ("wild_digits", "oct_phantom")
for name in targets:
    print(f"{name}: keeping the first three stages adds {interval(kept_minus(name, 3, 0))} points,")
    print(f"    keeping the last two as well {interval(kept_minus(name, 5, 3))}")

# %% [markdown]
# *In words:* keeping the first three stages lifts both targets far above starting anew: these stages are
# **general**. After that the curves turn down: the near target still gains from a fourth stage and then
# loses with the fifth, the far one is best at three. What is **specific** to the source task sits at the
# top. It is not worthless, but frozen it stands in the way.

# %%
excess = {name: interval(kept_minus(name, 3, 0) - kept_minus(name, 5, 3)) for name in targets}
far = excess["oct_phantom"]
tlkit.record(
    "A10.2",
    value=far.value,
    low=far.low,
    high=far.high,
    unit="points",
    quantity="far target: what keeping the first three stages adds, minus what the last two add",
    seeds=6,
    verdict="holds" if min(found.low for found in excess.values()) > 0 else "does not hold",
    sentence="The first stages carry over to near and far targets alike; the last ones are tied to the "
    "source task, and keeping them frozen adds nothing.",
)

# %% [markdown]
# ## 7. Feature extraction or fine-tuning? (claim A10.3)
#
# If the upper stages are specific, a *fixed* feature extractor should do for a near target, and a far one
# should need fine-tuning. We compare `feature_extraction` with `full` on both, with 100 labels a class.
#
# > **Predict.** On which target does fine-tuning gain more over the fixed extractor?

# %%
hundred = stored[(stored["labels per class"] == 100) & stored["task"].isin(targets)]
wide = hundred.pivot_table(index=["task", "seed"], columns="strategy", values="test_accuracy")
gain = 100 * (wide["full"] - wide["feature_extraction"])
near, far = gain["wild_digits"], gain["oct_phantom"]
print(f"gain of fine-tuning: near {interval(near)}, far {interval(far)} points")
more = interval(far - near)
if more.low > 0:
    verdict = "holds"
elif more.high < 0:
    verdict = "does not hold"
else:
    verdict = "holds when a difference within the spread between seeds counts"
tlkit.record(
    "A10.3",
    value=more.value,
    low=more.low,
    high=more.high,
    unit="points",
    quantity="gain of fine-tuning over feature extraction, far target minus near target",
    seeds=6,
    verdict=verdict,
    sentence="On a target near the source, fixed features are hard to beat with few labels; the further "
    "the target, the more there is to gain from fine-tuning. Compare both on the validation split.",
)

# %% [markdown]
# ## 8. What we measured

# %%
evidence.measured()

# %% [markdown]
# And a control to play with: choose two of the strategies and see which stages each one trains.

# %%
def trained_stages(first="feature_extraction", second="partial"):
    """Show which stages two strategies train at some time during a run."""
    chosen = [STRATEGIES[name] for name in dict.fromkeys((first, second))]
    columns = ["block1", "block2", "block3", "block4", "block5", "head"]
    table = pd.DataFrame(
        [["trained" if stage in s.trained else "frozen" for stage in columns] for s in chosen],
        index=[s.name for s in chosen],
        columns=columns,
    )
    return table


ipywidgets.interact(trained_stages, first=list(STRATEGIES), second=list(STRATEGIES)[::-1]);

# %% [markdown]
# ## Test yourself
#
# <details><summary>1. You freeze a backbone, but its BatchNormalization averages move during training.
# What happened, and what harm does it do?</summary>
#
# The layers were in training mode: in Keras 3 only `trainable = False` on the layer keeps them in
# inference mode, and only after compiling again. The backbone's features then drift with your small set,
# and the "frozen" network is not the one that was pretrained. An assertion on the weights finds it.
# </details>
#
# <details><summary>2. With 5 labels a class, fine-tuning beats training from scratch by 3 points. Does
# that show that pretraining does not help small sets?</summary>
#
# Not yet. If both are near guessing, there is nothing to compare: the pretrained network needs enough
# labels to show what it knows. Look at more labels, and at the interval.
# </details>
#
# <details><summary>3. A colleague says: "I trained the pretrained ResNet from scratch." What do you
# ask?</summary>
#
# Whether the weights started random (then nothing is pretrained: it is the *architecture* that was used)
# or pretrained with everything trainable (then it is full fine-tuning).
# </details>
#
# **Next:** 08 VGG. Back to [00 Start here](00_start_here.ipynb).
