from keras_cnn.charts import as_number, is_logarithmic, text


def test_numbers_of_an_axis_are_short():
    numbers = (0, 1e-4, 0.12345, 1500, 9999, 1e4, -25_000, 1.5e6, 2e9)
    assert [as_number(n) for n in numbers] == ["0", "0.0001", "0.1235", "1500", "9999", "10k", "-25k", "1.5M", "2G"]


def test_durations_change_their_unit_at_a_minute_and_at_an_hour():
    seconds = (4.25, 59.9, 60, 99, 3599, 3600, 4000)
    texts = ["4.2 s", "59.9 s", "1 min 00 s", "1 min 39 s", "59 min 59 s", "1 h 00 min", "1 h 06 min"]
    assert [text.duration(s) for s in seconds] == texts


def test_an_axis_is_logarithmic_for_positive_numbers_of_which_the_largest_is_four_times_the_smallest():
    assert is_logarithmic([0.5, 2.0])
    assert not is_logarithmic([0.6, 2.0])
    assert not is_logarithmic([0, 100])
    assert not is_logarithmic([-1, 100])
