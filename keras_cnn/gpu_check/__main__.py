"""A measurement in a process of its own: `python -m keras_cnn.gpu_check NAME SCALE` prints its numbers as JSON."""

import json
import sys

from keras_cnn.tensorflow_import import import_tensorflow

if __name__ == "__main__":
    import_tensorflow()
    from keras_cnn.gpu_check.measurements import ALONE
    from keras_cnn.gpu_check.workload import SCALES

    name, scale = sys.argv[1:]
    print(json.dumps(ALONE[name](SCALES[scale])))
