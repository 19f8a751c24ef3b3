"""Draws initial weights that depend on a seed and on nothing else.

`keras.utils.set_random_seed` seeds generators that all code of a process draws from, other threads
included: what a layer gets then depends on what was drawn before. Here each kernel has a seed of
its own.
"""

import keras
import numpy as np

INITIALIZERS = {  # attribute that holds the initializer -> attributes that may hold its kernel
    "kernel_initializer": ("kernel",),
    "depthwise_initializer": ("depthwise_kernel", "kernel"),
    "pointwise_initializer": ("pointwise_kernel",),
}


def draw_weights(model: keras.Model, seed: int) -> keras.Model:
    """Draw every kernel of a model anew, each from the initializer that its layer has.

    Other weights (biases, BatchNormalization) start from constants and are left alone.

    Args:
        model: functional or sequential, with no models in it.
        seed: of all kernels together.

    Returns:
        The same model.

    Example:
        >>> models = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in "ab"]
        >>> first, second = (draw_weights(model, seed=7).get_weights()[0] for model in models)
        >>> bool((first == second).all())
        True
    """
    for position, layer in enumerate(model.layers):
        for number, (name, kernels) in enumerate(INITIALIZERS.items()):
            initializer = getattr(layer, name, None)
            if initializer is None:
                continue
            kernel = next(getattr(layer, k) for k in kernels if hasattr(layer, k))
            own_seed = int(np.random.SeedSequence([seed, position, number]).generate_state(1)[0])
            config = {**initializer.get_config(), "seed": own_seed}
            drawn = type(initializer).from_config(config)(kernel.shape, dtype=kernel.dtype)
            kernel.assign(drawn)
    return model


def head_weights(features: int, classes: int, seed: int) -> list[np.ndarray]:
    """Draw what the head of a classifier starts from.

    Args:
        features: number of pooled features.
        classes: number of classes.
        seed: of the kernel.

    Returns:
        Kernel float32 [features, classes] and bias float32 [classes].

    Example:
        >>> [weight.shape for weight in head_weights(128, 10, seed=0)]
        [(128, 10), (10,)]
    """
    head = keras.Sequential([keras.Input((features,)), keras.layers.Dense(int(classes))])
    return draw_weights(head, seed).get_weights()
