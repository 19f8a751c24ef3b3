"""Maps, filters, gradients and probes; fields, shifts, Grad-CAM and plots have their own files."""

import keras
import numpy as np
import pytest
from keras import layers

from tlkit import explain
from tlkit.backbones import load_backbone
from tlkit.classifier import build_classifier
from tlkit.errors import InputError
from tlkit.head_probe import pooled_features
from tlkit.insides import AT_ONCE
from tlkit.mini import MINI

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("mini_mobilenet", weights=None, seed=0)


@pytest.fixture(scope="module")
def classifier(backbone):
    return build_classifier(backbone, 4, (64, 64, 3))


def small_model(**last):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.Dropout(0.5, name="drop"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(2, name="classes", **{"activation": "softmax", **last}),
        ]
    )


def test_every_name_of_the_contract_is_there():
    for name in explain.__all__:
        assert callable(getattr(explain, name))
        assert "Args:" in getattr(explain, name).__doc__


# Layers by name


def test_inference_is_meant_even_behind_resizing(tiny_dataset):
    """Called without `training=False`, a model with Resizing would train: its default is True."""
    model = build_classifier(load_backbone("mini_vgg"), 3, (32, 32, 3))
    images, labels = tiny_dataset.test.images, tiny_dataset.test.labels
    before = [np.asarray(weight).copy() for weight in model.weights]
    explain.feature_maps(model, images, "block5_2_relu")
    explain.effective_receptive_field(model, "block5_2_relu", images)
    explain.gradient_norms(model, images, labels)
    explain.shift_consistency(model, images, [0, 1])
    heat = explain.grad_cam(model, images)
    chosen = model.predict(images, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(heat, explain.grad_cam(model, images, chosen))
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), value)


def test_layers_of_models_inside_models_have_names(backbone, classifier):
    inner = explain.layer_names(backbone.model)
    assert inner == [layer.name for layer in backbone.model.layers[1:]]
    outer = explain.layer_names(classifier)
    assert [name for name in outer if name in inner] == inner
    assert outer[-2:] == ["pool", "classes"]
    assert explain.layer_names(classifier, maps=True)[-1] == "block5_last_relu"


def test_a_layer_used_twice_has_two_names():
    shared = layers.Conv2D(3, 3, padding="same", name="twice", use_bias=False)
    image = keras.Input((5, 5, 3))
    model = keras.Model(image, shared(shared(image)))
    assert explain.layer_names(model) == ["twice", "twice:2"]
    once = explain.feature_maps(model, IMAGES[:, :5, :5], "twice")
    twice = explain.feature_maps(model, IMAGES[:, :5, :5], "twice:2")
    np.testing.assert_allclose(twice, shared(once), rtol=1e-5)


def test_what_cannot_be_opened():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(InputError, match="no sequential or functional Keras model"):
        explain.layer_names(Own())
    with pytest.raises(InputError, match="no sequential or functional Keras model"):
        explain.layer_names("mini_vgg")
    with pytest.raises(InputError, match=r"begin it with keras\.Input"):
        explain.layer_names(keras.Sequential([layers.Dense(2)]))
    pair = [keras.Input((2,)), keras.Input((2,))]
    with pytest.raises(InputError, match="has 2 inputs"):
        explain.layer_names(keras.Model(pair, layers.Add()(pair)))


# Feature maps


@pytest.mark.parametrize("name", MINI)
def test_maps_are_those_of_the_network(name):
    network = load_backbone(name, weights=None, seed=0)
    model = build_classifier(network, 4, (64, 64, 3))
    last = list(network.stages.values())[-1][-1]
    expected = network.model(network.preprocess(IMAGES))
    for given, images in (
        (model, IMAGES),
        (network, IMAGES),
        (network.model, network.preprocess(IMAGES)),
    ):
        maps = explain.feature_maps(given, images, last)
        assert maps.dtype == np.float32
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)


def test_maps_in_between(backbone, classifier):
    middle = backbone.stages["block3"][-1]
    twin = keras.Model(backbone.model.input, backbone.model.get_layer(middle).output)
    expected = twin(backbone.preprocess(IMAGES))
    np.testing.assert_allclose(
        explain.feature_maps(classifier, IMAGES, middle), expected, rtol=1e-4, atol=1e-5
    )


