# %% [markdown]
# # 12 Evaluation metrics
#
# **After this lesson you can** (1) compute accuracy, precision, recall, F1 and specificity from four counts,
# and say what has to be stated beside them, (2) recognise when accuracy hides what matters, (3) choose a
# threshold from the costs of the two kinds of mistake, (4) read a ROC curve, a precision-recall curve and a
# reliability diagram, (5) put an honest interval on a result and compare two classifiers on the same images.
#
# **It answers** question 15 of Assessment 4 (evaluation metrics).
#
# **Time:** 75 minutes to work through; about half a minute of computing on two cores.

# %% [markdown] tags=["instructor"]
# <details><summary>For instructors</summary>
#
# *Goals by verb:* compute by hand, distinguish, choose (a threshold), calibrate, compare with an interval.
# *Prerequisites:* transfer learning (lesson 07): frozen features, head, validation and test split. *To
# teach:* 90 minutes; sections 1 to 4 fill the first half. *Prepares:* homework 2 (architectures and transfer:
# comparing two models) and homework 4 (evaluation and error analysis). A good board exercise: the table of
# section 1 with other counts, until somebody divides by zero.
# </details>

# %%
import contextlib
import functools
import io

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from scipy import optimize, stats
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tlkit
from tlkit import evaluation, evidence, metric_plots
from tlkit.dataset import Dataset, Split
from tlkit.errors import InputError
from tlkit.figure_style import OKABE_ITO, tidy
from tlkit.phantom import oct_phantom_images

# %% [markdown]
# ## 1. Four counts, with a pencil
#
# Ten scans of the retina. 1 means *lesion*, 0 means *normal*. The class that we look for is called
# **positive**; here it is the lesion. Every scan falls into one of four boxes:
#
# | | classifier says lesion | classifier says normal |
# |---|---|---|
# | **is** a lesion | true positive, $TP$ | false negative, $FN$: a missed case |
# | **is** normal | false positive, $FP$: a false alarm | true negative, $TN$ |
#
# > **Predict.** Count the four boxes with a pencil before you run the cell.

# %%
truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
says = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])


def count(truth, says, positive=1):
    """TP, FP, FN, TN: everything below follows from these four."""
    is_one, called = truth == positive, says == positive
    return tuple(
        int(np.sum(box)) for box in (is_one & called, ~is_one & called, is_one & ~called, ~is_one & ~called)
    )


TP, FP, FN, TN = count(truth, says)
print(f"TP = {TP}, FP = {FP}, FN = {FN}, TN = {TN}")

# %% [markdown]
# From the four counts follow the metrics of the assessment:
#
# $$\text{accuracy} = \frac{TP + TN}{TP + FP + FN + TN} \qquad
# \text{precision} = \frac{TP}{TP + FP} \qquad
# \text{recall} = \frac{TP}{TP + FN} \qquad
# \text{specificity} = \frac{TN}{TN + FP}$$
#
# **Precision**: of the scans called lesion, which share is one? **Recall** (or *sensitivity*): of the
# lesions, which share was called one? **Specificity** is the recall of the other class. **F1** is the harmonic
# mean of precision and recall, a mean that stays near the smaller of the two:
#
# $$F_1 = \frac{2 \cdot \text{precision} \cdot \text{recall}}{\text{precision} + \text{recall}}
# = \frac{2\,TP}{2\,TP + FP + FN}$$
#
# > **Predict.** Which of the five change if we call *normal* the positive class instead?

# %%
rows = {}
for name, positive in (("lesion is positive", 1), ("normal is positive", 0)):
    TP, FP, FN, TN = count(truth, says, positive)
    rows[name] = {
        "accuracy": (TP + TN) / (TP + FP + FN + TN),
        "precision": TP / (TP + FP),
        "recall": TP / (TP + FN),
        "specificity": TN / (TN + FP),
        "F1": 2 * TP / (2 * TP + FP + FN),
    }
print(pd.DataFrame(rows).round(3).to_string())

# %% [markdown]
# *In words:* only accuracy stays; recall and specificity change places. **A precision, a recall or an F1
# without the name of the positive class says nothing.** The assessment gives the formulas and leaves this
# open.
#
# ## 2. The formulas, and what they leave open (claim A15.2)
#
# The formulas are right. Three more things have to be said before they give a number:
#
# 1. **What is $0/0$?** A classifier that never says lesion has $TP + FP = 0$. scikit-learn lets you choose:
#    `zero_division=0` or `1`.
# 2. **Which classes?** With $K$ classes, each in turn is the positive one, against the rest.
# 3. **Which average** of those $K$ numbers?
#    - *macro*: the plain mean, every class counts alike;
#    - *weighted*: the mean weighted by the number of images of each class, every image counts alike;
#    - *micro*: add up the counts of all classes first, then use the formula once.


# %%
def ratio(above, below, zero):
    """A division that says what 0/0 is."""
    return above / below if below else zero


def from_counts(TP, FP, FN, zero):
    """Precision, recall and F1."""
    return np.array(
        [ratio(TP, TP + FP, zero), ratio(TP, TP + FN, zero), ratio(2 * TP, 2 * TP + FP + FN, zero)], float
    )


def own_scores(truth, says, classes, average, zero):
    """Precision, recall and F1, by our own formulas."""
    counts = np.array([count(truth, says, positive)[:3] for positive in range(classes)])
    if average == "binary":  # class 1 is the positive one
        return from_counts(*counts[1], zero)
    if average == "micro":
        return from_counts(*counts.sum(axis=0), zero)
    scores = np.array([from_counts(*row, zero) for row in counts])
    images = np.bincount(truth, minlength=classes)
    return np.average(scores, axis=0, weights=images if average == "weighted" else None)


