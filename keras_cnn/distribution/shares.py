"""Which rows of each batch the replicas of a process train on."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Share:
    """The replicas of this process among those of all processes; together they train on each batch once.

    A batch with fewer images than replicas is given whole to each of them, with a weight of one replica in all.
    """

    replicas: int = 1  # of all processes
    first: int = 0  # number of this process's first replica
    local: int = 1  # replicas of this process
    overlap: bool = False  # a part begins with the image before it, which MixUp and CutMix mix with its first

    @property
    def is_whole(self) -> bool:
        """Whether one replica trains on every batch alone."""
        return self.replicas == 1

    def parts(self, count: int) -> list[np.ndarray]:
        """For each replica of this process, its row numbers in a batch of `count` images."""
        if self.is_whole:
            return [np.arange(count)]
        numbers = range(self.first, self.first + self.local)
        if count < self.replicas:
            rows = [np.arange(count) for _ in numbers]
        else:
            rows = [np.arange(count * i // self.replicas, count * (i + 1) // self.replicas) for i in numbers]
        if self.overlap:
            rows = [np.concatenate([[(each[0] - 1) % count], each]) for each in rows]
        return rows

    def rows(self, count: int) -> np.ndarray:
        """The row numbers of all parts of this process, one part after the other."""
        return np.concatenate(self.parts(count))

    def most_rows(self, images: int, batch_size: int) -> int:
        """Rows of the largest batch of this process, of an epoch of `images` images."""
        sizes = {min(batch_size, images), images % batch_size} - {0}
        return max((len(self.rows(size)) for size in sizes), default=0)


WHOLE = Share()
