from keras_cnn.charts import is_logarithmic


def test_an_axis_is_logarithmic_for_positive_numbers_of_which_the_largest_is_four_times_the_smallest():
    assert is_logarithmic([0.5, 2.0])
    assert not is_logarithmic([0.6, 2.0])
    assert not is_logarithmic([0, 100])
    assert not is_logarithmic([-1, 100])