# %% [markdown]
# Now against scikit-learn, on 240 drawn cases (three seeds of 80): 2 to 6 classes, 3 to 40 images. The small
# cases often miss a class altogether, so that $0/0$ does occur.
#
# > **Predict.** In how many of the 240 cases does it matter what $0/0$ is?

# %%
AVERAGES, ZEROS = ("binary", "macro", "micro", "weighted"), (0.0, 1.0)


def draw_case(rng):
    """True and predicted classes of a few images, and the number of classes."""
    classes, images = int(rng.integers(2, 7)), int(rng.integers(3, 41))
    share = rng.dirichlet(np.ones(classes))
    y, guess = rng.choice(classes, images, p=share), rng.choice(classes, images, p=share)
    return y, np.where(rng.random(images) < 0.6, y, guess), classes


def by_sklearn(y, said, classes, average, zero):
    """Precision, recall and F1 as scikit-learn computes them."""
    pair = (y == 1, said == 1) if average == "binary" else (y, said)
    names = None if average == "binary" else range(classes)
    settings = {"average": average, "zero_division": zero, "labels": names}
    return np.array(metrics.precision_recall_fscore_support(*pair, **settings)[:3], float)


# %%
rows = []
for seed, number in np.ndindex(3, 80):
    case = draw_case(np.random.default_rng([seed, number]))
    ours = {(a, zero): own_scores(*case, a, zero) for a in AVERAGES for zero in ZEROS}
    with sklearn.config_context(skip_parameter_validation=True):
        errors = [np.abs(scores - by_sklearn(*case, *how)).max() for how, scores in ours.items()]
    row = {"seed": seed, "error": max(errors), "accuracy": np.mean(case[0] == case[1])}
    row["0/0 matters"] = any(not np.array_equal(ours[a, 0.0], ours[a, 1.0]) for a in AVERAGES)
    row["micro F1"], row["macro F1"] = ours["micro", 0.0][2], ours["macro", 0.0][2]
    row["F1 of means"] = stats.hmean(ours["macro", 0.0][:2])
    row["spread"] = np.ptp([ours[a, 0.0][2] for a in AVERAGES])
    rows.append(row)
cases = pd.DataFrame(rows)
print(f"largest difference from scikit-learn: {cases['error'].max():.0e}")
print(f"cases in which the value of 0/0 changes a score: {cases['0/0 matters'].sum()} of {len(cases)}")

# %% [markdown]
# Two more facts can be read from these cases.
#
# **Micro F1 is accuracy**, where every image has one label and all classes are counted: each mistake is one
# false positive (of the class that was said) and one false negative (of the class that it is).
#
# **Two things are called macro F1**: the mean of the F1 of all classes, which scikit-learn gives, and the F1
# of mean precision and mean recall. Opitz and Burst (2019) found both in the literature.
#
# > **Predict.** Which of the two is larger?

# %%
print(f"micro F1 minus accuracy, largest: {np.abs(cases['micro F1'] - cases['accuracy']).max():.0e}")
two = cases["F1 of means"] - cases["macro F1"]
print(f"F1 of means minus mean of F1: from {two.min():+.3f} to {two.max():+.3f}, mean {two.mean():+.3f}")
print(f"F1 by average (binary, macro, micro, weighted): spread {cases['spread'].mean():.2f} on average")

# %% [markdown]
# *In words:* the F1 of means is never smaller than the mean of F1 (up to rounding), and in some cases clearly
# larger: it can make the same predictions look better. And for the very same predictions the four averages
# lie far apart in these small, uneven sets. So the formulas hold, when the open points are stated.

# %%
between = evaluation.mean_interval(100 * cases.groupby("seed")["spread"].mean())
equal = cases["error"].max() < 1e-12
open_points = cases["0/0 matters"].any() and between.low > 1
conditional = "holds when positive class, average over classes and value of 0/0 are stated"
tlkit.record(
    "A15.2",
    value=between.value,
    low=between.low,
    high=between.high,
    unit="points of F1",
    quantity="between the smallest and the largest of binary, macro, micro and weighted F1 of the same "
    "predictions; own formulas and scikit-learn's agree to 1e-12 in all 240 cases",
    seeds=3,
    verdict="does not hold" if not equal else conditional if open_points else "holds",
    sentence="Precision, recall and F1 follow from the counts once three things are stated: which class is "
    "positive, how several classes are averaged (macro, weighted, micro), and what 0/0 is.",
)

# %% [markdown]
# ## 3. A useful classifier with a bad accuracy (claim A15.1)
#
# Now real predictions. `oct_phantom` simulates scans of the retina, without and with a lesion; no patient is
# involved, and no conclusion about patients follows. As classifier we take the cheapest one of lesson 07,
# **feature extraction**: a pretrained network stays frozen, the outputs of three of its stages are averaged
# over positions, and one dense unit with a sigmoid (logistic regression) learns from these numbers. That takes
# milliseconds, so that we can train many of them.

# %%
splits = {"train": (400, 11), "validation": (300, 12), "test": (500, 13)}
scans = {name: oct_phantom_images(number, seed=seed) for name, (number, seed) in splits.items()}
backbone = tlkit.load_backbone("mini_resnet")
ends = [backbone.model.get_layer(backbone.stages[stage][-1]).output for stage in ("block2", "block3", "block4")]
pooled = [keras.layers.GlobalAveragePooling2D()(end) for end in ends]
extractor = keras.Model(backbone.model.inputs, keras.layers.Concatenate()(pooled))


def features(images):
    """Numbers [n, 192] that the frozen network makes of images."""
    pixels = backbone.preprocess(keras.ops.convert_to_tensor(images, "float32"))
    return extractor.predict(pixels, batch_size=100, verbose=0)


