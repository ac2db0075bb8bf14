"""Which detections of one frame after the other are the same object: ByteTrack, by Roboflow's `trackers`."""

import numpy as np
import supervision
from trackers import ByteTrackTracker

from keras_cnn.detection.boxes import Detections, one_a_place

LOW = 0.1  # confidence from which a detection may continue a track: ByteTrack's second look, Zhang et al. 2022
LOST_FRAMES = 30  # at 30 frames/s: a second without a detection ends a track
SAME_PLACE = 0.45  # overlap (IoU) above which detections of two classes are one object
INSIDE = 0.9  # part of the smaller box above which one of the same class is a part of the larger


class Tracker:
    """Numbers objects from frame to frame, whatever class each frame takes them for.

    Zhang et al., ByteTrack: Multi-Object Tracking by Associating Every Detection Box, ECCV 2022. A track begins with a
    detection of at least `threshold`, seen in two frames in a row.
    """

    def __init__(self, rate: float, threshold: float):
        self._tracker = ByteTrackTracker(
            lost_track_buffer=LOST_FRAMES,
            frame_rate=rate,
            track_activation_threshold=threshold,
            high_conf_det_threshold=threshold,
        )

    def update(self, found: Detections) -> tuple[np.ndarray, np.ndarray]:
        """The number of each detection's track, -1 for none, and whether it is the most confident in its place.

        Only those are tracked: a car that is taken for a truck as well is one object.
        """
        chosen = one_a_place(found, SAME_PLACE, INSIDE)
        given = supervision.Detections(
            xyxy=found.boxes[chosen].reshape(-1, 4),
            confidence=found.confidences[chosen],
            class_id=chosen,  # comes back with its detection: the order may change
        )
        tracked = self._tracker.update(given)
        tracks, first = np.full(len(found), -1), np.zeros(len(found), bool)
        first[chosen] = True
        if len(tracked):
            tracks[tracked.class_id] = tracked.tracker_id
        return tracks, first
