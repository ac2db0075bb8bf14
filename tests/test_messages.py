import pytest

from keras_cnn.messages import capitalised, counted, wrapped


def test_a_sentence_is_broken_between_words_and_below_its_own_beginning(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = "after 12 steps the statistics of batch norms still hold 88% of what they start with: train longer"
    first, second = wrapped(words, "note      ", 10)
    assert first == "note      after 12 steps the statistics of batch norms still hold 88% of what"
    assert second == "          they start with: train longer"
    path = "/data/" + 90 * "a"
    assert wrapped(f"see {path}", "note      ", 10) == ["note      see", f"          {path}"]  # it can be copied


@pytest.mark.parametrize(
    ("number", "nouns", "words"),
    [
        (0, ["image"], "0 images"),
        (1, ["image"], "1 image"),
        (2000, ["image"], "2,000 images"),
        (2, ["box", "boxes"], "2 boxes"),
    ],
)
def test_a_noun_agrees_with_its_number(number, nouns, words):
    assert counted(number, *nouns) == words


def test_a_sentence_begins_with_a_capital_unless_its_first_word_has_one_inside():
    assert capitalised("macro F1 of the folds") == "Macro F1 of the folds"
    assert capitalised("mAP@0.5 of the folds") == "mAP@0.5 of the folds"