X = {name: features(images) for name, (images, _) in scans.items()}
y = {name: labels for name, (_, labels) in scans.items()}
print({name: (X[name].shape, f"{y[name].mean():.0%} lesions") for name in X})

# %% [markdown]
# One setting must be chosen: $C$, which says how freely the weights may grow. We choose it on the
# *validation* split.


# %%
def train_head(seed, normals, lesions, C, X=X, y=y):
    """Train a head on some of the training scans, drawn by the seed."""
    rng = np.random.default_rng(seed)
    wanted = ((0, normals), (1, lesions))
    rows = np.concatenate([rng.choice(np.flatnonzero(y["train"] == k), n, replace=False) for k, n in wanted])
    head = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000))
    return head.fit(X["train"][rows], y["train"][rows])


def lesion_probability(head, split, X=X):
    """Probability of a lesion for every scan of a split."""
    return head.predict_proba(X[split])[:, 1].astype(float)


losses = {}
for C in (0.001, 0.01, 0.1, 1):
    guesses = [lesion_probability(train_head(seed, 200, 200, C), "validation") for seed in (0, 1, 2)]
    losses[C] = np.mean([metrics.log_loss(y["validation"], p) for p in guesses])
    print(f"C = {C:5}: log loss on validation {losses[C]:.3f}")
train = functools.partial(train_head, C=min(losses, key=losses.get))

# %% [markdown]
# Now we make the task **imbalanced**: 95 normal scans for every 5 lesions, in training (380 and 20, drawn
# anew for each of five seeds) and in the test (all 500 normal scans, the first 26 lesions). Three
# classifiers:
#
# - **always normal**: looks at nothing, and gives every scan the probability 0.05 of a lesion;
# - **threshold 0.5**: calls a scan a lesion where its probability is above one half;
# - **threshold 0.05**: calls it one where its probability is above 0.05, the share of lesions.
#
# The metrics are those above, and some new ones. **Balanced accuracy** is the mean of recall and specificity.
# **MCC** (Matthews' correlation coefficient) is the correlation between truth and answer, 0 for guessing.
# Three judge the *probabilities*, without any threshold: **ROC AUC** is the chance that a random lesion gets a
# higher probability than a random normal scan; **average precision** summarises the precision at all levels
# of recall; **log loss** is the cross-entropy, small is good.
#
# > **Predict.** Order the three classifiers by accuracy. Then by how many lesions they find.

# %%
normal_rows, lesion_rows = (np.flatnonzero(y["test"] == k) for k in (0, 1))
rare = np.concatenate([normal_rows, lesion_rows[: round(len(normal_rows) / 19)]])
rare_truth = y["test"][rare]
rare_heads = [train(seed, 380, 20) for seed in range(5)]
rare_scores = np.array([lesion_probability(head, "test")[rare] for head in rare_heads])
nothing = np.full_like(rare_scores, 0.05)
candidates = {
    "always normal": (nothing, 0.5),
    "threshold 0.5": (rare_scores, 0.5),
    "threshold 0.05": (rare_scores, 0.05),
}


def all_metrics(y, p, threshold):
    """Metrics of one classifier on one set of scans; 0/0 counts as 0, lesion is positive."""
    TP, FP, FN, TN = count(y, (p > threshold).astype(int))
    precision, recall, F1 = from_counts(TP, FP, FN, zero=0)
    spread = np.sqrt(float(TP + FP) * (TP + FN) * (TN + FP) * (TN + FN))
    answers = {"accuracy": (TP + TN) / len(y), "precision": precision, "recall": recall, "F1": F1}
    answers["balanced accuracy"] = (recall + ratio(TN, TN + FP, 0)) / 2
    answers["MCC"] = ratio(TP * TN - FP * FN, spread, 0)
    scores = {
        "ROC AUC": metrics.roc_auc_score(y, p),
        "average precision": metrics.average_precision_score(y, p),
    }
    return answers | scores | {"log loss": metrics.log_loss(y, p)}


# %%
said = rare_scores[0] > 0.05
ours = all_metrics(rare_truth, rare_scores[0], 0.05)
assert np.isclose(ours["balanced accuracy"], metrics.balanced_accuracy_score(rare_truth, said))
assert np.isclose(ours["MCC"], metrics.matthews_corrcoef(rare_truth, said))
print("balanced accuracy and MCC agree with scikit-learn's")

# %% [markdown]
# Every number gets an interval by the **bootstrap**: draw as many scans as there are, with replacement, and
# compute the metric again; 200 times. Each time we also take one of the five trained heads at random. So the
# interval says where the metric of *one* head, trained like these, would plausibly lie on other scans of the
# same kind.


# %%
def bootstrap(y, scores, threshold, draws=200):
    """Metrics on resampled scans and heads: a table [draws, metrics]."""
    rng, rows = np.random.default_rng(0), []
    while len(rows) < draws:
        chosen = rng.integers(0, len(y), len(y))
        if 0 < y[chosen].sum() < len(y):
            rows.append(all_metrics(y[chosen], scores[rng.integers(len(scores))][chosen], threshold))
    return pd.DataFrame(rows)


table, bounds = {}, {}
with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
    for name, (scores, threshold) in candidates.items():
        value = pd.DataFrame([all_metrics(rare_truth, p, threshold) for p in scores]).mean()
        bounds[name] = bootstrap(rare_truth, scores, threshold).quantile([0.025, 0.975])
        low, high = bounds[name].to_numpy()
        table[name] = [f"{v:.2f} [{a:.2f}, {b:.2f}]" for v, a, b in zip(value, low, high, strict=True)]
print(pd.DataFrame(table, index=value.index).to_string())

