"""What ``import segmix_core`` offers, beside the settings and the project."""