def test_batches_are_joined():
    model, images = small_model(), RNG.random((AT_ONCE + 3, 8, 8, 3))
    maps = explain.feature_maps(model, images, "drop")
    assert maps.shape == (AT_ONCE + 3, 6, 6, 4)
    np.testing.assert_allclose(maps[-3:], explain.feature_maps(model, images[-3:], "drop"))
    np.testing.assert_array_equal(maps, explain.feature_maps(model, images, "relu"))


def test_looking_changes_nothing(classifier):
    before = [np.asarray(v).copy() for v in classifier.variables]
    trained = len(classifier.trainable_weights)
    labels = np.array([0, 1, 2])
    explain.feature_maps(classifier, IMAGES, "block1_1_relu")
    explain.gradient_norms(classifier, IMAGES, labels)
    explain.grad_cam(classifier, IMAGES)
    explain.effective_receptive_field(classifier, "block1_1_relu", IMAGES)
    for variable, value in zip(classifier.variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)
    assert len(classifier.trainable_weights) == trained


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8, 3)), r"images has shape \(8, 8, 3\).*images\[None\]"),
        (np.zeros((1, 8, 9, 3)), r"\[n, 8, 8, 3\] with n >= 1 is needed$"),
        (np.zeros((0, 8, 8, 3)), "n >= 1"),
        (np.zeros((1, 8, 8, 3), bool), "type bool; uint8 or a float type"),
        (np.full((1, 8, 8, 3), "a"), "uint8 or a float type"),
        (np.full((1, 8, 8, 3), np.nan), "not finite"),
    ],
)
def test_images_that_do_not_fit(images, message):
    for function in (
        lambda: explain.feature_maps(small_model(), images, "conv"),
        lambda: explain.effective_receptive_field(small_model(), "conv", images),
        lambda: explain.grad_cam(small_model(), images),
        lambda: explain.gradient_norms(small_model(), images, np.zeros(1, int)),
    ):
        with pytest.raises(InputError, match=message):
            function()


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "int64"])
def test_number_types_make_no_difference(dtype):
    images = IMAGES[:, :8, :8]
    maps = explain.feature_maps(small_model(), images.astype(dtype), "conv")
    np.testing.assert_allclose(maps, explain.feature_maps(small_model(), images, "conv"))


def test_no_gradient_passes_through_whole_numbers():
    image = keras.Input((8, 8, 1), dtype="uint8")
    x = layers.Conv2D(2, 3, name="conv")(keras.ops.cast(image, "float32"))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    images = np.ones((1, 8, 8, 1), np.uint8)
    assert explain.feature_maps(model, images, "conv").shape == (1, 6, 6, 2)
    for function in (
        lambda: explain.effective_receptive_field(model, "conv", images),
        lambda: explain.grad_cam(model, images),
    ):
        with pytest.raises(InputError, match="model takes uint8, through which no gradient"):
            function()


def test_layers_that_are_not_there_or_have_no_map():
    images = np.zeros((1, 8, 8, 3))
    for function in (
        lambda layer: explain.feature_maps(small_model(), images, layer),
        lambda layer: explain.effective_receptive_field(small_model(), layer, images),
        lambda layer: explain.grad_cam(small_model(), images, layer=layer),
    ):
        with pytest.raises(
            InputError, match="layer='cnv' is not in the model: give one of conv, n"
        ):
            function("cnv")
        with pytest.raises(InputError, match=r"layer='pool' gives \(4,\).*conv, norm, relu, drop$"):
            function("pool")


# Filters


def test_filters_are_scaled_around_grey():
    model = small_model()
    kernel = RNG.normal(size=(3, 3, 3, 4)).astype(np.float32)
    kernel[..., 1] = 0
    model.get_layer("conv").kernel.assign(kernel)
    filters = explain.first_layer_filters(model)
    assert filters.shape == (4, 3, 3, 3)
    assert (filters[1] == 0.5).all()
    for number in (0, 2, 3):
        scaled = filters[number] - 0.5
        assert np.abs(scaled).max() == pytest.approx(0.5)
        np.testing.assert_allclose(
            scaled / scaled[0, 0, 0], kernel[..., number] / kernel[0, 0, 0, number], rtol=1e-3
        )


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (6, 3, 3, 1)),
        (layers.SeparableConv2D(5, (3, 5)), (3, 3, 5, 1)),
        (layers.Conv2D(5, 2), (5, 2, 2, 3)),
    ],
)
def test_filters_of_every_kind(layer, shape):
    model = keras.Sequential([keras.Input((8, 8, 3)), layer, layers.Conv2D(7, 3)])
    assert explain.first_layer_filters(model).shape == shape


