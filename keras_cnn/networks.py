"""The networks by name, with their sizes and published accuracies; nothing here imports TensorFlow.

Parameters and multiply-adds are those of `models.arithmetic` for 1000 classes (ResNet8: 10) at the size of the
published weights (`scripts/list_networks.py` prints the rows); parameters include the statistics of batch norms.
"""

import ast
import functools
import os
from dataclasses import dataclass
from pathlib import Path

KERAS, TORCHVISION = "keras.io/api/applications", "pytorch.org/vision/stable/models (IMAGENET1K_V1)"
TORCHVISION_FAMILY = "torchvision"
CUSTOM = "custom"  # a Keras model of the user's own, in a file
SHIPPED_FAMILY = "shipped"  # networks whose weights come with the package
# Family -> licence of its ImageNet weights: as the documentation of keras.applications gives it; ConvNeXt, EfficientNet
# (both) and MobileNetV3 as the repositories of their authors do.
LICENCES = {
    "convnext": "MIT",
    "densenet": "BSD 3-clause",
    "efficientnet": "Apache 2.0",
    "efficientnet_v2": "Apache 2.0",
    "inception_resnet_v2": "Apache 2.0",
    "inception_v3": "Apache 2.0",
    "mobilenet": "Apache 2.0",
    "mobilenet_v2": "Apache 2.0",
    "mobilenet_v3": "Apache 2.0",
    "nasnet": "Apache 2.0",
    "resnet": "MIT",
    "resnet_v2": "BSD",
    "shipped": "MIT (Fashion-MNIST's)",
    "torchvision": "BSD 3-clause (the code's)",
    "vgg16": "CC BY 4.0",
    "vgg19": "CC BY 4.0",
    "xception": "MIT",
}
_IN_FILE_NAMES = "_weights_tf_dim_ordering_tf_kernels"  # `%` in the rows
_PUBLISHED = """
alexnet 224 61100840 714188480 56.522 79.066 torchvision alexnet-owt-7be5be79.pth
convnextbase 224 88591464 15354729472 85.3 - convnext convnext_base_notop.h5
convnextlarge 224 197767336 34361433600 86.3 - convnext convnext_large_notop.h5
convnextsmall 224 50223688 8683712256 82.3 - convnext convnext_small_notop.h5
convnexttiny 224 28589128 4455531264 81.3 - convnext convnext_tiny_notop.h5
convnextxlarge 224 350196968 60921030656 86.7 - convnext convnext_xlarge_notop.h5
densenet121 224 8062504 2834161664 75.0 92.3 densenet densenet121%_notop.h5
densenet161 224 28900936 7727907072 77.138 93.560 torchvision densenet161-8d451a50.pth
densenet169 224 14307880 3359843328 76.2 93.2 densenet densenet169%_notop.h5
densenet201 224 20242984 4291365888 77.3 93.6 densenet densenet201%_notop.h5
efficientnetb0 224 5330571 385814752 77.1 93.3 efficientnet efficientnetb0_notop.h5
efficientnetb1 240 7856239 686802832 79.1 94.4 efficientnet efficientnetb1_notop.h5
efficientnetb2 260 9177569 993561872 80.1 94.9 efficientnet efficientnetb2_notop.h5
efficientnetb3 300 12320535 1827141392 81.6 95.7 efficientnet efficientnetb3_notop.h5
efficientnetb4 380 19466823 4393771024 82.9 96.4 efficientnet efficientnetb4_notop.h5
efficientnetb5 456 30562527 10266384752 83.6 96.7 efficientnet efficientnetb5_notop.h5
efficientnetb6 528 43265143 19067593536 84.0 96.8 efficientnet efficientnetb6_notop.h5
efficientnetb7 600 66658687 37745884192 84.3 97.0 efficientnet efficientnetb7_notop.h5
efficientnetv2b0 224 7200312 718086176 78.7 94.3 efficientnet_v2 efficientnetv2-b0_notop.h5
efficientnetv2b1 240 8212124 1196819360 79.8 95.0 efficientnet_v2 efficientnetv2-b1_notop.h5
efficientnetv2b2 260 10178374 1697542832 80.5 95.1 efficientnet_v2 efficientnetv2-b2_notop.h5
efficientnetv2b3 300 14467622 3011458816 82.0 95.8 efficientnet_v2 efficientnetv2-b3_notop.h5
efficientnetv2l 480 119027848 56079699008 85.7 97.5 efficientnet_v2 efficientnetv2-l_notop.h5
efficientnetv2m 480 54431388 24582460384 85.3 97.4 efficientnet_v2 efficientnetv2-m_notop.h5
efficientnetv2s 384 21612360 8365617152 83.9 96.7 efficientnet_v2 efficientnetv2-s_notop.h5
inceptionresnetv2 299 55873736 13155794016 80.3 95.3 inception_resnet_v2 inception_resnet_v2%_notop.h5
inceptionv3 299 23851784 5713216096 77.9 93.7 inception_v3 inception_v3%_notop.h5
mobilenet 224 4253864 568740352 70.4 89.5 mobilenet mobilenet_1_0_224_tf_no_top.h5
mobilenetv2 224 3538984 300774272 71.3 90.1 mobilenet_v2 mobilenet_v2%_1.0_224_no_top.h5
mobilenetv3large 224 3957352 215040960 - - mobilenet_v3 weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5
mobilenetv3small 224 1516120 55472576 - - mobilenet_v3 weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5
nasnetlarge 331 88949818 23783414658 82.5 96.0 nasnet nasnet_large_no_top.h5
nasnetmobile 224 5326716 563638816 74.4 91.9 nasnet nasnet_mobile_no_top.h5
resnet101 224 44707176 7570194432 76.4 92.8 resnet resnet101%_notop.h5
resnet101v2 224 44675560 7194476544 77.2 93.8 resnet_v2 resnet101v2%_notop.h5
resnet152 224 60419944 11282415616 76.6 93.1 resnet resnet152%_notop.h5
resnet152v2 224 60380648 10906697728 78.0 94.2 resnet_v2 resnet152v2%_notop.h5
resnet18 224 11699112 1814073344 69.758 89.078 torchvision resnet18-f37072fd.pth
resnet34 224 21814696 3663761408 73.314 91.420 torchvision resnet34-b627a593.pth
resnet50 224 25636712 3857973248 74.9 92.1 resnet resnet50%_notop.h5
resnet50v2 224 25613800 3482255360 76.0 93.0 resnet_v2 resnet50v2%_notop.h5
resnet8 28 78714 9571712 - - shipped resnet8_fashion.keras
squeezenet1_1 224 1235496 349151936 58.178 80.624 torchvision squeezenet1_1-b8a52dc0.pth
torchvision_densenet121 224 8062504 2834161664 74.434 91.972 torchvision densenet121-a639ec97.pth
torchvision_densenet169 224 14307880 3359843328 75.600 92.806 torchvision densenet169-b2777c0a.pth
torchvision_densenet201 224 20242984 4291365888 76.896 93.370 torchvision densenet201-c1103571.pth
torchvision_resnet101 224 44654504 7801405440 77.374 93.546 torchvision resnet101-63fe2227.pth
torchvision_resnet152 224 60344232 11513626624 78.312 94.046 torchvision resnet152-394f9c45.pth
torchvision_resnet50 224 25610152 4089184256 76.130 92.862 torchvision resnet50-0676ba61.pth
torchvision_vgg16 224 138357544 15470264320 71.592 90.382 torchvision vgg16-397923af.pth
torchvision_vgg19 224 143667240 19632062464 72.376 90.876 torchvision vgg19-dcbb9e9d.pth
vgg11 224 132863336 7609090048 69.020 88.628 torchvision vgg11-8a719046.pth
vgg11_bn 224 132874344 7609090048 70.370 89.810 torchvision vgg11_bn-6002323d.pth
vgg16 224 15227688 15347142656 71.3 90.1 vgg16 vgg16%_notop.h5
vgg19 224 20537384 19508940800 71.3 90.0 vgg19 vgg19%_notop.h5
xception 299 22910480 8357403496 79.0 94.5 xception xception%_notop.h5
"""
_FROM_SCRATCH = """
five_block 28x28x1 1638922 16955136
lenet 32x32x3 390410 28803712
model1 32x32x3 18482570 135758464
model2 32x32x3 391562 28803712
net1 32x32x3 173026 1589448
net2 32x32x3 4870654 403015080
net3 32x32x3 6822334 753142440
net4 32x32x3 4406078 506522280
imagenet10 128x128x3 40940852 244073580
"""


