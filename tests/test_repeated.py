import keras
import pytest

from tlkit.datasets import load_dataset
from tlkit.errors import InputError
from tlkit.repeated import train_repeatedly


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", size=8, train_per_class=10)


def network(dropout=0.0):
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def results(table):
    return table.drop(columns="seconds").to_dict("records")


@pytest.mark.parametrize("augmentation", [None, ["noise"]])
def test_a_seed_gives_the_same_row_whatever_was_trained_before(digits, augmentation):
    options = {"epochs": 2, "augmentation": augmentation}
    first = train_repeatedly(network(0.5), digits, seeds=(3,), **options)
    both = train_repeatedly(network(0.5), digits, seeds=(4, 3), **options)
    assert results(first) == results(both)[1:]
    assert results(both)[0] != results(both)[1] | {"seed": 4}


def test_a_row_describes_the_last_weights_on_plain_images(digits):
    seen = []

    def measure(model):
        seen.append([w.copy() for w in model.get_weights()])
        return {"number": len(seen)}

    model = network()
    table = train_repeatedly(model, digits, epochs=3, seeds=(0, 1), measure=measure)
    assert table["number"].tolist() == [1, 2]
    for row, weights in zip(results(table), seen, strict=True):
        model.set_weights(weights)
        for name in ("train", "validation", "test"):
            split = getattr(digits, name)
            right = model.predict(split.images, verbose=0).argmax(1) == split.labels
            assert row[f"{name}_accuracy"] == pytest.approx(right.mean())
        assert row["gap"] == pytest.approx(row["train_accuracy"] - row["test_accuracy"])
        assert len(row["history"]["val_loss"]) == 3


def test_it_starts_from_fresh_weights_and_a_fresh_optimiser(digits):
    model = network()
    trained = train_repeatedly(model, digits, epochs=2, seeds=(5,))
    again = train_repeatedly(model, digits, epochs=2, seeds=(5,))
    assert results(trained) == results(again)


def test_the_learning_rate_given_is_the_one_used(digits):
    still = train_repeatedly(
        network(), digits, epochs=3, seeds=(0,), optimizer=keras.optimizers.SGD(1e-12)
    )
    losses = still["history"][0]["loss"]
    assert losses[0] == pytest.approx(losses[-1], rel=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 1, "seeds": ()},
        {"epochs": 1, "seeds": (-1,)},
        {"epochs": 1, "batch_size": 0},
    ],
)
def test_bad_arguments_are_named(digits, wrong):
    with pytest.raises(InputError, match=next(reversed(wrong))):
        train_repeatedly(network(), digits, **wrong)