def test_filters_are_in_the_colours_of_the_image():
    """VGG16 takes blue, green, red; its preprocessing turns the image's channels around."""
    vgg = load_backbone("vgg16", weights=None, input_shape=(32, 32, 3), seed=0)
    bare = explain.first_layer_filters(vgg.model)
    for model in (vgg, build_classifier(vgg, 2, (48, 48, 3))):
        np.testing.assert_array_equal(explain.first_layer_filters(model), bare[..., ::-1])
    rgb = load_backbone("mini_vgg", weights=None, seed=0)
    np.testing.assert_array_equal(
        explain.first_layer_filters(rgb), explain.first_layer_filters(rgb.model)
    )


def test_filters_of_depthwise_layers_are_told_apart():
    layer = layers.DepthwiseConv2D(1, depth_multiplier=2)
    model = keras.Sequential([keras.Input((8, 8, 2)), layer])
    layer.kernel.assign(np.array([1, -1, 1, 1], np.float32).reshape(1, 1, 2, 2))
    assert explain.first_layer_filters(model).ravel().tolist() == [1, 0, 1, 1]


def test_models_without_filters():
    with pytest.raises(InputError, match="no layer of Conv2D"):
        explain.first_layer_filters(keras.Sequential([keras.Input((4,)), layers.Dense(2)]))


# Gradients