# %% [markdown]
# *In words:* by accuracy the best two are "always normal" and "threshold 0.5", which finds next to nothing
# either, and they can hardly be told apart. The third, which finds more than half of the lesions, has by far
# the *worst* accuracy: it pays for each lesion with several false alarms, and accuracy counts a false alarm
# exactly like a missed case. Balanced accuracy, recall and F1 put it first. ROC AUC, average precision and
# log loss see no difference between the second and the third: they have the same probabilities, and only the
# threshold differs.
#
# So accuracy is not *wrong*: it answers "which share of all scans is labelled right?". With 95 of 100 scans
# normal that question is nearly decided before anybody looks at a lesion.
#
# Is the difference more than chance? All were tested on the same scans, so we compare them scan by scan, over
# all five seeds (section 7 explains the function).

# %%
right = {name: (scores > threshold) == rare_truth for name, (scores, threshold) in candidates.items()}
useful = evaluation.paired_difference(right["threshold 0.05"], right["always normal"])
print(f"accuracy, threshold 0.05 minus always normal: {useful}")
balanced_low = bounds["threshold 0.05"]["balanced accuracy"].iloc[0]
print(f"balanced accuracy of threshold 0.05: at least {balanced_low:.2f} plausible; always normal: 0.50")
if balanced_low <= 0.5:
    verdict = "does not hold"  # then the classifier was not useful, and nothing is shown
else:
    verdict = "holds" if useful.high < 0 else "holds when the useful classifier raises many false alarms"
tlkit.record(
    "A15.1",
    value=100 * useful.difference,
    low=100 * useful.low,
    high=100 * useful.high,
    unit="points",
    quantity="accuracy, classifier that looks for the rare lesions minus always answering normal, 95:5",
    seeds=5,
    verdict=verdict,
    sentence="Where 95 % of the images are of one class, always naming that class is right for 95 %, and a "
    "classifier that finds the rare class can score less. Compare accuracy with that baseline, and report "
    "recall and precision of the rare class beside it.",
)

# %% [markdown]
# ## 4. Costs set the threshold (claim A15.3)
#
# The assessment says: in medical imaging recall may matter more, in spam detection precision. Why? Because
# the two mistakes cost differently. Let a false alarm cost $c_{FP}$ and a missed case $c_{FN}$. If the
# probability of a lesion is $p$, then calling it a lesion costs $(1 - p)\,c_{FP}$ on average, and calling it
# normal costs $p\,c_{FN}$. The first is cheaper when $p$ is above
#
# $$t^* = \frac{c_{FP}}{c_{FP} + c_{FN}}$$
#
# This is so if the probabilities are **calibrated**: among the scans with $p = 0.2$, one in five has a lesion
# (section 6). If we do not trust that, we try all thresholds on the *validation* split and take the cheapest.
#
# > **Predict.** A missed case costs as much as 1, 10, 50 false alarms, or a tenth of one. Which thresholds do
# > you expect? Will the formula or the validation split find the cheaper one?

# %%
RATIOS = {"50:1": (1, 50), "10:1": (1, 10), "1:1": (1, 1), "1:10": (10, 1)}  # miss : false alarm
THRESHOLDS = np.linspace(0, 1, 501)


def cost_curve(y, p, c_FP, c_FN):
    """Mean cost of a scan at each threshold."""
    called, is_one = p[:, None] > THRESHOLDS, (y == 1)[:, None]
    return c_FP * (called & ~is_one).mean(axis=0) + c_FN * (~called & is_one).mean(axis=0)


def follow_costs(X, y, seeds=10, each=200):
    """Choose thresholds on validation and measure on test, for every ratio and seed."""
    rows, curves = [], {name: [] for name in RATIOS}
    for seed in range(seeds):
        head = train(seed, each, each, X=X, y=y)
        known, p = (lesion_probability(head, split, X) for split in ("validation", "test"))
        for name, (c_FP, c_FN) in RATIOS.items():
            best = THRESHOLDS[cost_curve(y["validation"], known, c_FP, c_FN).argmin()]
            curves[name].append(cost_curve(y["test"], p, c_FP, c_FN))
            theory = c_FP / (c_FP + c_FN)
            TP, FP, FN, _ = count(y["test"], (p > best).astype(int))
            row = {"ratio": name, "seed": seed, "formula": theory, "chosen": best, "recall": TP / (TP + FN)}
            row["precision"] = ratio(TP, TP + FP, 0)
            places = {"cost, 0.5": 0.5, "cost, formula": theory, "cost, chosen": best}
            rows.append(row | {k: np.interp(t, THRESHOLDS, curves[name][-1]) for k, t in places.items()})
    return pd.DataFrame(rows), curves


followed, curves = follow_costs(X, y)
by_ratio = followed.drop(columns="seed").groupby("ratio").mean().loc[list(RATIOS)]
print(by_ratio.round(3).to_string())

# %% alt="Cost per scan against threshold for four ratios of costs; the cheapest threshold moves to the right"
figure, axes = plt.subplots(2, 2, figsize=(8, 5), layout="constrained")
for ax, (name, rows) in zip(axes.flat, curves.items(), strict=True):
    marks = {"formula": by_ratio.loc[name, "formula"], "chosen on validation": by_ratio.loc[name, "chosen"]}
    metric_plots.plot_cost(THRESHOLDS, rows, marks, ax=ax)
    ax.set_title(f"a miss to a false alarm {name}", fontsize=10)
_ = axes[0, 0].legend(frameon=False, fontsize=9)
# %% [markdown]
# *In words:* grey lines are the ten seeds on the test split, blue their mean; the cost is counted in units of
# the cheaper mistake. The more a missed case costs, the further to the left is the cheapest threshold, and at
# 1:10 it is on the right. Recall and precision follow from it, in opposite directions. Where the ratio is
# far from 1:1, the formula and the choice on validation both cost far less than a threshold of 0.5. Between the
# two the differences are small: the formula needs honest probabilities, the choice needs enough validation
# scans (at 50:1 it hangs on the few lesions with the lowest probabilities).
#
# (At 50:1, with half of the scans lesions, calling *every* scan a lesion costs 0.5. The best that this
# weak classifier can do is about that.)

