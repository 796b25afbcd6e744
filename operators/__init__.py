"""What is done to video: decode, signals, clips, gate, describe, timeline, stitch."""
