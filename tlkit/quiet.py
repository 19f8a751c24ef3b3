"""Starts TensorFlow without what it writes to stderr before any setting can silence it."""

import os


def import_keras_quietly() -> None:
    """Import Keras and run one operation with stderr closed; an error still raises."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    try:
        import keras

        keras.ops.zeros(1)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)