# %%
by_seed = {name: followed[followed["ratio"] == name].set_index("seed") for name in RATIOS}
for name, rows in by_seed.items():
    saved = evaluation.mean_interval(100 * (1 - rows["cost, chosen"] / rows["cost, 0.5"]))
    print(f"{name:>5}: the chosen threshold saves {saved} % of the cost at 0.5")
gains = {
    metric: evaluation.mean_interval(100 * (by_seed["50:1"][metric] - by_seed["1:10"][metric]))
    for metric in ("recall", "precision", "chosen")
}
print("from 1:10 to 50:1, in points:", {metric: str(gain) for metric, gain in gains.items()})

# %% [markdown]
# (These intervals are over the ten draws of training scans; the test scans are the same 1,000 for all.)
#
# Same scans, same classifier: at one ratio recall comes first, at another precision. So it is not *medicine*
# or *spam* that decides. A screening test that is followed by a harmless second look should miss nothing; a
# test that leads straight to a risky operation should raise few false alarms, and it is medicine, too.
#
# The same on real X-rays, PneumoniaMNIST (Yang et al. 2023). They are not part of this package: the next cell
# looks for them, tries to fetch them (4 MB), and says so if neither works. The verdict does not need them.

# %%
try:
    with contextlib.redirect_stdout(io.StringIO()):
        chests = tlkit.load_dataset("pneumoniamnist", train_per_class=300)
except InputError:
    print("pneumoniamnist is absent here: there is no copy, and none could be fetched.")
else:
    named = {name: getattr(chests, name) for name in splits}
    chest_X = {name: features(split.images) for name, split in named.items()}
    chest_y = {name: split.labels for name, split in named.items()}
    chest, _ = follow_costs(chest_X, chest_y)
    print({name: f"{labels.mean():.0%} pneumonia" for name, labels in chest_y.items()}, "(unlike splits)")
    print(chest.drop(columns="seed").groupby("ratio").mean().loc[list(RATIOS)].round(3).to_string())

# %%
follows = gains["recall"].low > 0 > gains["precision"].high and gains["chosen"].high < 0
tlkit.record(
    "A15.3",
    value=gains["recall"].value,
    low=gains["recall"].low,
    high=gains["recall"].high,
    unit="points of recall",
    quantity="at the threshold chosen for a miss that costs 50 false alarms, minus at that for a tenth of one",
    seeds=10,
    verdict="holds when a missed case costs more than a false alarm in the one field, less in the other"
    if follows
    else "does not hold",
    sentence="The ratio of the costs of a missed case and of a false alarm sets the threshold; recall and "
    "precision follow from it. In medicine either mistake can be the dearer one.",
)

# %% [markdown]
# Try it: move the threshold. (On the validation split, because that is where a threshold may be chosen.)

# %% alt="Confusion matrix of 600 validation scans, with precision, recall and cost at this threshold"
slider_p = lesion_probability(train(0, 200, 200), "validation")


def look(threshold=0.5, miss_costs=10):
    """Confusion matrix, precision, recall and cost at a threshold."""
    called = (slider_p > threshold).astype(int)
    TP, FP, FN, TN = count(y["validation"], called)
    _, ax = plt.subplots(figsize=(4, 3.2), layout="constrained")
    boxes = metrics.ConfusionMatrixDisplay(np.array([[TN, FP], [FN, TP]]), display_labels=["normal", "lesion"])
    boxes.plot(ax=ax, cmap="Blues", colorbar=False)
    ax.set(xlabel="classifier says", ylabel="scan is")
    plt.show()
    print(f"precision {ratio(TP, TP + FP, 0):.2f}, recall {ratio(TP, TP + FN, 0):.2f}, ", end="")
    print(f"cost {(FP + miss_costs * FN) / len(called):.2f} false alarms per scan")


_ = ipywidgets.interact(look, threshold=(0.0, 1.0, 0.02), miss_costs=(1, 50))
# %% [markdown]
# ## 5. ROC and precision-recall when the lesion is rare
#
# Each threshold gives one point. The **ROC curve** plots recall against the **false positive rate**
# ($FP / (FP + TN)$, one minus specificity). The **precision-recall curve** plots precision against recall.
#
# Let $\pi$ be the **prevalence**, the share of lesions among all scans. Recall looks at lesions only, the
# false positive rate ($FPR$) at normal scans only; so neither depends on $\pi$. Precision mixes both:
#
# $$\text{precision} = \frac{\pi \cdot \text{recall}}{\pi \cdot \text{recall} + (1 - \pi) \cdot FPR}$$
#
# We take one classifier, the one trained on 200 scans of each class, and change nothing but the prevalence:
# each scan gets a **weight**, so that lesions make up 50, 20, 5 or 1 % of the total.
#
# > **Predict.** Which curve moves, and how far?

# %% alt="Left four ROC curves that coincide, right precision-recall curves that sink as lesions become rarer"
p = lesion_probability(train(0, 200, 200), "test")
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
rows = []
for width, style, colour, share in zip(
    (6, 4, 2, 1), ("-", "-", "-", "--"), OKABE_ITO, (0.5, 0.2, 0.05, 0.01), strict=False
):
    w = np.where(y["test"] == 1, share, 1 - share)
    fpr, recall, _ = metrics.roc_curve(y["test"], p, sample_weight=w)
    precision, found, _ = metrics.precision_recall_curve(y["test"], p, sample_weight=w)
    axes[0].plot(fpr, recall, style, color=colour, linewidth=width)
    axes[1].plot(found[:-1], precision[:-1], color=colour, linewidth=1.5)
    height = precision[0] + (0.01 if share > 0.01 else -0.02)
    axes[1].text(1.02, height, f"{share:.0%}", color=colour, va="center", fontsize=9)
    said = {"y_pred": p > 0.5, "sample_weight": w, "zero_division": 0}
    row = {"lesions": f"{share:.0%}", "ROC AUC": metrics.roc_auc_score(y["test"], p, sample_weight=w)}
    row["average precision"] = metrics.average_precision_score(y["test"], p, sample_weight=w)
    row |= {
        "precision at 0.5": metrics.precision_score(y["test"], **said),
        "F1 at 0.5": metrics.f1_score(y["test"], **said),
    }
    rows.append(row)
