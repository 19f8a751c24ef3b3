import functools
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import keras
import numpy as np
import pytest
from PIL import Image

from tlkit import applications
from tlkit.applications import APPLICATIONS
from tlkit.backbones import (
    MINI_PARAMETERS,
    PREPROCESS,
    STAGES,
    list_backbones,
    load_backbone,
)
from tlkit.errors import InputError
from tlkit.mini import MINI
from tlkit.paths import ROOT
from tlkit.weights import FOLDER

EVERY = [*MINI, *APPLICATIONS]
SHARED = ROOT.parent / "shared"
KERAS_MODULES = {
    "vgg16": keras.applications.vgg16,
    "vgg19": keras.applications.vgg19,
    "resnet50": keras.applications.resnet50,
    "resnet50_v2": keras.applications.resnet_v2,
    "inception_v3": keras.applications.inception_v3,
    "xception": keras.applications.xception,
    "mobilenet_v2": keras.applications.mobilenet_v2,
    "efficientnet_v2_b0": keras.applications.efficientnet_v2,
}


@functools.cache
def untrained(name):
    side = APPLICATIONS[name].smallest if name in APPLICATIONS else 64
    return load_backbone(name, weights=None, input_shape=(side, side, 3), seed=0)


def sources(layer):
    """Names of the layers whose outputs `layer` reads."""
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation.name for tensor in inputs]


