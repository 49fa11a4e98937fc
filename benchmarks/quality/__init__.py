"""Methods compared on a folder of images with masks, by a fixed protocol."""
