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
# **Time:** 60 minutes to work through; about 2 minutes of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* build, freeze, assert, compare, decide. *Prerequisites:* what a convolution, an
# epoch and a validation split are (lessons 04 and 06). *To teach:* 60 minutes. *Prepares:* homework
# 2 (architectures and transfer) and homework 3 (design choices).
# </details>

# %%
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
# ## 3. When does it pay? (claims A10.1 and B3)
#
# The assessment says that transfer helps most when the target set is small. We measure test accuracy
# with 5, 20 and 100 labels for each class, starting pretrained (`full`: everything is trained) or
# random (`scratch`), **with the same number of steps**, over three seeds. And we do it twice: on plain
# digits, an easy task, and on the wild ones.
#
# > **Predict.** For each of the two tasks: at how many labels is the advantage of the pretrained
# > network largest?

# %%
SETTINGS = {"backbone": "mini_resnet", "epochs": 3, "steps_per_epoch": 30}
SEEDS = (0, 1, 2)


def measure(name, labels, strategy, seed, **settings):
    """Fit once; return one row of results and the run."""
    dataset = tlkit.load_dataset(name, train_per_class=labels, seed=seed)
    run = tlkit.fit(dataset, strategy=strategy, seed=seed, **SETTINGS, **settings)
    return {
        "task": name,
        "labels per class": labels,
        "strategy": strategy,
        "seed": seed,
        "test_accuracy": run.metrics["accuracy"],
        "train_accuracy": run.history["accuracy"][run.best_epoch - 1],
        "seconds": run.seconds,
        "trained": run.trainable_parameters,
    }


# %% [markdown]
# About 30 seconds for each of the next two cells.

# %%
easy = pd.DataFrame(
    measure("digits", labels, strategy, seed)
    for strategy in ("full", "scratch")
    for labels in (5, 20, 100)
    for seed in SEEDS
)

# %%
hard = pd.DataFrame(
    measure("wild_digits", labels, strategy, seed)
    for strategy in ("full", "scratch")
    for labels in (5, 20, 100)
    for seed in SEEDS
)

# %% alt="Test accuracy against labels per class for fine-tuning and for training from scratch, on digits and on wild_digits"
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for ax, results, title in zip(axes, (easy, hard), ("digits (easy)", "wild_digits (hard)"), strict=True):
    curve_plots.plot_label_curve(results, ax=ax)
    ax.set_title(title)

# %%
def advantage(results, labels):
    """Pretrained minus scratch for each seed, in points of test accuracy."""
    at = results[results["labels per class"] == labels]
    wide = at.pivot(index="seed", columns="strategy", values="test_accuracy")
    return 100 * (wide["full"] - wide["scratch"])


gains = pd.DataFrame(
    {name: {n: advantage(results, n).mean() for n in (5, 20, 100)}
     for name, results in (("digits", easy), ("wild_digits", hard))}
)
gains.rename_axis("labels per class").round(1)

# %% [markdown]
# *In words:* on plain digits (left) the pretrained network is far ahead with 5 labels a class, and by
# 100 labels the network from scratch has nearly caught up. On the wild digits (right) the network from
# scratch stays near 10 %, which is guessing, at all three sizes, while the pretrained one climbs: here
# the advantage *grows* with the labels. The table gives it in points of accuracy.
#
# So "the smaller the set, the more transfer helps" needs a condition: it holds **once training from
# scratch works at all**. Before that, both ends of the curve are near the floor. The course keeps a
# larger table, made beforehand with all labels (more than 8,000 pictures) and more steps:

# %%
stored = pd.read_csv("../data/results/pretraining.csv").query("family == 'mini_resnet'")
everything = stored[(stored["target"] == "wild_digits") & (stored["labels"] == "all")]
print(everything.groupby("start")["test_accuracy"].agg(["mean", "std", "count"]).round(3))

# %% [markdown]
# With all labels training from scratch does learn the wild digits. The task was never impossible;
# labels were missing.

