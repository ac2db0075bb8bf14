import json

from keras_cnn.training import callbacks


def row(epoch, accuracy, loss):
    return {"epoch": epoch, "val_accuracy": accuracy, "val_loss": loss}


def test_best_by_accuracy_breaks_ties_by_loss_then_by_age():
    best = callbacks.Best("val_accuracy")
    rows = [row(1, 0.5, 2.0), row(2, 0.7, 1.5), row(3, 0.7, 1.4), row(4, 0.7, 1.4), row(5, 0.6, 1.0)]
    assert [best.update(r) for r in rows] == [True, True, True, False, False]
    assert best.epoch == 3


def test_best_by_loss():
    best = callbacks.Best("val_loss")
    assert [best.update(row(e, 0.1, loss)) for e, loss in enumerate([3.0, 2.0, 2.0, 1.9, 1.9], 1)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert best.epoch == 4


def test_early_stopping_counts_epochs_since_the_best():
    best = callbacks.Best("val_loss", epoch=4)
    assert [callbacks.EarlyStopping(3).stops(e, best) for e in (4, 6, 7)] == [False, False, True]
    assert not callbacks.EarlyStopping(None).stops(1000, best)


def test_plateau_drops_after_its_patience_and_starts_again():
    plateau = callbacks.Plateau(gamma=0.5, patience=2)
    scales = []
    for loss in [1.0, 1.0, 1.1, 0.9, 1.0, 1.0, 1.0, 1.0]:
        plateau.update(loss)
        scales.append(plateau.scale)
    assert scales == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_state_survives_json():
    best, plateau = callbacks.Best("val_loss"), callbacks.Plateau(0.1, 3)
    plateau.update(0.3)
    text = json.dumps(callbacks.state_of(best, plateau))
    again = callbacks.Best("val_loss"), callbacks.Plateau(0.1, 3)
    callbacks.restore(json.loads(text), *again)
    assert again == (best, plateau)
