import numpy as np

from keras_cnn.views.embedding import ClassifiedPoints, _traces


def test_the_page_of_many_classes_names_the_twenty_most_frequent():
    labels = np.repeat(np.arange(60), np.r_[np.full(20, 3), np.full(20, 1), np.full(20, 2)])
    images = ClassifiedPoints(labels, np.zeros(len(labels), bool), [f"kind {i}." for i in range(60)])
    traces = _traces(np.zeros((len(labels), 2)), images)
    assert [trace.name for trace in traces] == [*(f"kind {i}." for i in range(20)), "other classes"]
    assert sorted(i for trace in traces for i in trace.customdata) == list(range(len(labels)))
    assert labels[list(traces[-1].customdata)].tolist() == labels[60:].tolist()