# %%
closing = evaluation.mean_interval((advantage(easy, 5) - advantage(easy, 100)).to_numpy())
opening = evaluation.mean_interval((advantage(hard, 5) - advantage(hard, 100)).to_numpy())
print(f"advantage at 5 minus at 100 labels: digits {closing} points, wild_digits {opening} points")
tlkit.record(
    "A10.1",
    value=closing.value,
    low=closing.low,
    high=closing.high,
    unit="points",
    quantity="advantage of pretraining on digits, at 5 labels a class minus at 100",
    seeds=3,
    verdict="holds when training from scratch works at all"
    if closing.low > 0 > opening.high
    else "holds" if closing.low > 0 else "does not hold",
    sentence="Pretraining helps most with the fewest labels at which the pretrained network can "
    "already learn the task; its advantage closes as training from scratch catches up.",
)

# %% [markdown]
# The assignment says that training from scratch *needs much data and time*. It calls this "training the
# pre-trained model completely from scratch", which cannot be: a model trained from scratch starts
# random, so nothing of the pretraining is left. What is kept is the *architecture*.

# %%
lack = evaluation.mean_interval(advantage(hard, 20).to_numpy())
tlkit.record(
    "B3",
    value=lack.value,
    low=lack.low,
    high=lack.high,
    unit="points",
    quantity="fine-tuned minus scratch on wild_digits, 20 labels a class, equal steps",
    seeds=3,
    verdict="holds" if lack.low > 0 else "does not hold",
    sentence="Training the same architecture from random weights needs many more labels and steps "
    "than fine-tuning to reach the same accuracy; on an easy task the difference is small.",
)

# %% [markdown]
# ## 4. How much to train: shallow, deep, all (claims B1 and B2)
#
# The assignment names three choices: train the head only (*shallow fine-tuning*, here
# `feature_extraction`), some stages near the head (*deep fine-tuning*, here `partial`), or everything.
# We unfreeze one more stage at a time, on 20 labels a class.
#
# > **Predict.** Order these by test accuracy: head only, head + 1 stage, + 2, + 3, all five. Then by the
# > gap between training and test accuracy.
#
# About 30 seconds.

# %%
rows = [measure("wild_digits", 20, "feature_extraction", s) | {"unfrozen": 0} for s in SEEDS]
for unfrozen, until in ((1, "block4"), (2, "block3"), (3, "block2")):
    for seed in SEEDS:
        rows.append(measure("wild_digits", 20, "partial", seed, until=until) | {"unfrozen": unfrozen})
all_five = hard[(hard["labels per class"] == 20) & (hard["strategy"] == "full")]
depth = pd.concat([pd.DataFrame(rows), all_five.assign(unfrozen=5)], ignore_index=True)
depth["gap"] = depth["train_accuracy"] - depth["test_accuracy"]

# %% alt="Test accuracy, train-test gap and seconds against the number of stages unfrozen"
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
views = [
    ("test_accuracy", "test accuracy"),
    ("gap", "training minus test accuracy"),
    ("seconds", "seconds of training"),
]
for ax, (column, label) in zip(axes, views, strict=True):
    ax.plot(depth["unfrozen"], depth[column], "o", color="0.6", markersize=4)
    ax.plot(depth.groupby("unfrozen")[column].mean(), "-o", color="#0072B2")
    ax.set(xlabel="stages unfrozen", ylabel=label, xticks=[0, 1, 2, 3, 5])
    ax.grid(alpha=0.3)

# %%
summary = depth.groupby("unfrozen")[["trained", "test_accuracy", "gap", "seconds"]].mean()
summary.assign(trained=summary["trained"].astype(int)).round(3)

# %% [markdown]
# *In words:* grey dots are single seeds, the blue line is their mean; from left to right more of the
# network is trained. The rightmost figure shows the cost, the middle one how much better the network
# knows its training images than new ones.

