"""Tracking of objects from frame to frame by ByteTrack, as in Roboflow's `trackers`."""

import numpy as np
import supervision
from trackers import ByteTrackTracker

from keras_cnn.detection.boxes import Detections, strongest_in_place

LOW = 0.1  # least confidence for continuing a track: ByteTrack's second association
LOST_FRAMES = 30  # at 30 frames/s: a second without a detection ends a track
SAME_PLACE = 0.45  # overlap (IoU) above which detections of two classes are one object
INSIDE = 0.9  # fraction of a box inside another of its class above which it is part of that object


class ObjectTracker:
    """Keeps the numbers of objects from frame to frame, even if their detected class changes.

    Zhang et al., ByteTrack: Multi-Object Tracking by Associating Every Detection Box, ECCV 2022. A track begins with
    detections of at least `threshold` in two frames in a row.
    """

    def __init__(self, rate: float, threshold: float):
        self._tracker = ByteTrackTracker(
            lost_track_buffer=LOST_FRAMES,
            frame_rate=rate,
            track_activation_threshold=threshold,
            high_conf_det_threshold=threshold,
        )

    def update(self, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
        """The track number of each detection, -1 for none, and whether it is the most confident in its place.

        Only the most confident are tracked: a car that is also detected as a truck is one object.
        """
        chosen = strongest_in_place(detections, SAME_PLACE, INSIDE)
        given = supervision.Detections(
            xyxy=detections.boxes[chosen].reshape(-1, 4),
            confidence=detections.confidences[chosen],
            class_id=chosen,  # returned with its detection, as the order may change
        )
        tracked = self._tracker.update(given)
        tracks, first = np.full(len(detections), -1), np.zeros(len(detections), bool)
        first[chosen] = True
        if len(tracked):
            tracks[tracked.class_id] = tracked.tracker_id
        return tracks, first