def in_new_process(function, *arguments):
    """Call `function` where Keras is imported anew, and so reads KERAS_HOME."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


# Stages


@pytest.mark.parametrize("name", EVERY)
def test_stages_hold_every_layer_but_the_input_once(name):
    backbone = untrained(name)
    assert tuple(backbone.stages) == STAGES
    staged = [layer for names in backbone.stages.values() for layer in names]
    assert staged == [layer.name for layer in backbone.model.layers[1:]]
    for names in backbone.stages.values():
        assert any(backbone.model.get_layer(layer).weights for layer in names)


@pytest.mark.parametrize("name", EVERY)
def test_stages_can_be_cut(name):
    """A layer reads what is in its own stage before it, or the exit of the stage before."""
    backbone = untrained(name)
    stage_of = {layer: i for i, names in enumerate(backbone.stages.values()) for layer in names}
    stage_of[backbone.model.layers[0].name] = -1
    exits = [backbone.model.layers[0].name, *(names[-1] for names in backbone.stages.values())]
    seen = {exits[0]}
    for layer in backbone.model.layers[1:]:
        for source in sources(layer):
            assert source in seen
            if stage_of[source] != stage_of[layer.name]:
                assert stage_of[source] == stage_of[layer.name] - 1
                assert source == exits[stage_of[layer.name]]
        seen.add(layer.name)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_each_stage_halves_the_feature_map(name):
    backbone = untrained(name)
    sides = [backbone.model.get_layer(s[-1]).output.shape[1] for s in backbone.stages.values()]
    if name == "resnet50_v2":  # its stages halve at their end
        assert sides == [16, 4, 2, 1, 1]
    elif backbone.input_shape[0] == 32:
        assert sides == [16, 8, 4, 2, 1]
    else:  # convolutions without padding take a little more
        before = [backbone.input_shape[0], *sides[:-1]]
        assert all(0.3 < after / side <= 0.6 for after, side in zip(sides, before, strict=True))


@pytest.mark.parametrize("name", ["xception", "inception_v3"])
def test_layer_names_do_not_depend_on_what_was_built_before(name):
    keras.layers.Conv2D(1, 1)
    keras.layers.Add()
    again = load_backbone(name, weights=None, input_shape=untrained(name).input_shape)
    assert again.stages == untrained(name).stages
    assert {"conv2d", "batch_normalization"} <= {layer.name for layer in again.model.layers}


def test_renamed_model_is_the_same_function():
    keras.layers.Rescaling(1.0)
    options = {"include_top": False, "weights": None, "input_shape": (32, 32, 3)}
    model = keras.applications.EfficientNetV2B0(**options)
    twin = applications._with_fresh_names(model)
    assert model.get_layer("stem_conv") is not twin.get_layer("stem_conv")
    assert twin.get_layer("rescaling")
    images = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(images), twin(images))


# The catalogue


@pytest.mark.parametrize("name", EVERY)
def test_catalogue_tells_the_number_of_parameters(name):
    row = list_backbones().set_index("name").loc[name]
    assert untrained(name).parameters == row["parameters"]
    assert untrained(name).model.count_params() == row["parameters"]


def test_catalogue_is_complete():
    table = list_backbones()
    assert table["name"].tolist() == EVERY
    assert list(MINI_PARAMETERS) == list(MINI)
    assert table.notna().all(axis=None)
    assert max(MINI_PARAMETERS.values()) <= 600_000
    assert set(table.loc[table["weights"] == "imagenet", "input_size"]) == {224, 299}


def test_full_size_default_input():
    assert load_backbone("vgg16", weights=None).input_shape == (224, 224, 3)


@pytest.mark.parametrize("name", MINI)
def test_embedded_weights_are_the_default(name):
    if not (FOLDER / f"{name}.npz").exists():
        pytest.skip(f"{name} has not been pretrained yet")
    pretrained, random = load_backbone(name), untrained(name)
    assert (pretrained.weights, random.weights) == ("pretrained", None)
    images = pretrained.preprocess(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)))
    features = np.asarray(pretrained.model(images))
    assert np.isfinite(features).all()
    assert not np.allclose(features, random.model(images))


def test_seed_fixes_random_weights():
    def kernel(seed):
        model = load_backbone("mini_vgg", weights=None, input_shape=(32, 48, 3), seed=seed).model
        return model.get_layer("block1_1_conv").get_weights()[0]

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert not np.allclose(kernel(1), kernel(2))


# Preprocessing


@pytest.mark.parametrize("name", APPLICATIONS)
def test_preprocess_is_what_the_weights_were_trained_with(name):
    preprocess = untrained(name).preprocess
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype="uint8")
    expected = KERAS_MODULES[name].preprocess_input(images.astype("float32"))
    np.testing.assert_allclose(preprocess(images), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("tf", [1, 1, 1]), ("caffe", [151.061, 138.221, 131.32]), ("raw", [255, 255, 255])],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_preprocess_on_arrays_and_tensors(mode, expected, dtype):
    white = np.full((1, 2, 2, 3), 255, dtype)
    result = PREPROCESS[mode](white)
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[0, 0, 0], expected, rtol=1e-5)
    assert (white == 255).all(), "the caller's array was changed"
    np.testing.assert_array_equal(PREPROCESS[mode](keras.ops.convert_to_tensor(white)), result)


def test_a_model_that_preprocesses_loads_without_tlkit(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype="uint8")
    np.save(tmp_path / "images.npy", images)
    for mode, preprocess in PREPROCESS.items():
        backbone = load_backbone("mini_vgg", weights=None, input_shape=(32, 32, 3), seed=0)
        image = keras.Input((32, 32, 3), dtype="uint8" if mode == "tf" else "float32")
        features = backbone.model(preprocess(image))
        scores = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(features))
        model = keras.Model(image, scores)
        model.save(tmp_path / f"{mode}.keras")
        np.save(tmp_path / f"{mode}.npy", model(images))
    script = (
        "import sys, keras, numpy as np\n"
        "images = np.load('images.npy')\n"
        f"for mode in {list(PREPROCESS)}:\n"
        "    model = keras.saving.load_model(mode + '.keras')\n"
        "    np.testing.assert_array_equal(model(images), np.load(mode + '.npy'))\n"
        "assert 'tlkit' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# What cannot be had


@pytest.mark.parametrize("name", ["resnet", "mini_resnt", 7, None])
def test_unknown_name(name):
    with pytest.raises(InputError, match=r"Allowed: mini_vgg, .*efficientnet_v2_b0") as error:
        load_backbone(name)
    assert repr(name) in str(error.value)
    if name == "mini_resnt":
        assert "Did you mean 'mini_resnet'?" in str(error.value)


@pytest.mark.parametrize(
    ("name", "weights", "allowed"),
    [
        ("vgg16", "pretrained", "imagenet"),
        ("mini_vgg", "imagenet", "pretrained"),
        ("mini_vgg", "random", "pretrained"),
    ],
)
def test_weights_of_the_other_family(name, weights, allowed):
    with pytest.raises(InputError, match=f"weights='{weights}'.*'{name}'.*'{allowed}'.*None"):
        load_backbone(name, weights=weights)


@pytest.mark.parametrize(
    ("name", "shape", "smallest"),
    [
        ("mini_vgg", (31, 64, 3), 32),
        ("mini_vgg", (64, 64, 1), 32),
        ("mini_vgg", (64, 64), 32),
        ("mini_vgg", 64, 32),
        ("mini_vgg", (64.0, 64.0, 3), 32),
        ("mini_vgg", (None, None, 3), 32),
        ("xception", (64, 64, 3), 71),
        ("inception_v3", (299, 74, 3), 75),
    ],
)
def test_impossible_input_shape(name, shape, smallest):
    with pytest.raises(InputError, match=f"input_shape=.*'{name}'.*at least {smallest} pixels"):
        load_backbone(name, weights=None, input_shape=shape)


@pytest.mark.parametrize(
    "name",
    [
        n if n in {"vgg16", "mobilenet_v2"} else pytest.param(n, marks=pytest.mark.slow)
        for n in APPLICATIONS
    ],
)
def test_missing_imagenet_weights_are_one_clear_error(name, monkeypatch, tmp_path):
    asked = []

    def no_network(file_name, *arguments, **options):
        asked.append(file_name)
        raise OSError("no route to host")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", no_network)
    monkeypatch.setattr(applications, "weights_folder", lambda: tmp_path)
    with pytest.raises(InputError) as error:
        load_backbone(name)
    message = str(error.value)
    assert asked == [APPLICATIONS[name].weights_file]
    for part in [name, asked[0], str(tmp_path), "no route to host", APPLICATIONS[name].embedded]:
        assert part in message
    assert isinstance(error.value.__cause__, OSError)
    assert APPLICATIONS[name].embedded in MINI


def test_damaged_imagenet_weights_are_named(monkeypatch, tmp_path):
    damaged = tmp_path / APPLICATIONS["mobilenet_v2"].weights_file
    damaged.write_text("<html>please log in</html>")
    monkeypatch.setattr(applications, "weights_folder", lambda: tmp_path)
    with pytest.raises(InputError, match="delete it") as error:
        load_backbone("mobilenet_v2", input_shape=(96, 96, 3))
    assert str(damaged) in str(error.value)


@pytest.mark.parametrize("cached", [True, False])
def test_mobilenet_takes_the_224_weights_at_every_size(cached, monkeypatch, tmp_path):
    file_name = APPLICATIONS["mobilenet_v2"].weights_file
    source = untrained("mobilenet_v2").model
    source.save(tmp_path / file_name)
    folder = tmp_path if cached else tmp_path / "empty"
    monkeypatch.setattr(applications, "weights_folder", lambda: folder)

    def download(asked, *arguments, **options):
        assert (asked, cached) == (file_name, False)
        return str(tmp_path / file_name)

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", download)
    model = load_backbone("mobilenet_v2", input_shape=(96, 160, 3)).model
    assert model.input.shape == (None, 96, 160, 3)
    for loaded, expected in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, expected)


def test_a_cache_that_cannot_be_written_is_read_all_the_same(monkeypatch, tmp_path):
    cached = tmp_path / "models" / APPLICATIONS["vgg16"].weights_file
    cached.parent.mkdir()
    untrained("mobilenet_v2").model.save(cached)
    monkeypatch.setattr(applications, "weights_folder", lambda: cached.parent)
    monkeypatch.delattr("keras.src.utils.file_utils.get_file")
    monkeypatch.setattr(applications.os, "access", lambda *arguments: False)
    with pytest.raises(InputError, match=r"cannot be used.*[Ll]ayer"):  # read, and found wrong
        load_backbone("vgg16", input_shape=(32, 32, 3))


def message_without_weights():
    with pytest.raises(InputError) as error:
        load_backbone("mobilenet_v2", input_shape=(64, 64, 3))
    return str(error.value)


@pytest.mark.slow
def test_no_cache_and_no_network(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for variable in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]:
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ["no_proxy", "NO_PROXY"]:
        monkeypatch.delenv(variable, raising=False)
    message = in_new_process(message_without_weights)
    assert f"Keras' cache {tmp_path / 'models'} " in message
    assert "URL fetch failure" in message


# Real ImageNet weights on real images


def nearest_centroid_accuracy(side, per_class=10):
    """Accuracy on clothing of MobileNetV2's pooled features, nearest class mean by cosine."""
    backbone = load_backbone("mobilenet_v2", input_shape=(side, side, 3))
    assert backbone.weights == "imagenet"
    folders = sorted((SHARED / "data/clothing/train").iterdir())
    images = np.stack(
        [
            np.asarray(Image.open(path).convert("RGB").resize((side, side)))
            for folder in folders
            for path in sorted(folder.iterdir())[: 2 * per_class]
        ]
    )
    features = backbone.model.predict(backbone.preprocess(images), verbose=0).mean(axis=(1, 2))
    assert np.isfinite(features).all()
    features = (features - features.mean(axis=0)).reshape(len(folders), 2, per_class, -1)
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    centres = features[:, 0].mean(axis=1)
    nearest = (features[:, 1] @ centres.T).argmax(axis=-1)
    return (nearest == np.arange(len(folders))[:, None]).mean()


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("side", [224, 160])
def test_imagenet_features_tell_clothes_apart(side, monkeypatch):
    if not (SHARED / "keras-home").exists() or not (SHARED / "data/clothing").exists():
        pytest.skip("needs ../shared/keras-home and ../shared/data/clothing beside the checkout")
    monkeypatch.setenv("KERAS_HOME", str(SHARED / "keras-home"))
    assert in_new_process(nearest_centroid_accuracy, side) > 0.4  # chance: 0.1


def test_a_frozen_backbone_is_a_function_of_its_input():
    """EfficientNet's stochastic depth would change features while only a head is trained."""
    model = untrained("efficientnet_v2_b0").model
    assert not any(layer.rate for layer in model.layers if hasattr(layer, "rate"))
    model.trainable = False
    images = np.random.default_rng(0).uniform(0, 255, (2, *model.input_shape[1:])).astype("float32")
    first, second = (np.asarray(model(images, training=True)) for _ in range(2))
    assert np.array_equal(first, second)
