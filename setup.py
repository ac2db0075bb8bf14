"""What pyproject.toml cannot say: `configs/` is the package data of `keras_cnn.configs`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["keras_cnn*"]), "keras_cnn.configs"],
    package_dir={"keras_cnn.configs": "configs"},
)
