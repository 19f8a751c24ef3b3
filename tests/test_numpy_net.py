import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tlkit import numpy_net as net
from tlkit.errors import InputError

sides = st.integers(3, 9)
kernels = st.integers(1, 4)
strides = st.integers(1, 3)
paddings = st.sampled_from(["valid", "same"])
seeds = st.integers(0, 10_000)
shapes = st.tuples(st.integers(1, 3), sides, sides, st.integers(1, 3))
windows = st.tuples(kernels, kernels)
moderate = settings(deadline=None, max_examples=25)

# Options given to the function of this package and to its partner in Keras. TensorFlow rounds the
# constants of some functions to float32 even for float64 arrays, 1 / sqrt(2) in gelu among them:
# hence constants that float32 holds exactly, and the definition of gelu.
PARTNERS = {
    "identity": (keras.activations.linear, {}),
    "sigmoid": (keras.activations.sigmoid, {}),
    "tanh": (keras.activations.tanh, {}),
    "relu": (keras.activations.relu, {}),
    "leaky_relu": (keras.activations.leaky_relu, {"negative_slope": 0.375}),
    "elu": (keras.activations.elu, {"alpha": 0.7}),
    "gelu": (lambda x: x * (1 + tf.math.erf(x / np.sqrt(2))) / 2, {}),
    "silu": (keras.activations.silu, {}),
    "softplus": (keras.activations.softplus, {}),
}


