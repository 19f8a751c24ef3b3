"""The crop among the augmentations: a window of its own for each image."""

import keras
from keras import layers

# What lies beyond an image's edge is its mirror image: "constant" would add dark wedges and
# "nearest" streaks, both of them edges that no photograph has and that a network can learn.
FILL = "reflect"


@keras.saving.register_keras_serializable("tlkit")
class RandomWindow(layers.Layer):
    """Crops each image to its own random window and resizes it, in training only.

    `keras.layers.RandomCrop` draws one place for a whole batch and one size for ever; this layer
    draws both for each image. The window keeps the image's proportions.

    Args:
        share: least length of the window's sides, as a share of the image's.
        seed: of the windows.
    """

    def __init__(self, share: float, seed: int | None = None, **kwargs):
        """See the class."""
        super().__init__(**kwargs)
        self.share, self.seed = share, seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        """Return the windows, at the size of the images [n, h, w, 3]."""
        if not training:
            return images
        count, height, width, _ = keras.ops.shape(images)
        # Random numbers of shape [n, 1]: a window's share, and where it lies in the room left.
        share = keras.random.uniform((count, 1), self.share, 1.0, seed=self.generator)
        left = keras.random.uniform((count, 1), seed=self.generator) * (1 - share) * (width - 1)
        top = keras.random.uniform((count, 1), seed=self.generator) * (1 - share) * (height - 1)
        none = keras.ops.zeros_like(share)
        # Pixel (x, y) of the result is pixel (share x + left, share y + top) of the image.
        rows = [share, none, left, none, share, top, none, none]
        return keras.ops.image.affine_transform(
            images, keras.ops.concatenate(rows, axis=1), fill_mode=FILL
        )

    def get_config(self) -> dict:
        """Return what `from_config` needs."""
        return {**super().get_config(), "share": self.share, "seed": self.seed}