@dataclass(frozen=True)
class ListedNetwork:
    """A network as the catalogue lists it; accuracies in per cent of ImageNet's validation images, None if unknown."""

    name: str
    image_size: str  # side in pixels of the published weights, or height x width x channels
    parameters: int
    multiply_adds: int
    top1: float | None = None
    top5: float | None = None
    family: str = ""  # of keras.applications, or torchvision; "" for a network without published weights
    weights_file: str = ""

    @property
    def source(self) -> str:
        """Where the accuracies are published."""
        return TORCHVISION if self.family == TORCHVISION_FAMILY else KERAS

    @property
    def licence(self) -> str:
        return LICENCES[self.family]

    @property
    def downloads(self) -> bool:
        """Whether Keras can download the ImageNet weights."""
        return self.family not in ("", TORCHVISION_FAMILY, SHIPPED_FAMILY)

    @property
    def weights_come_from(self) -> str:
        """Where the weights are: "here" on this machine, by a "download" of Keras, or for the user to "bring"."""
        if self.weights_path.is_file():
            return "here"
        return "download" if self.downloads else "bring"

    @property
    def weights_path(self) -> Path:
        """The file of the weights: in the package, or of the ImageNet weights in Keras's cache."""
        if self.family == SHIPPED_FAMILY:
            return Path(__file__).parent / "models" / "shipped" / self.weights_file
        return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / self.weights_file