def close(actual, expected, tolerance=1e-10):
    expected = np.asarray(expected)
    assert np.shape(actual) == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def taped(function, *arrays):
    """Value by TensorFlow, a gradient of the output drawn at random, and where it leads."""
    tensors = [tf.constant(array, tf.float64) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output = function(*tensors)
    gradient = normal(*output.shape, seed=99)
    return output.numpy(), gradient, tape.gradient(output, tensors, tf.constant(gradient))


def assert_agrees(own, reference, *arrays):
    """Output of `own` and the gradients it leads back are those of `reference`."""
    expected, gradient, expected_gradients = taped(reference, *arrays)
    output, backward = own(*arrays)
    close(output, expected)
    found = backward(gradient)
    found = found if isinstance(found, tuple) else (found,)
    assert len(found) == len(arrays)
    for one, other in zip(found, expected_gradients, strict=True):
        close(one, other)


# Activations


def test_every_activation_has_a_partner():
    assert set(net.ACTIVATIONS) == set(PARTNERS)
    assert net.swish is net.silu


@pytest.mark.parametrize("name", PARTNERS)
@given(seed=seeds, scale=st.sampled_from([0.1, 1.0, 10.0, 100.0]))
@moderate
def test_activations_and_slopes_are_those_of_keras(name, seed, scale):
    reference, options = PARTNERS[name]
    x = scale * normal(3, 4, seed=seed)
    expected, gradient, (expected_gradient,) = taped(lambda x: reference(x, **options), x)
    value, slope = net.ACTIVATIONS[name](x, **options)
    close(value, expected)
    close(gradient * slope, expected_gradient)


@pytest.mark.parametrize("name", PARTNERS)
@pytest.mark.filterwarnings("error")
def test_activations_at_zero_and_far_out(name):
    reference, options = PARTNERS[name]
    x = np.array([-1000.0, -40.0, -0.0, 0.0, 40.0, 1000.0])
    expected, gradient, (expected_gradient,) = taped(lambda x: reference(x, **options), x)
    value, slope = net.ACTIVATIONS[name](x, **options)
    close(value, expected)
    close(gradient * slope, expected_gradient)


def test_defaults_of_activations_are_those_of_keras():
    x = normal(20)
    close(net.leaky_relu(x)[0], keras.activations.leaky_relu(tf.constant(x)), 1e-7)
    close(net.gelu(x)[0], keras.activations.gelu(tf.constant(x), approximate=False), 1e-7)
    close(net.elu(x)[0], keras.activations.elu(tf.constant(x)))


@pytest.mark.parametrize("name", PARTNERS)
def test_precision_of_floats_is_kept_and_integers_are_taken(name):
    value, slope = net.ACTIVATIONS[name](np.float32([-2, 0, 3]))
    assert value.dtype == slope.dtype == np.float32
    value, slope = net.ACTIVATIONS[name]([-2, 0, 3])
    assert value.dtype == slope.dtype == np.float64


def test_relu_is_flat_at_zero():
    assert net.relu([0.0])[1].tolist() == [0.0]


# Layers


@given(n=st.integers(1, 3), inputs=st.integers(1, 5), units=st.integers(1, 4), seed=seeds)
@moderate
def test_dense(n, inputs, units, seed):
    arrays = [normal(n, inputs, seed=seed), normal(inputs, units), normal(units, seed=1)]
    assert_agrees(net.dense, lambda x, w, b: x @ w + b, *arrays)


def test_dense_is_the_layer_of_keras():
    layer = keras.layers.Dense(3, dtype="float64", bias_initializer="normal")
    x = normal(4, 5)
    expected = layer(x)
    close(net.dense(x, *layer.get_weights())[0], expected)


@given(
    shape=shapes,
    kernel=windows,
    filters=st.integers(1, 3),
    stride=strides,
    padding=paddings,
    seed=seeds,
)
@example(shape=(1, 3, 9, 2), kernel=(4, 2), filters=2, stride=3, padding="same", seed=0)
@example(shape=(2, 9, 4, 1), kernel=(1, 2), filters=3, stride=3, padding="same", seed=0)
@example(shape=(3, 4, 3, 3), kernel=(4, 3), filters=1, stride=2, padding="valid", seed=0)
@moderate
def test_conv2d(shape, kernel, filters, stride, padding, seed):
    assume(padding == "same" or (kernel[0] <= shape[1] and kernel[1] <= shape[2]))
    arrays = [
        normal(*shape, seed=seed),
        normal(*kernel, shape[3], filters, seed=seed + 1),
        normal(filters, seed=seed + 2),
    ]
    assert_agrees(
        lambda *a: net.conv2d(*a, strides=stride, padding=padding),
        lambda x, k, b: keras.ops.conv(x, k, strides=stride, padding=padding) + b,
        *arrays,
    )


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_conv2d_is_the_layer_of_keras(padding):
    layer = keras.layers.Conv2D(
        4, (2, 3), strides=2, padding=padding, dtype="float64", bias_initializer="normal"
    )
    x = normal(2, 8, 7, 3)
    expected = layer(x)
    close(net.conv2d(x, *layer.get_weights(), strides=2, padding=padding)[0], expected)


def test_conv2d_with_a_stride_for_rows_and_one_for_columns():
    x, kernel, bias = normal(2, 7, 9, 2), normal(3, 2, 2, 3), normal(3)
    output, backward = net.conv2d(x, kernel, bias, strides=(2, 3))
    dense_output, dense_backward = net.conv2d(x, kernel, bias)
    close(output, dense_output[:, ::2, ::3])
    spread = np.zeros_like(dense_output)
    spread[:, ::2, ::3] = output
    for one, other in zip(backward(output), dense_backward(spread), strict=True):
        close(one, other)


POOLS = {
    "max": (net.max_pool2d, keras.ops.max_pool),
    "average": (net.average_pool2d, keras.ops.average_pool),
}


@pytest.mark.parametrize("kind", POOLS)
@given(shape=shapes, pool=windows, stride=st.none() | strides, padding=paddings, seed=seeds)
@example(shape=(1, 3, 9, 2), pool=(4, 2), stride=3, padding="same", seed=0)
@example(shape=(2, 9, 4, 1), pool=(1, 2), stride=3, padding="same", seed=0)
@example(shape=(2, 5, 7, 2), pool=(3, 2), stride=None, padding="valid", seed=0)
@moderate
def test_pooling(kind, shape, pool, stride, padding, seed):
    assume(padding == "same" or (pool[0] <= shape[1] and pool[1] <= shape[2]))
    own, reference = POOLS[kind]
    options = {"pool_size": pool, "strides": stride, "padding": padding}
    assert_agrees(
        lambda x: own(x, **options), lambda x: reference(x, **options), normal(*shape, seed=seed)
    )


@given(shape=shapes, pool=windows, stride=strides, padding=paddings, seed=seeds)
@example(shape=(1, 6, 6, 1), pool=(3, 3), stride=1, padding="same", seed=0)
@moderate
def test_gradient_of_equal_maxima_goes_to_the_first(shape, pool, stride, padding, seed):
    assume(padding == "same" or (pool[0] <= shape[1] and pool[1] <= shape[2]))
    x = np.random.default_rng(seed).integers(-1, 1, shape).astype(float)
    options = {"pool_size": pool, "strides": stride, "padding": padding}
    assert_agrees(
        lambda x: net.max_pool2d(x, **options), lambda x: keras.ops.max_pool(x, **options), x
    )


def test_first_of_equal_maxima_by_hand():
    _, backward = net.max_pool2d(np.ones((1, 4, 2, 1)))
    gradient = backward(np.array([3.0, 5.0]).reshape(1, 2, 1, 1))
    assert gradient[0, :, :, 0].tolist() == [[3, 0], [0, 0], [5, 0], [0, 0]]


def test_average_counts_only_pixels_of_the_image():
    output, _ = net.average_pool2d(np.ones((1, 3, 3, 1)), pool_size=2, strides=1, padding="same")
    close(output, np.ones((1, 3, 3, 1)))


def test_pools_are_the_layers_of_keras_by_default():
    x = normal(2, 6, 5, 3)
    close(net.max_pool2d(x)[0], keras.layers.MaxPooling2D(dtype="float64")(x))
    close(net.average_pool2d(x)[0], keras.layers.AveragePooling2D(2, dtype="float64")(x))


@given(shape=shapes, seed=seeds)
@moderate
def test_flatten_and_global_average(shape, seed):
    x = normal(*shape, seed=seed)
    assert_agrees(net.flatten, keras.layers.Flatten(dtype="float64"), x)
    gap = keras.layers.GlobalAveragePooling2D(dtype="float64")
    assert_agrees(net.global_average_pool2d, gap, x)


@given(size=sides, kernel=kernels, stride=strides, padding=paddings)
@example(size=3, kernel=4, stride=1, padding="same")
@moderate
def test_output_size_is_that_of_keras(size, kernel, stride, padding):
    assume(padding == "same" or kernel <= size)
    layer = keras.layers.Conv2D(1, kernel, strides=stride, padding=padding)
    expected = layer.compute_output_shape((1, size, size, 1))[1]
    assert net.output_size(size, kernel, stride, padding) == expected
    pool = keras.layers.MaxPooling2D(kernel, strides=stride, padding=padding)
    x = np.zeros((1, size, size, 1))
    assert pool(x).shape[1] == expected
    own = net.max_pool2d(x, pool_size=kernel, strides=stride, padding=padding)[0]
    assert own.shape[1:3] == (expected, expected)


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: net.conv2d(x, np.ones((2, 2, 1, 1), np.float32), np.zeros(1, np.float32)),
        net.max_pool2d,
        net.average_pool2d,
        net.global_average_pool2d,
        net.flatten,
    ],
)
def test_layers_keep_float32(layer):
    output, backward = layer(np.ones((1, 4, 4, 1), np.float32))
    found = backward(output)
    found = found if isinstance(found, tuple) else (found,)
    assert {array.dtype for array in (output, *found)} == {np.dtype(np.float32)}