axes[0].set(xlabel="false positive rate", ylabel="recall", title="ROC: four curves, one line")
axes[1].set(xlabel="recall", ylabel="precision", title="precision-recall by share of lesions")
for ax in axes:
    tidy(ax)

# %%
print(pd.DataFrame(rows).round(3).to_string(index=False))
TP, FP, FN, TN = count(y["test"], (p > 0.5).astype(int))
for row, share in zip(rows, (0.5, 0.2, 0.05, 0.01), strict=True):
    hits, alarms = share * TP / (TP + FN), (1 - share) * FP / (FP + TN)
    assert np.isclose(row["precision at 0.5"], hits / (hits + alarms))
print("the formula gives the same precision at every prevalence")

# %% [markdown]
# *In words:* the four ROC curves lie on one another, and the area is the same. Precision, average precision
# and F1 collapse as lesions become rare: at 1 % nearly all alarms are false, from a classifier whose ROC curve
# looks respectable. (Do not trust the flat piece at the upper left: so far, not one of the 500 normal scans
# raises an alarm. Among many more normal scans some would, and at 1 % each would weigh heavily.) Both figures
# are right; they answer different questions. ROC: how well are the two classes
# told apart? Precision-recall: what is an alarm worth *here*? The assessment calls F1 particularly useful for
# imbalanced classes. It is more telling there than accuracy, but as it depends on the prevalence, F1 values
# from sets with different shares of lesions cannot be compared.
#
# ## 6. Can the probabilities be trusted?
#
# The formula for $t^*$ needs calibrated probabilities. Networks that were trained until they know their
# training images by heart tend to be **overconfident** (Guo et al. 2017). We fine-tune the last two stages of
# the network, three seeds.
#
# A **reliability diagram** sorts the test scans by **confidence** (the probability of the class that was
# said) into bins, and shows for each bin which share was right. The **expected calibration error** (ECE) is
# the mean distance between the two, weighted by the number of scans.
#
# **Temperature scaling** repairs it with a single number. Dividing the logarithms of the probabilities by a
# **temperature** $T > 1$ and applying softmax again makes all of them less extreme. $T$ is chosen to minimise
# the log loss on *validation*:
#
# $$q_k = \frac{e^{\log(p_k) / T}}{\sum_j e^{\log(p_j) / T}}$$
#
# > **Predict.** How does this change the accuracy on the test split?

# %%
data = Dataset("oct_phantom", ("normal", "lesion"), *(Split(*scans[name]) for name in splits))
settings = {"strategy": "partial", "until": "block3", "batchnorm": "update", "epochs": 5, "steps_per_epoch": 20}
runs = [tlkit.fit(data, backbone="mini_resnet", seed=seed, **settings) for seed in (0, 1, 2)]


def soften(p, T):
    """Probabilities at temperature T."""
    logits = np.log(np.clip(p.astype(float), 1e-12, 1)) / T
    E = np.exp(logits - logits.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)


def temperature(p, labels):
    """The temperature of the smallest log loss."""
    loss = lambda T: metrics.log_loss(labels, soften(p, T))  # noqa: E731
    return optimize.minimize_scalar(loss, bounds=(0.2, 10), method="bounded").x


# %%
rows, softened, rng = [], [], np.random.default_rng(0)
for run in runs:
    before = soften(run.test_predictions, 1)
    T = temperature(run.validation_predictions, y["validation"])
    after = soften(before, T)
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))  # the same answers
    softened.append(after)
    row = {"seed": run.seed, "T": T, "accuracy": np.mean(after.argmax(axis=1) == y["test"])}
    for name, q in (("before", before), ("after", after)):
        row[f"ECE {name}"] = evaluation.expected_calibration_error(y["test"], q)
        row[f"log loss {name}"] = metrics.log_loss(y["test"], q)
    ideal = [(rng.random(len(after)) < after[:, 1]).astype(int) for _ in range(100)]
    row["ECE if ideal"] = np.mean([evaluation.expected_calibration_error(labels, after) for labels in ideal])
    rows.append(row)
calibration = pd.DataFrame(rows)
print(calibration.round(3).to_string(index=False))

# %% alt="Two reliability diagrams: before, dots lie below the diagonal; after temperature scaling, close to it"
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained", sharey=True)
metric_plots.plot_reliability(y["test"], runs[0].test_predictions, ax=axes[0])
metric_plots.plot_reliability(y["test"], softened[0], ax=axes[1])
axes[0].set_title("before", fontsize=10)
_ = axes[1].set_title(f"after, T = {calibration['T'][0]:.2f}", fontsize=10)

