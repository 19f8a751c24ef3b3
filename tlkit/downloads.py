"""Datasets that are fetched once and then lie in a cache."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tlkit.dataset import Dataset, Split, image_size, stratified_split, take_per_class
from tlkit.errors import InputError
from tlkit.folders import empty_images, load_folder
from tlkit.paths import cache_folder

OFFLINE = "digits, wild_digits, glyphs, oct_phantom"
FLOWERS_URL = (
    "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
)
PNEUMONIA_FILE = "pneumoniamnist.npz"
PNEUMONIA_URL = f"https://zenodo.org/records/10519652/files/{PNEUMONIA_FILE}?download=1"
PNEUMONIA_MD5 = "28209eda62fecd6e6a2d98b1501bb15f"
CIFAR10_CLASSES = (
    "airplane automobile bird cat deer dog frog horse ship truck".split()  # in the labels' order
)
FASHION_CLASSES = (
    "T-shirt/top,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,ankle boot".split(",")
)