# Losses


@given(
    n=st.integers(1, 5),
    classes=st.integers(2, 5),
    scale=st.sampled_from([1.0, 50.0, 2000.0]),
    seed=seeds,
)
@moderate
def test_softmax_cross_entropy(n, classes, scale, seed):
    logits = scale * normal(n, classes, seed=seed)
    labels = np.random.default_rng(seed).integers(0, classes, n)
    tensor = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        losses = keras.ops.sparse_categorical_crossentropy(labels, tensor, from_logits=True)
        expected = tf.reduce_mean(losses)
    loss, gradient = net.softmax_cross_entropy(logits, labels)
    assert type(loss) is float
    close(loss, expected)
    close(gradient, tape.gradient(expected, tensor))
    close(net.softmax(logits), keras.ops.softmax(tensor))


@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), seed=seeds)
@moderate
def test_mean_squared_error(shape, seed):
    predictions, targets = normal(*shape, seed=seed), normal(*shape, seed=seed + 1)
    tensor = tf.constant(predictions)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        expected = tf.reduce_mean(keras.losses.mean_squared_error(tf.constant(targets), tensor))
    loss, gradient = net.mean_squared_error(predictions, targets)
    assert type(loss) is float
    close(loss, expected)
    close(gradient, tape.gradient(expected, tensor))


def test_gradients_of_losses_keep_float32():
    one = np.ones((2, 3), np.float32)
    assert net.softmax_cross_entropy(one, [0, 1])[1].dtype == np.float32
    assert net.mean_squared_error(one, one)[1].dtype == np.float32