@functools.cache
def published() -> tuple[ListedNetwork, ...]:
    """The networks with published ImageNet weights, by name."""
    return tuple(map(_parsed, _PUBLISHED.strip().splitlines()))


def _parsed(row: str) -> ListedNetwork:
    name, side, parameters, adds, top1, top5, family, file = row.split()
    file = file.replace("%", _IN_FILE_NAMES)
    return ListedNetwork(name, side, int(parameters), int(adds), _number(top1), _number(top5), family, file)


@functools.cache
def from_scratch() -> tuple[ListedNetwork, ...]:
    """The networks to train from scratch with default options, for 10 classes at the size of their publication."""
    rows = (line.split() for line in _FROM_SCRATCH.strip().splitlines())
    return tuple(ListedNetwork(name, size, int(parameters), int(adds)) for name, size, parameters, adds in rows)


def find(name: str) -> ListedNetwork | None:
    """The network with published weights of that name, or None."""
    return next((network for network in published() if network.name == name), None)


def names() -> list[str]:
    """The names of all networks that a config can have."""
    return [*_registered_from_scratch(), CUSTOM, *(network.name for network in published())]


def _number(text: str) -> float | None:
    return None if text == "-" else float(text)


@functools.cache
def _registered_from_scratch() -> tuple[str, ...]:
    """The keys of `models.FROM_SCRATCH`, read from its source, because importing it takes TensorFlow's seconds."""
    source = (Path(__file__).parent / "models" / "__init__.py").read_text(encoding="utf-8")
    tables = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "FROM_SCRATCH"
    ]
    (table,) = [table for table in tables if isinstance(table, ast.Dict)]
    return tuple(ast.literal_eval(key) for key in table.keys if key is not None)
