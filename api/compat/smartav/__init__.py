"""Predecessor 003: smartav_api, whose faces are those of 002 under a prefix, beside captions and segmentation."""