# Initialisers


@pytest.mark.parametrize("shape", [(300, 500), (3, 3, 64, 128), (2, 5, 100, 60)])
@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "lecun_normal"])
def test_initialisers_have_the_moments_of_those_of_keras(name, shape):
    kernel = getattr(net, name)(shape, np.random.default_rng(0))
    reference = keras.ops.convert_to_numpy(getattr(keras.initializers, name)(seed=0)(shape))
    assert kernel.shape == shape
    assert kernel.var() == pytest.approx(reference.var(), rel=0.03)
    assert abs(kernel.mean()) < 5 * kernel.std() / np.sqrt(kernel.size)
    if name == "glorot_uniform":
        assert np.abs(kernel).max() == pytest.approx(np.abs(reference).max(), rel=0.01)


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "lecun_normal"])
def test_initialisers_draw_from_the_generator_given(name):
    def draw(seed):
        return getattr(net, name)((3, 4), np.random.default_rng(seed))

    assert np.array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


# Networks


def small_networks(*, filters=3, pooling="max", head="flatten", activation="relu"):
    """The same convolutional network in this package and in Keras, with equal weights."""
    pool = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[pooling]
    to_vector = {
        "flatten": (net.flatten, keras.layers.Flatten),
        "gap": (net.global_average_pool2d, keras.layers.GlobalAveragePooling2D),
    }[head]
    reference = keras.Sequential(
        [
            keras.Input((7, 6, 2), dtype="float64"),
            keras.layers.Conv2D(filters, 3, padding="same", dtype="float64"),
            keras.layers.Activation(PARTNERS[activation][0], dtype="float64"),
            pool(2, dtype="float64"),
            keras.layers.Conv2D(4, 2, dtype="float64", bias_initializer="normal"),
            keras.layers.Activation("tanh", dtype="float64"),
            to_vector[1](dtype="float64"),
            keras.layers.Dense(3, dtype="float64"),
        ]
    )
    weights = reference.get_weights()
    own = net.Network(
        [
            net.Layer(net.conv2d, *weights[:2], padding="same"),
            net.Layer(net.ACTIVATIONS[activation]),
            net.Layer(POOLS[pooling][0], pool_size=2),
            net.Layer(net.conv2d, *weights[2:4]),
            net.Layer(net.tanh),
            net.Layer(to_vector[0]),
            net.Layer(net.dense, *weights[4:]),
        ]
    )
    return own, reference


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("head", ["flatten", "gap"])
def test_whole_networks(pooling, head, activation):
    own, reference = small_networks(pooling=pooling, head=head, activation=activation)
    x, labels = normal(3, 7, 6, 2), np.array([0, 2, 1])
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
        expected = loss_of(labels, reference(tensor))
    gradients = tape.gradient(expected, [tensor, *reference.trainable_variables])

    loss, gradient = net.softmax_cross_entropy(own.forward(x), labels)
    close(loss, expected)
    close(own.backward(gradient), gradients[0])
    assert len(own.gradients) == len(own.parameters) == 6
    for one, other in zip(own.gradients, gradients[1:], strict=True):
        close(one, other)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_networks_agree_with_central_differences(pooling):
    own, _ = small_networks(pooling=pooling, activation="softplus")
    x, labels = normal(2, 7, 6, 2), [2, 0]

    def loss(_):
        return net.softmax_cross_entropy(own.forward(x), labels)[0]

    x_gradient = own.backward(net.softmax_cross_entropy(own.forward(x), labels)[1])
    gradients = own.gradients
    for parameter, gradient in zip(own.parameters, gradients, strict=True):
        assert net.gradient_check(loss, parameter, gradient) < 1e-7
    assert net.gradient_check(loss, x, x_gradient) < 1e-7


def test_a_layer_owns_its_parameters():
    kernel = np.ones((2, 1))
    layer = net.Layer(net.dense, kernel, [0])
    layer.parameters[0] += 1
    assert kernel.tolist() == [[1], [1]]
    assert layer.parameters[1].dtype == np.float64


# Optimisers

