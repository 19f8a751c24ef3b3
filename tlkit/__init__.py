"""Transfer learning in Keras 3, with every statement measured.

The package is lazy: `import tlkit` imports neither TensorFlow nor matplotlib; a public name
loads its module when it is first used.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME_OF = {
    "Dataset": "datasets",
    "load_dataset": "datasets",
    "load_backbone": "backbones",
    "list_backbones": "backbones",
    "freeze": "freezing",
    "trainable_report": "freezing",
    "assert_only_trained": "freezing",
    "weight_snapshot": "freezing",
    "fit": "training",
    "compare": "comparison",
    "search_head": "head_search",
    "record": "evidence",
}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tlkit' has no attribute {name!r}")
    return getattr(import_module(f"tlkit.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
