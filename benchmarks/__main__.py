"""`make bench`: every measured claim of the project, as ratios in interleaved runs. Run it on an idle machine."""

from benchmarks import pipeline, prediction, training

if __name__ == "__main__":
    pipeline.main()
    print()
    training.main()
    print()
    prediction.main()