# %%
def paired(column, one, other):
    """Difference of two rows of the table above by seed, with an interval over seeds."""
    by = depth.pivot(index="seed", columns="unfrozen", values=column)
    return evaluation.mean_interval((by[one] - by[other]).to_numpy())


gap, ratio = paired("gap", 0, 5), summary["seconds"][5] / summary["seconds"][0]
print(f"gap, head only minus everything: {gap}; everything takes {ratio:.0f} times as long")
tlkit.record(
    "B1",
    value=100 * gap.value,
    low=100 * gap.low,
    high=100 * gap.high,
    unit="points",
    quantity="train-test gap, head only minus everything trained",
    seeds=3,
    verdict="holds" if gap.high < 0 < ratio - 1 else "does not hold",
    sentence="Training only the head is by far the cheapest choice and leaves the smallest gap "
    "between training and test accuracy; a small gap is not the same as the best test accuracy.",
)

# %%
balance = {n: paired("test_accuracy", n, 0) for n in (1, 2, 3)}
for unfrozen, difference in balance.items():
    print(f"{unfrozen} stages unfrozen minus head only: {difference}")
best = max(balance, key=lambda n: balance[n].value)
against_all = paired("test_accuracy", best, 5)
print(f"{best} stages minus everything: {against_all}")

# %%
share = summary["seconds"][best] / summary["seconds"][5]
print(f"{best} stages take {share:.0%} of the seconds of training everything")
tlkit.record(
    "B2",
    value=100 * balance[best].value,
    low=100 * balance[best].low,
    high=100 * balance[best].high,
    unit="points",
    quantity=f"test accuracy, {best} stage(s) and head minus head only, 20 labels a class",
    seeds=3,
    verdict="holds" if balance[best].low > 0 and against_all.high > 0 and share < 1
    else "holds when a gain within the spread between seeds is enough",
    sentence="Training the last stages reaches the accuracy of training everything for less time; "
    "how many stages is a question for the validation split, not for a rule.",
)

# %% [markdown]
# ## 5. Which layers are general? (claim A10.2)
#
# The assessment says: lower layers are general, upper ones specific. Yosinski et al. (2014) tested it by
# *transplanting*: keep the first $k$ stages frozen, start the others anew at random, train those. If the
# kept stages are general, this works as well for a **far** target as for a near one. Our far target is
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
    dataset = tlkit.load_dataset(name, train_per_class=100, seed=seed)
    run = tlkit.fit(dataset, strategy=strategy, until=until, batchnorm="update", **settings)
    return {"target": name, "kept": kept, "seed": seed, "test_accuracy": run.metrics["accuracy"]}


# %% [markdown]
# > **Predict.** For each target: which number of kept stages gives the best test accuracy? Does the
# > far target lose by keeping all five?
#
# About 30 seconds for three values of $k$; the course's stored table has all six, over five seeds.

# %%
grafts = pd.DataFrame(
    graft(name, kept, seed)
    for name in ("wild_digits", "oct_phantom")
    for kept in (0, 3, 5)
    for seed in SEEDS
)

# %% alt="Test accuracy against the number of pretrained stages kept, near target left, far target right"
whole = pd.read_csv("../data/results/transplants.csv")
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
for ax, (name, chance) in zip(axes, (("wild_digits", 0.1), ("oct_phantom", 0.5)), strict=True):
    mean = whole[whole["target"] == name].groupby("kept")["test_accuracy"].agg(["mean", "std"])
    ax.errorbar(mean.index, mean["mean"], mean["std"], color="0.6", capsize=3, label="stored, 5 seeds")
    here = grafts[grafts["target"] == name]
    ax.plot(here["kept"], here["test_accuracy"], "o", color="#D55E00", label="just measured")
    ax.axhline(chance, color="0.8", linestyle=":", label="guessing")
    ax.set(xlabel="pretrained stages kept, frozen", ylabel="test accuracy", title=name)