# %% [markdown]
# *In words:* a large dot stands for many scans; red lines are the distance to the dotted line of perfect
# calibration. Before, most answers come with a confidence near 1, and clearly fewer of them are right. After,
# all but the smallest lie near the line, and log loss and ECE have fallen for every seed. The accuracy is the
# same to the last scan: softening keeps the order of the probabilities, so that the answers cannot change (the
# assertion checks it).
#
# The last column is a warning. It is the ECE that *perfectly* calibrated probabilities would show on average
# on a test split of this size: not 0, because the share of right answers in a bin is itself a matter of chance.
# An ECE near that value is as good as can be seen here.
#
# ## 7. How sure is a number?
#
# ### One accuracy
#
# Of $n$ test images, $k$ are right; $\hat p = k / n$. A **95 % interval** comes from a recipe whose
# intervals, over many repetitions, contain the true value 95 % of the time. Three recipes, with $z = 1.96$:
#
# - *normal*: $\hat p \pm z \sqrt{\hat p (1 - \hat p) / n}$, the one in most textbooks;
# - *bootstrap* (percentiles): resample the images, take the middle 95 % of the results;
# - *Wilson*: all $p$ for which the observed $\hat p$ lies within $z$ standard errors, those of $p$ and not of
#   $\hat p$.
#
# For a true accuracy $p$ the count $k$ follows the binomial distribution, so how often each recipe keeps its
# promise can be computed without any drawing.
#
# > **Predict.** 30 test images, true accuracy 0.95. How often does the textbook interval contain 0.95?


# %%
def bounds_of(recipe, n):
    """Lower and upper bounds for k = 0, 1, ..., n right of n."""
    share, z = np.arange(n + 1) / n, stats.norm.ppf(0.975)
    if recipe == "normal":
        half = z * np.sqrt(share * (1 - share) / n)
        return share - half, share + half
    if recipe == "bootstrap":
        return stats.binom.ppf(0.025, n, share) / n, stats.binom.ppf(0.975, n, share) / n
    middle, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


rows = []
for n, p_true in ((30, 0.8), (30, 0.95), (100, 0.95), (1000, 0.95)):
    chance, row = stats.binom.pmf(np.arange(n + 1), n, p_true), {"images": n, "true accuracy": p_true}
    for recipe in ("normal", "bootstrap", "Wilson"):
        low, high = bounds_of(recipe, n)
        row[recipe] = chance[(low <= p_true + 1e-12) & (p_true <= high + 1e-12)].sum()
    rows.append(row)
print(pd.DataFrame(rows).round(3).to_string(index=False))
scipy_low = stats.binomtest(18, 20).proportion_ci(method="wilson").low
assert np.isclose(bounds_of("Wilson", 20)[0][18], scipy_low)

# %% [markdown]
# *In words:* the last three columns hold how often the interval contains the truth; promised is 0.95. With 30
# images and an accuracy of 0.95, the textbook interval and the plain bootstrap miss it about one time in five;
# Wilson's comes close to its promise throughout. With a thousand images all three are fine.
# `evaluation.accuracy_interval` uses a bootstrap that is mended for small numbers.
#
# All three are about **images** only: this trained network, other images. Another seed would give another
# network. Give the function the results of several seeds, and the interval covers both.

# %%
tuned = np.array([run.test_predictions.argmax(axis=1) == y["test"] for run in runs])
print("accuracy by seed:      ", tuned.mean(axis=1).round(3))
print("one seed, its images:  ", evaluation.accuracy_interval(tuned[0]))
print("three seeds and images:", evaluation.accuracy_interval(tuned))

# %% [markdown]
# ### Two classifiers on the same images
#
# Is the fine-tuned network better than the head on frozen features? Both answered the same 1,000 scans, so
# only the scans on which exactly one of them is right can tell. **McNemar's test** asks: if the two were right
# equally often, each of these scans would be won by either with probability one half; how probable would a
# division at least as uneven be? That probability is the **p value**. It is *not* the probability that they
# are equally good.
#
# The **unpaired** test compares the two accuracies as if each had been measured on images of its own.


# %%
def mcnemar(b, c):
    """Exact p value from the counts of scans that only A, or only B, got right."""
    return np.minimum(1, 2 * stats.binom.cdf(np.minimum(b, c), b + c, 0.5))


def unpaired(k_A, k_B, n):
    """Find the p value of the z test for two accuracies on separate images."""
    pooled = (k_A + k_B) / (2 * n)
    return 2 * stats.norm.sf(np.abs(k_A - k_B) / n / np.sqrt(2 * pooled * (1 - pooled) / n))


heads = [train(seed, 300, 300) for seed in (0, 1, 2)]
frozen = np.array([(lesion_probability(head, "test") > 0.5) == y["test"] for head in heads])
A, B = tuned[0], frozen[0]
b, c, n = int(np.sum(A & ~B)), int(np.sum(~A & B)), len(A)
print(f"both right {np.sum(A & B)}, only tuned {b}, only frozen {c}, both wrong {np.sum(~A & ~B)}")
print(f"McNemar p = {mcnemar(b, c):.3f} (scipy {stats.binomtest(b, b + c).pvalue:.3f})")
print(f"unpaired p = {unpaired(A.sum(), B.sum(), n):.3f}")
print("seed 0, difference:     ", evaluation.paired_difference(A, B))
print("three seeds, difference:", evaluation.paired_difference(tuned, frozen))

# %% [markdown]
# *In words:* both tests look at the same two accuracies; they differ in what they know about the scans.
# McNemar's test is about *these two* trained networks. Whether the *method* is better is the question of the
# last line: averaging over seeds narrows its interval, differences between seeds widen it. The interval holds
# 0: for this task, fine-tuning and frozen features cannot be told apart here. That does not show
# that they are equal; the interval says which differences remain plausible.
#
# Which test finds a difference that is really there? We draw many test sets from a population in which A is
# right more often by 0 or by 4 points, and in which the two disagree on the share of scans just measured.
#
# > **Predict.** With 1,000 images and 4 points: in what share of the test sets does each test give
# > $p < 0.05$?

