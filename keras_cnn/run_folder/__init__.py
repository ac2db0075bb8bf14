"""The run folder: written atomically, locked by one process at a time, readable even if damaged."""

from keras_cnn.run_folder.files import naming_a_full_disk, replacing, write_json, write_text
from keras_cnn.run_folder.folder import (
    HISTORY_COLUMNS,
    MULTILABEL_COLUMNS,
    RunFolder,
    is_config_of_boxes,
    is_detection_run,
    latest_unfinished,
    newest_runs,
)
from keras_cnn.run_folder.json_files import read_json
from keras_cnn.run_folder.process import environment, program_words, python, quoted, shell_command
from keras_cnn.run_folder.test_readings import READING_COLUMNS, TEST_SPLIT, record_test_reading

__all__ = [
    "HISTORY_COLUMNS",
    "MULTILABEL_COLUMNS",
    "READING_COLUMNS",
    "TEST_SPLIT",
    "RunFolder",
    "environment",
    "is_config_of_boxes",
    "is_detection_run",
    "latest_unfinished",
    "naming_a_full_disk",
    "newest_runs",
    "program_words",
    "python",
    "quoted",
    "read_json",
    "record_test_reading",
    "replacing",
    "shell_command",
    "write_json",
    "write_text",
]
