"""Measurements of SegMix for developers: speed and quality. Not in the wheel."""