def test_norms_by_hand():
    """Of softmax regression: (probabilities - truth) times the inputs, mean over the batch."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax", name="d")])
    x, y = RNG.normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])
    error = np.asarray(model(x.astype("float32"))) - np.eye(2)[y]
    expected = np.sqrt(((x.T @ error / 5) ** 2).sum() + (error.mean(axis=0) ** 2).sum())
    table = explain.gradient_norms(model, x, y)
    assert table.columns.tolist() == ["layer", "norm", "parameters"]
    assert table["layer"].tolist() == ["d"]
    assert table["parameters"].tolist() == [8]
    assert table["norm"][0] == pytest.approx(expected, rel=1e-4)


def test_norms_are_those_of_the_step_that_keras_takes():
    """Plain gradient descent at rate 1 moves each weight by its gradient."""
    model = small_model()
    model.get_layer("drop").rate = 0.0
    images, labels = RNG.random((6, 8, 8, 3)), np.array([0, 1] * 3)
    table = explain.gradient_norms(model, images, labels).set_index("layer")
    kept = {
        layer.name: [np.asarray(w).copy() for w in layer.trainable_weights]
        for layer in model.layers
    }
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    model.train_on_batch(images, labels)
    for name in ("conv", "norm", "classes"):
        after = model.get_layer(name).trainable_weights
        moved = [np.asarray(w) - before for w, before in zip(after, kept[name], strict=True)]
        norm = np.sqrt(sum((move**2).sum() for move in moved))
        assert table.loc[name, "norm"] == pytest.approx(norm, rel=1e-3)


def test_norms_list_what_is_trained_in_order(backbone, classifier):
    table = explain.gradient_norms(classifier, IMAGES, np.array([0, 1, 2]))
    expected = [layer.name for layer in backbone.model.layers if layer.trainable_weights]
    assert table["layer"].tolist() == [*expected, "classes"]
    count = sum(int(np.prod(w.shape)) for w in classifier.trainable_weights)
    assert table["parameters"].sum() == count
    backbone.model.trainable = False
    try:
        frozen = explain.gradient_norms(classifier, IMAGES, np.array([0, 1, 2]))
    finally:
        backbone.model.trainable = True
    assert frozen["layer"].tolist() == ["classes"]


def test_norms_in_inference_mode_use_the_moving_statistics():
    model, images = small_model(), 5 * RNG.random((6, 8, 8, 3))
    model.get_layer("drop").rate = 0.0
    labels = np.array([0, 1] * 3)
    training = explain.gradient_norms(model, images, labels)["norm"]
    inference = explain.gradient_norms(model, images, labels, training=False)["norm"]
    assert not np.allclose(training, inference, rtol=0.05)


def test_what_dropout_drops_is_the_same_for_every_look():
    model, images, labels = small_model(), RNG.random((6, 8, 8, 3)), np.array([0, 1] * 3)
    model.get_layer("drop").seed_generator.state.assign(np.array([3, 0], np.uint32))
    once, again = (explain.gradient_norms(model, images, labels) for _ in range(2))
    assert once.equals(again)
    inference = explain.gradient_norms(model, images, labels, training=False)
    assert not np.allclose(once["norm"], inference["norm"], rtol=1e-3)


def test_vanishing_gradients_are_seen():
    """Sigmoids have slopes of at most a quarter: the first layers hardly learn."""
    keras.utils.set_random_seed(0)
    stack = [layers.Dense(16, activation="sigmoid") for _ in range(8)]
    model = keras.Sequential([keras.Input((4,)), *stack, layers.Dense(2, activation="softmax")])
    norms = explain.gradient_norms(model, RNG.normal(size=(20, 4)), np.array([0, 1] * 10))["norm"]
    assert (norms > 0).all()
    assert norms[0] < 1e-4 * norms.iloc[-1]


def test_other_losses():
    model = small_model(activation=None)
    images, labels = RNG.random((4, 8, 8, 3)), np.array([0, 1, 1, 0])
    with pytest.raises(InputError, match="model gives no probabilities"):
        explain.gradient_norms(model, images, labels)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    logits = explain.gradient_norms(model, images, labels, loss=loss, training=False)
    twin = small_model()
    twin.set_weights(model.get_weights())
    plain = explain.gradient_norms(twin, images, labels, training=False)
    np.testing.assert_allclose(logits["norm"], plain["norm"], rtol=1e-3)
    squared = explain.gradient_norms(model, images, np.eye(2)[labels], loss="mean_squared_error")
    assert (squared["norm"] > 0).any()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(2, int), r"labels has shape \(2,\); one for each of 3"),
        (np.array([0, 1, 2]), "integers from 0 to 1"),
        (np.array([0.0, 1.0, 1.0]), "integers from 0 to 1"),
        (np.eye(2)[[0, 1, 1]], "integers from 0 to 1"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    with pytest.raises(InputError, match=message):
        explain.gradient_norms(small_model(), np.zeros((3, 8, 8, 3)), labels)


def test_nothing_to_train():
    model = small_model()
    model.trainable = False
    with pytest.raises(InputError, match="no weights that are trained"):
        explain.gradient_norms(model, np.zeros((1, 8, 8, 3)), np.zeros(1, int))


# Probes


def test_probe_sees_the_maps_of_each_stage(tiny_dataset):
    backbone = load_backbone("mini_vgg", input_shape=(32, 32, 3))
    table = explain.probe_by_stage(backbone, tiny_dataset)
    assert table.columns.tolist() == ["stage", "features", "validation_accuracy", "test_accuracy"]
    assert table["stage"].tolist() == ["pixels", *backbone.stages]
    assert table["features"].tolist() == [16 * 16 * 3, 16, 32, 64, 96, 128]
    assert table["test_accuracy"].between(0, 1).all()
    assert table["test_accuracy"][0] == 1  # the classes differ in their mean colour
    assert table.equals(explain.probe_by_stage(backbone, tiny_dataset))


def test_pooled_stages_are_pooled_maps(tiny_dataset):
    from tlkit import stage_probe

    backbone = load_backbone("mini_resnet")
    images = tiny_dataset.test.images
    made = stage_probe._pooled_stages(backbone, images.shape[1:]).predict(images, verbose=0)
    for names, pooled in zip(backbone.stages.values(), made, strict=True):
        model = build_classifier(backbone, 3, (32, 32, 3))
        maps = explain.feature_maps(model, images, names[-1])
        np.testing.assert_allclose(pooled, maps.mean(axis=(1, 2)), rtol=1e-3, atol=1e-5)
    last = pooled_features(tiny_dataset, backbone)["test"]
    np.testing.assert_allclose(made[-1], last, rtol=1e-3, atol=1e-5)


def test_few_pixels_are_means_of_squares():
    from tlkit import stage_probe

    images = RNG.integers(0, 256, (2, 64, 32, 3)).astype(np.uint8)
    rows = stage_probe._few_pixels(images).reshape(2, 16, 16, 3)
    expected = images.reshape(2, 16, 4, 16, 2, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(rows, expected, atol=1.01 / 255)  # rounded by row and by column
    tiny = RNG.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    np.testing.assert_allclose(stage_probe._few_pixels(tiny), tiny.reshape(2, -1) / 255, rtol=1e-6)


def test_probe_wants_a_backbone(tiny_dataset):
    with pytest.raises(InputError, match="backbone 'mini_vg' is unknown"):
        explain.probe_by_stage("mini_vg", tiny_dataset)