# %% alt="Share of test sets with p below 0.05 against number of images: McNemar lies above the unpaired test"
rng, disagree, rows = np.random.default_rng(0), (b + c) / n, []
for gap, images in [(gap, images) for gap in (0.0, 0.04) for images in (100, 200, 500, 1000, 2000)]:
    only_A, only_B = (disagree + gap) / 2, (disagree - gap) / 2
    both = B.mean() - only_B
    draws = rng.multinomial(images, [both, only_A, only_B, 1 - both - disagree], size=4000)
    k, won, lost, _ = draws.T
    shares = [np.mean(mcnemar(won, lost) < 0.05), np.mean(unpaired(k + won, k + lost, images) < 0.05)]
    rows.append((gap, images, *shares))
power = pd.DataFrame(rows, columns=["true gap", "images", "McNemar", "unpaired"])
print(power.round(3).to_string(index=False))
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for ax, (gap, rows) in zip(axes, power.groupby("true gap"), strict=True):
    for name, colour, marker in (("McNemar", OKABE_ITO[0], "o"), ("unpaired", OKABE_ITO[1], "s")):
        ax.plot(rows["images"], rows[name], "-" + marker, color=colour, label=name)
    ax.axhline(0.05, color="0.5", linestyle=":")
    ax.set(xlabel="test images", ylabel="share with p < 0.05", title=f"true gap {100 * gap:.0f} points")
    tidy(ax)
axes[0].set_ylim(0, 0.1)
axes[1].set_ylim(0, 1.03)
_ = axes[0].legend(frameon=False, fontsize=9)
# %% [markdown]
# *In words:* left, where there is nothing to find, both stay at or below the promised 5 % of false alarms
# (dotted); the unpaired one stays far below, because it reckons with a spread that the shared images cancel.
# Right, where there is something to find, it pays for that: McNemar's test finds the difference more often
# with the same images. **Pair what can be paired.**
#
# ## What we measured

# %%
evidence.measured()

# %% [markdown]
# ## Quiz
#
# **1. A test set has 950 normal scans and 50 lesions. A classifier reports 95 % accuracy. What follows?**
#
# A. It is right on 95 % of the lesions.
#
# B. It is good, since 95 % is far above 50 %.
#
# C. Nothing about lesions: the classifier that always says normal has the same accuracy.
#
# D. It must be overfitted.
#
# <details><summary>Answer</summary>
#
# **C.** A confuses accuracy with recall: in section 3 "always normal" has an accuracy of 0.95 and a recall of
# 0. B compares with the wrong baseline: with these shares it is 95 %, not 50 %. D names a possible fault of
# training, but section 3's number came about without any training.
# </details>
#
# **2. A paper reports "F1 = 0.72" for a test with five classes. What is the least that you must ask?**
#
# A. Nothing, F1 is defined by a formula.
#
# B. Which average over the classes, and what happens to classes that were never predicted.
#
# C. Only the number of images.
#
# D. The accuracy, from which F1 can be computed.
#
# <details><summary>Answer</summary>
#
# **B.** A takes the formula for a definition: in section 2 the averages of the same predictions spread over
# many points, and "macro F1" alone has two meanings. C is worth asking, but it does not settle which number
# was computed. D holds for micro F1 only, which equals accuracy; the other averages differed from it.
# </details>
#
# **3. A missed case costs as much as nine false alarms; the probabilities are calibrated. Which threshold?**
#
# A. 0.5, since the more probable class should be said.
#
# B. 0.9, since we want to be sure.
#
# C. 0.1.
#
# D. The one with the highest accuracy on the validation split.
#
# <details><summary>Answer</summary>
#
# **C.** $t^* = 1 / (1 + 9)$. A is right for equal costs only; in section 4 it cost far more at 10:1 than the
# formula's threshold. B turns the ratio round: a high threshold makes few false alarms and many misses, as at
# 1:10. D counts both mistakes alike, which is the ratio 1:1 again.
# </details>
#
# **4. The same classifier goes from a clinic (20 % lesions) to screening (1 %). What changes?**
#
# A. The ROC curve sinks.
#
# B. Precision falls, the ROC curve stays.
#
# C. Recall falls, because lesions are harder to find when they are rare.
#
# D. Nothing, it is the same classifier.
#
# <details><summary>Answer</summary>
#
# **B.** (If lesions and normal scans look as before, and only their shares change.) A: section 5's four ROC
# curves lie on one another. C: recall is a share *of the lesions*, and rare or not, the same share is found.
# D overlooks that precision depends on who is tested: the right-hand figure of section 5.
# </details>
#
# **5. What does temperature scaling change?**
#
# A. It raises accuracy, because the network becomes less sure of its mistakes.
#
# B. It makes the probabilities more honest; the answers stay the same.
#
# C. It retrains the last layer.
#
# D. It lowers the confidence of wrong answers only.
#
# <details><summary>Answer</summary>
#
# **B.** A: the assertion in section 6 shows the same answers before and after, so the same accuracy. C: one
# number was fitted, no weight was touched. D: nobody knows which answers are wrong; *all* confidences are
# softened, and on average they then agree with the share that is right.
# </details>
#
# **6. Two networks on the same 1,000 images: McNemar's p = 0.30. What may you write?**
#
# A. The two are equally good.
#
# B. With probability 30 % they are equally good.
#
# C. If they were right equally often, a division at least this uneven would come about in 30 % of such tests;
# the interval of the difference says what remains plausible.
#
# D. With an unpaired test the difference would have become significant.
#
# <details><summary>Answer</summary>
#
# **C.** A takes "not shown" for "not there": in section 7, with few images, McNemar's test mostly missed a
# difference of 4 points that was there. B turns the p value round: it is computed *assuming* equality. D: in
# section 7 the unpaired test found the same difference less often, not more.
# </details>
#
# **Next:** 13 ResNet-50 against MobileNetV2. Back to [07 Transfer learning](07_transfer_learning.ipynb).
