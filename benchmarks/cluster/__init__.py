"""A sweep on a cluster of local nodes, one of which is lost, beside the same in one process."""