axes[0].legend(frameon=False)

# %% [markdown]
# *In words:* left the near target, right the far one. Zero kept stages is training from scratch, five is
# a fixed feature extractor; grey bars are one standard deviation over five seeds.

# %%
def kept_minus(results, name, one, other):
    """Accuracy with `one` kept stages minus with `other`, in points, by seed."""
    by = results[results["target"] == name].pivot(index="seed", columns="kept", values="test_accuracy")
    return 100 * (by[one] - by[other])


targets = ("wild_digits", "oct_phantom")
lower = {name: kept_minus(grafts, name, 3, 0) for name in targets}
upper = {name: kept_minus(grafts, name, 5, 3) for name in targets}
for name in targets:
    first, last = (evaluation.mean_interval(gain[name].to_numpy()) for gain in (lower, upper))
    print(f"{name}: keeping the first three stages adds {first} points, the last two {last}")

# %% [markdown]
# *In words:* keeping the first three stages lifts both targets far above starting anew: these stages are
# **general**. After that, keeping more adds nothing: in the stored curves the near target still gains from
# a fourth stage and then loses with the fifth, and the far one is best at three. What is **specific** to
# the source task sits at the top. It is not worthless, but frozen it stands in the way.

# %%
excess = {n: evaluation.mean_interval((lower[n] - upper[n]).to_numpy()) for n in targets}
tlkit.record(
    "A10.2",
    value=excess["oct_phantom"].value,
    low=excess["oct_phantom"].low,
    high=excess["oct_phantom"].high,
    unit="points",
    quantity="far target: what keeping the first three stages adds, minus what the last two add",
    seeds=3,
    verdict="holds" if min(interval.low for interval in excess.values()) > 0
    else "holds when the target is near the source" if excess["wild_digits"].low > 0
    else "does not hold",
    sentence="The first stages carry over to near and far targets alike; the last ones are tied to the "
    "source task, and keeping them frozen adds nothing.",
)

# %% [markdown]
# ## 6. Feature extraction or fine-tuning? (claim A10.3)
#
# If the upper stages are specific, a *fixed* feature extractor should do for a near target, and a far one
# should need fine-tuning. We compare `feature_extraction` with `full` on both, with 100 labels a class.
#
# > **Predict.** On which target does fine-tuning gain more over the fixed extractor?

# %%
extractor = [measure(name, 100, "feature_extraction", s) for name in targets for s in SEEDS]
tuned = [measure("oct_phantom", 100, "full", s) for s in SEEDS]
near_tuned = hard[(hard["labels per class"] == 100) & (hard["strategy"] == "full")]
both = pd.concat([pd.DataFrame(extractor + tuned), near_tuned], ignore_index=True)
wide = both.pivot(index=["task", "seed"], columns="strategy", values="test_accuracy")
wide["gain of fine-tuning"] = wide["full"] - wide["feature_extraction"]
wide.groupby("task").mean().round(3)

# %%
gain = {n: 100 * wide.loc[n, "gain of fine-tuning"] for n in targets}
near, far = (evaluation.mean_interval(gain[n].to_numpy()) for n in ("wild_digits", "oct_phantom"))
more = evaluation.mean_interval((gain["oct_phantom"] - gain["wild_digits"]).to_numpy())
print(f"gain of fine-tuning: near {near}, far {far}; far minus near {more} points")
tlkit.record(
    "A10.3",
    value=more.value,
    low=more.low,
    high=more.high,
    unit="points",
    quantity="gain of fine-tuning over feature extraction, far target minus near target",
    seeds=3,
    verdict="holds" if more.low > 0 else "does not hold" if more.high < 0
    else "holds when a difference within the spread between seeds is enough",
    sentence="Fine-tuning can gain on near and far targets alike; how much depends on the labels "
    "and on how good the fixed features already are, so compare both on the validation split.",
)

# %% [markdown]
# ## 7. What we measured

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