# Constants that float32 holds exactly, as Keras rounds them to it; its defaults are not.
EXACT_ADAM = {"learning_rate": 2**-6, "beta_1": 0.875, "beta_2": 1 - 2**-10}
OPTIMIZERS = {
    "plain": ("SGD", {"learning_rate": 0.125}, 1e-10),
    "momentum": ("SGD", {"learning_rate": 0.125, "momentum": 0.875}, 1e-10),
    "nesterov": ("SGD", {"learning_rate": 0.125, "momentum": 0.875, "nesterov": True}, 1e-10),
    "adam": ("Adam", EXACT_ADAM, 1e-10),
    "large epsilon": ("Adam", EXACT_ADAM | {"epsilon": 0.25}, 1e-10),
    "defaults of SGD": ("SGD", {}, 1e-8),
    "defaults of Adam": ("Adam", {}, 1e-6),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_are_those_of_keras(name):
    kind, options, tolerance = OPTIMIZERS[name]
    own, reference = getattr(net, kind)(**options), getattr(keras.optimizers, kind)(**options)
    parameters = [normal(3, 2), normal(4, seed=1)]
    variables = [keras.Variable(parameter, dtype="float64") for parameter in parameters]
    started = [parameter.copy() for parameter in parameters]
    for step in range(20):
        noise = [normal(*w.shape, seed=step + 10) for w in parameters]
        gradients = [w + e for w, e in zip(parameters, noise, strict=True)]
        reference.apply([tf.constant(g) for g in gradients], variables)
        own.step(parameters, gradients)
        for parameter, variable in zip(parameters, variables, strict=True):
            close(parameter, variable, tolerance)
    assert all(np.abs(w - s).max() > 1e-3 for w, s in zip(parameters, started, strict=True))


def test_a_network_trained_for_twenty_steps_is_that_of_keras():
    own, reference = small_networks()
    x, labels = normal(6, 7, 6, 2), np.arange(6) % 3
    own_optimizer, keras_optimizer = net.Adam(**EXACT_ADAM), keras.optimizers.Adam(**EXACT_ADAM)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    losses = []
    for _ in range(20):
        with tf.GradientTape() as tape:
            expected = loss_of(labels, reference(tf.constant(x)))
        variables = reference.trainable_variables
        keras_optimizer.apply(tape.gradient(expected, variables), variables)
        loss, gradient = net.softmax_cross_entropy(own.forward(x), labels)
        own.backward(gradient)
        own_optimizer.step(own.parameters, own.gradients)
        losses.append(loss)
        close(loss, expected)
    assert losses[-1] < 0.8 * losses[0]
    for parameter, variable in zip(own.parameters, variables, strict=True):
        close(parameter, variable, 1e-9)


# Gradient check


@given(entry=st.integers(0, 11), error=st.sampled_from([1e-3, -0.1, 3.0]), seed=seeds)
@moderate
def test_gradient_check_finds_one_wrong_entry(entry, error, seed):
    x, kernel, bias = normal(5, 4, seed=seed), normal(4, 3, seed=seed + 1), normal(3)
    labels = [0, 1, 2, 1, 0]

    def loss(kernel):
        return net.softmax_cross_entropy(net.dense(x, kernel, bias)[0], labels)[0]

    output, backward = net.dense(x, kernel, bias)
    _, gradient, _ = backward(net.softmax_cross_entropy(output, labels)[1])
    before = kernel.copy()
    assert net.gradient_check(loss, kernel, gradient) < 1e-7
    assert np.array_equal(kernel, before)
    wrong = gradient.copy()
    wrong.flat[entry] += error * np.abs(gradient).max()
    assert net.gradient_check(loss, kernel, wrong) > 1e-4


def test_gradient_check_of_what_does_not_matter_is_zero():
    assert net.gradient_check(lambda x: 1.0, np.ones(3), np.zeros(3)) == 0


# Errors name the argument, its value and what is allowed

IMAGE = np.ones((1, 4, 4, 2))
KERNEL = np.ones((3, 3, 2, 5))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: net.conv2d(IMAGE, KERNEL, np.zeros(5), padding="full"), "padding='full'.*'same'"),
        (lambda: net.conv2d(IMAGE, KERNEL, np.zeros(5), strides=0), "strides=0.*>= 1"),
        (lambda: net.conv2d(IMAGE, KERNEL, np.zeros(5), strides=(1, 1.5)), r"strides=\(1, 1.5\)"),
        (
            lambda: net.conv2d(IMAGE, KERNEL, np.zeros(5), strides=(1, 1, 1)),
            r"strides=\(1, 1, 1\).*rows",
        ),
        (lambda: net.conv2d(IMAGE, np.ones((5, 3, 2, 5)), np.zeros(5)), "kernel=5.*<= 4"),
        (lambda: net.conv2d(IMAGE, np.ones((3, 3, 1, 5)), np.zeros(5)), r"kernel.*1, 5\].*2, filt"),
        (lambda: net.conv2d(IMAGE, KERNEL, np.zeros(1)), r"bias has shape \[1\].*\[5\]"),
        (lambda: net.conv2d(IMAGE[0], KERNEL, np.zeros(5)), r"x has shape \[4, 4, 2\].*channels"),
        (lambda: net.conv2d(IMAGE, KERNEL, np.zeros(5))[1](np.ones(5)), "gradient.*2, 2, 5"),
        (lambda: net.max_pool2d(IMAGE, pool_size=0), "pool_size=0"),
        (lambda: net.max_pool2d(IMAGE, strides=0), "strides=0"),
        (lambda: net.max_pool2d(IMAGE, padding="SAME"), "padding='SAME'"),
        (lambda: net.max_pool2d(IMAGE)[1](np.ones((1, 2, 2, 1))), "gradient.*2, 2, 2"),
        (lambda: net.average_pool2d(IMAGE, pool_size=5), "kernel=5.*<= 4"),
        (lambda: net.average_pool2d(IMAGE)[1](np.ones((1, 1, 1, 1))), "gradient.*2, 2, 2"),
        (lambda: net.global_average_pool2d(np.ones((2, 3))), r"x has shape \[2, 3\]"),
        (lambda: net.global_average_pool2d(IMAGE)[1](np.ones(2)), r"gradient.*\[2\].*\[1, 2\]"),
        (lambda: net.flatten(np.ones(3)), r"x has shape \[3\]"),
        (lambda: net.flatten(np.ones((0, 2, 2, 1))), r"x has shape \[0, 2, 2, 1\]"),
        (lambda: net.flatten(IMAGE)[1](IMAGE), r"gradient.*\[1, 32\]"),
        (lambda: net.dense(np.ones((2, 3)), np.ones((4, 1)), [0]), r"kernel.*\[3, units\]"),
        (lambda: net.dense(np.ones((2, 3)), np.ones((3, 2)), [0]), r"bias.*\[2\]"),
        (lambda: net.dense([[1]], [[1]], [0])[1]([1]), r"gradient.*\[1, 1\]"),
        (lambda: net.output_size(0, 1), "size=0"),
        (lambda: net.output_size(3, 1.5), "kernel=1.5"),
        (lambda: net.output_size(3, 4), "kernel=4.*<= 3"),
        (lambda: net.softmax_cross_entropy(np.ones((2, 3)), [0, 3]), "0..3.*0..2"),
        (lambda: net.softmax_cross_entropy(np.ones((2, 3)), [0, -1]), "-1..0.*0..2"),
        (lambda: net.softmax_cross_entropy(np.ones((2, 3)), [0.0, 1.0]), "float64.*integers"),
        (lambda: net.softmax_cross_entropy(np.ones((2, 3)), [0]), r"labels.*\[1\].*\[2\]"),
        (lambda: net.softmax(np.ones(3)), r"logits has shape \[3\]"),
        (lambda: net.mean_squared_error(np.ones((3, 1)), np.ones(3)), r"targets.*\[3\].*\[3, 1\]"),
        (lambda: net.Layer(net.relu).backward(IMAGE), "before forward"),
        (lambda: net.SGD().step([np.ones(3)], []), "0 given.*1"),
        (lambda: net.SGD().step([np.ones(3)], [np.ones(1)]), r"gradient.*\[1\].*\[3\]"),
        (lambda: net.Adam().step([np.ones(3)], [np.ones((1, 3))]), r"gradient.*\[3\]"),
        (lambda: net.gradient_check(np.sum, np.ones(3, np.float32), np.ones(3)), "float64"),
        (lambda: net.gradient_check(np.sum, np.ones(3), np.ones(1)), r"gradient.*\[3\]"),
    ],
)
def test_errors_say_what_is_allowed(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_an_activation_in_a_network_takes_gradients_of_its_own_shape_only():
    layer = net.Layer(net.relu)
    layer.forward(np.ones((2, 3)))
    with pytest.raises(InputError, match="gradient"):
        layer.backward(np.ones((1, 3)))
